"""Schedules in the store: kept once, due at their time, run by one of those who try."""

from dataclasses import replace
from typing import Any

import pytest

from progress.commands import (
    DeleteSchedule,
    PutSchedule,
    RanSchedule,
    ReadSchedules,
    SetSchedule,
)
from progress.jobs import NewJob
from progress.schedules import Schedule, Timing, work_of
from tests.support.backend import Backend

WORK = work_of(NewJob("generate", {"prompt": "é"}, "llm", priority=7, metadata={"a": [1]}))


def made(backend: Backend, schedule_id: str = "s", *, in_ms: int | None = 600_000, **fields: Any) -> Schedule:
    """A schedule whose next run is so long after now; None: it is paused."""
    now = backend.run(ReadSchedules(limit=0)).now
    next_run_at = None if in_ms is None else now + in_ms
    schedule = Schedule(
        schedule_id, WORK, Timing(every_s=60), now, next_run_at=next_run_at, paused=in_ms is None, **fields
    )
    assert backend.run(PutSchedule(schedule)) == "created"
    return schedule


def kept(backend: Backend, schedule_id: str = "s") -> Schedule:
    (found,) = backend.run(ReadSchedules(schedule_id)).schedules
    return found


def due(backend: Backend) -> list[str]:
    return [one.id for one in backend.run(ReadSchedules(due=True)).schedules]


def test_a_schedule_is_read_as_it_was_kept(backend: Backend) -> None:
    full = made(backend, name="Nightly", catch_up=False, built_in=True)
    assert kept(backend) == full
    plain = made(backend, "t", in_ms=None)
    assert kept(backend, "t") == plain
    assert backend.run(ReadSchedules("other")).schedules == []


def test_schedules_come_in_the_order_of_their_next_runs_and_paused_ones_last(backend: Backend) -> None:
    for schedule_id, in_ms in (("paused", None), ("late", 600_000), ("overdue", -5_000), ("soon", 1_000)):
        made(backend, schedule_id, in_ms=in_ms)
    assert [one.id for one in backend.run(ReadSchedules()).schedules] == ["overdue", "soon", "late", "paused"]
    assert due(backend) == ["overdue"]


def test_of_one_id_there_is_one(backend: Backend) -> None:
    first = made(backend)
    assert backend.run(PutSchedule(replace(first, name="other"))) == "existing"
    assert kept(backend).name is None


def test_there_is_a_most(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("progress.commands.schedules.MOST", 2)
    schedule = made(backend, "a")
    made(backend, "b")
    assert backend.run(PutSchedule(replace(schedule, id="c"))) == "full"


def test_of_those_who_run_it_one_is_first(backend: Backend) -> None:
    schedule = made(backend, in_ms=-1_000)
    at, following = schedule.next_run_at, (schedule.next_run_at or 0) + 60_000
    assert [backend.run(RanSchedule("s", at, following, job)) for job in ("job-1", "job-1")] == [True, False]
    found = kept(backend)
    assert (found.next_run_at, found.last_job) == (following, "job-1")
    assert found.last_run_at is not None
    assert found.last_run_at >= found.created_at
    assert due(backend) == []


def test_a_run_that_was_asked_for_leaves_the_next_one_where_it_is(backend: Backend) -> None:
    before = made(backend)
    assert backend.run(RanSchedule("s", None, None, "job-1"))
    assert (kept(backend).next_run_at, kept(backend).last_job) == (before.next_run_at, "job-1")


def test_a_run_that_is_left_out_changes_the_next_one_only(backend: Backend) -> None:
    before = made(backend, in_ms=-1_000)
    assert backend.run(RanSchedule("s", before.next_run_at, None, ""))
    assert kept(backend) == replace(before, next_run_at=None)
    assert due(backend) == []


def test_one_that_was_paused_or_deleted_meanwhile_notes_no_run(backend: Backend) -> None:
    before = made(backend, in_ms=-1_000)
    assert backend.run(SetSchedule(replace(before, paused=True, next_run_at=None)))
    assert due(backend) == []
    assert not backend.run(RanSchedule("s", before.next_run_at, 1, "job-1"))
    assert kept(backend).paused
    assert [backend.run(DeleteSchedule("s")) for _ in range(2)] == [True, False]
    assert not backend.run(RanSchedule("s", before.next_run_at, 1, "job-1"))
    assert not backend.run(SetSchedule(before))
    assert backend.run(ReadSchedules()).schedules == []


def test_what_a_crash_has_lost_is_written_again_unless_it_was_deleted(backend: Backend) -> None:
    crash = backend.save()
    schedule = made(backend)
    crash()
    assert backend.run(ReadSchedules()).schedules == []
    assert backend.run(PutSchedule(schedule, again=True)) == "created"
    assert backend.run(PutSchedule(schedule, again=True)) == "existing"
    backend.run(DeleteSchedule("s"))
    assert backend.run(PutSchedule(schedule, again=True)) == "deleted"
