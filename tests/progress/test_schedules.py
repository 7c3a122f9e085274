"""When a schedule is due: intervals, cron, time zones, and clocks that are put forward and back."""

from datetime import datetime
from uuid import UUID

import pytest

from progress.events import rfc3339
from progress.jobs import NewJob
from progress.schedules import LATE_MS, InvalidTiming, Schedule, Timing, work_of


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text + "+00:00").timestamp() * 1000)


def runs(timing: Timing, after: str, since: int = 0, many: int = 3) -> list[str]:
    """The next runs, in UTC, to the minute."""
    at, found = ms(after), []
    for _ in range(many):
        following = timing.after(since, at)
        assert following is not None
        assert following > at
        at = following
        found.append(rfc3339(at)[:16])
    return found


def test_an_interval_counts_from_the_making() -> None:
    timing = Timing(every_s=90)
    assert [timing.after(1_000, now) for now in (1_000, 90_999, 91_000, 500)] == [91_000, 91_000, 181_000, 91_000]
    assert Timing(every_s=1.5).after(0, 1_500) == 3_000


def test_a_night_in_a_time_zone_is_another_hour_in_utc_in_summer() -> None:
    assert runs(Timing("0 3 * * *", timezone="America/New_York"), "2026-03-07T00:00:00") == [
        "2026-03-07T08:00",
        "2026-03-08T07:00",
        "2026-03-09T07:00",
    ]


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        # Put forward at 02:00: there is no 02:30.
        ("30 2 * * *", "2026-03-28T12:00:00", ["2026-03-29T01:00", "2026-03-30T00:30", "2026-03-31T00:30"]),
        # Put back at 03:00: 02:30 comes twice.
        ("30 2 * * *", "2026-10-24T12:00:00", ["2026-10-25T00:30", "2026-10-26T01:30", "2026-10-27T01:30"]),
        # Asked between the two: the first one is over.
        ("30 2 * * *", "2026-10-25T01:10:00", ["2026-10-26T01:30", "2026-10-27T01:30", "2026-10-28T01:30"]),
        ("30 * * * *", "2026-10-25T00:10:00", ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"]),
        ("@daily", "2026-10-24T12:00:00", ["2026-10-24T22:00", "2026-10-25T23:00", "2026-10-26T23:00"]),
        ("0 9 * * MON-FRI", "2026-01-02T10:00:00", ["2026-01-05T08:00", "2026-01-06T08:00", "2026-01-07T08:00"]),
        ("0 0 29 2 *", "2026-01-01T00:00:00", ["2028-02-28T23:00", "2032-02-28T23:00", "2036-02-28T23:00"]),
    ],
)
def test_when_clocks_change_no_run_is_lost_and_none_comes_twice(cron: str, after: str, expected: list[str]) -> None:
    assert runs(Timing(cron, timezone="Europe/Berlin"), after) == expected


@pytest.mark.parametrize(
    ("timing", "field"),
    [
        (Timing(), "cron"),
        (Timing("* * * * *", 5), "cron"),
        (Timing(""), "cron"),
        (Timing("* * * *"), "cron"),
        (Timing("0 * * * * *"), "cron"),
        (Timing("60 * * * *"), "cron"),
        (Timing("0 0 31 2 *"), "cron"),
        (Timing("@reboot"), "cron"),
        (Timing("* * * * *", timezone="Mars/Base"), "timezone"),
        (Timing("* * * * *", timezone="../../etc/passwd"), "timezone"),
        (Timing("* * * * *", timezone=""), "timezone"),
        (Timing(every_s=0.5), "every_s"),
        (Timing(every_s=float("nan")), "every_s"),
        (Timing(every_s=1e9), "every_s"),
    ],
)
def test_times_that_cannot_be_name_their_field(timing: Timing, field: str) -> None:
    with pytest.raises(InvalidTiming) as caught:
        timing.check()
    assert caught.value.field == field


@pytest.mark.parametrize(
    "timing", [Timing("*/5 * * * *"), Timing("@Weekly"), Timing("0 3 * * *", timezone="Asia/Tokyo")]
)
def test_times_that_can_be_do(timing: Timing) -> None:
    timing.check()


def test_the_job_of_a_run_has_one_id_whoever_makes_it() -> None:
    schedule = Schedule("s", {}, Timing(every_s=1), 0)
    first, again, other = schedule.job_id(1_000), schedule.job_id(1_000), schedule.job_id(2_000)
    assert first == again != other
    assert first < other
    assert UUID(first).version == 7
    assert UUID(first).variant == UUID(other).variant == "specified in RFC 4122"
    assert schedule.job_id(1_000) != Schedule("t", {}, Timing(every_s=1), 0).job_id(1_000)


def test_a_schedule_makes_jobs_like_the_one_it_was_made_of() -> None:
    new = NewJob("k", {"a": 1}, "q", priority=9, delay_s=5, webhook="https://example.com", owner="ann", retry_of="x")
    schedule = Schedule("s", {**work_of(new), "of_another_version": 1}, Timing(every_s=1), 0)
    made = schedule.job("id")
    assert (made.kind, made.input, made.queue, made.priority, made.owner) == ("k", {"a": 1}, "q", 9, "ann")
    assert (made.id, made.delay_s, made.retry_of, made.webhook) == ("id", 0, None, "https://example.com")


def test_without_catching_up_a_late_run_is_left_out() -> None:
    eager = Schedule("s", {}, Timing(every_s=1), 0)
    strict = Schedule("s", {}, Timing(every_s=1), 0, catch_up=False)
    late = 1_000 + LATE_MS + 1
    assert [one.is_missed(1_000, now) for one in (eager, strict) for now in (late - 1, late)] == [
        False,
        False,
        False,
        True,
    ]
