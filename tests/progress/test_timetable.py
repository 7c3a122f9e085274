"""Schedules as the API keeps them and schedulers run them, over the in-memory twin, whose clock is moved."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from progress import timetable
from progress.commands import Command, ListJobs, RanSchedule, ReadSchedules
from progress.errors import ScheduleConflict, ScheduleNotFound, StoreUnavailable
from progress.jobs import Job, NewJob
from progress.schedules import Schedule, Timing, work_of
from progress.settings import Settings
from progress.store import Store
from progress.testing import Memory
from progress.timetable import Ticker, Timetable
from tests.support.api import settings
from tests.support.backend import LIFETIMES, on_memory

NEW = NewJob("nightly", {"a": 1}, "llm", priority=8)
NIGHTLY = Timing("0 3 * * *", timezone="Europe/Berlin")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Clockwork:
    """A store with schedules, and schedulers of which each could run alone."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.memory.advance(0)
        self.backend = on_memory(self.memory)
        chosen: Settings = settings(result_ttl_s=30 * 86_400)
        self.store = Store.with_settings(self.memory.async_executor, chosen)
        self.tickers = [Ticker(self.memory.executor, replace(LIFETIMES, result_ttl_s=30 * 86_400)) for _ in range(2)]

    @property
    def timetable(self) -> Timetable:
        return self.store.schedules

    @property
    def jobs(self) -> list[Job]:
        return self.memory.executor.run(ListJobs())

    def pass_time(self, ms: int) -> None:
        """Both schedulers look once a minute, or as often as time allows."""
        for _ in range(max(1, min(ms // 60_000, 2_000))):
            self.memory.advance(ms // max(1, min(ms // 60_000, 2_000)))
            for ticker in self.tickers:
                ticker.run_due()

    def kept(self) -> Schedule:
        (found,) = self.memory.executor.run(ReadSchedules()).schedules
        return found


@pytest.fixture
def works() -> Clockwork:
    return Clockwork()


async def test_a_nightly_schedule_runs_once_a_night_with_two_schedulers(works: Clockwork) -> None:
    await works.timetable.create(NEW, NIGHTLY, name="n")
    works.pass_time(3 * DAY_MS)
    assert len(works.jobs) == 3
    assert {(job.kind, job.queue, job.priority) for job in works.jobs} == {("nightly", "llm", 8)}
    assert len({job.created_at // DAY_MS for job in works.jobs}) == 3
    assert works.kept().last_job == works.jobs[0].id
    assert works.kept().last_run_at == works.jobs[0].created_at


async def test_what_is_due_is_enqueued(works: Clockwork) -> None:
    await works.timetable.create(NEW, Timing(every_s=60))
    works.memory.advance(60_000)
    (waiting,) = works.tickers[0].run_due()
    assert (waiting.queue, waiting.priority) == ("llm", 8)
    assert works.backend.read(waiting.job_id).input == {"a": 1}
    assert works.tickers[1].run_due() == []


@pytest.mark.parametrize("lost", ["CreateJob", "RanSchedule"])
@pytest.mark.parametrize("before", [True, False])
async def test_a_scheduler_that_dies_at_any_step_neither_loses_nor_doubles_a_run(
    works: Clockwork, lost: str, before: bool
) -> None:
    await works.timetable.create(NEW, Timing(every_s=60))
    works.memory.advance(60_000)

    def die(command: Command[Any]) -> None:
        if type(command).__name__ == lost:
            raise StoreUnavailable

    setattr(works.memory, "before" if before else "after", die)
    with pytest.raises(StoreUnavailable):
        works.tickers[0].run_due()
    works.memory.before = works.memory.after = lambda _command: None
    works.memory.advance(1_000)
    works.tickers[1].run_due()
    (job,) = works.jobs
    assert works.kept().last_job == job.id


async def test_two_who_have_read_the_same_run_make_one_job(works: Clockwork) -> None:
    await works.timetable.create(NEW, Timing(every_s=60))
    works.memory.advance(60_000)

    def interrupt(command: Command[Any]) -> None:
        if isinstance(command, RanSchedule):
            works.memory.before = lambda _command: None
            works.tickers[1].run_due()

    works.memory.before = interrupt
    assert len(works.tickers[0].run_due()) == 1
    assert len(works.jobs) == 1
    assert works.kept().next_run_at == works.kept().created_at + 120_000


@pytest.mark.parametrize(("catch_up", "made"), [(True, 1), (False, 0)])
async def test_runs_that_were_missed_are_made_up_for_by_one_or_none(
    works: Clockwork, catch_up: bool, made: int
) -> None:
    await works.timetable.create(NEW, Timing(every_s=3_600), catch_up=catch_up)
    works.memory.advance(10 * HOUR_MS + 1_800_000)
    works.pass_time(60_000)
    assert len(works.jobs) == made
    works.pass_time(HOUR_MS)
    assert len(works.jobs) == made + 1


async def test_a_paused_schedule_does_not_run_nor_later_what_it_has_missed(works: Clockwork) -> None:
    made = await works.timetable.create(NEW, Timing(every_s=3_600))
    assert (await works.timetable.pause(made.id)).next_run_at is None
    works.pass_time(5 * HOUR_MS + 60_000)
    assert works.jobs == []
    resumed = await works.timetable.resume(made.id)
    assert resumed.next_run_at == made.created_at + 6 * HOUR_MS
    works.pass_time(60_000)
    assert works.jobs == []
    assert await works.timetable.resume(made.id) == resumed
    works.pass_time(HOUR_MS)
    assert len(works.jobs) == 1


async def test_one_that_is_made_paused_waits(works: Clockwork) -> None:
    made = await works.timetable.create(NEW, Timing(every_s=60), paused=True)
    assert made.next_run_at is None
    works.pass_time(120_000)
    assert works.jobs == []


async def test_a_deleted_schedule_is_gone_and_its_jobs_stay(works: Clockwork) -> None:
    made = await works.timetable.create(NEW, Timing(every_s=60))
    works.pass_time(60_000)
    await works.timetable.delete(made.id)
    works.pass_time(120_000)
    assert len(works.jobs) == 1
    calls: list[Callable[[str], Any]] = [works.timetable.get, works.timetable.pause, works.timetable.delete]
    for call in calls:
        with pytest.raises(ScheduleNotFound):
            await call(made.id)


async def test_there_are_no_more_than_the_most(works: Clockwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("progress.commands.schedules.MOST", 1)
    await works.timetable.create(NEW, NIGHTLY)
    with pytest.raises(ScheduleConflict, match="delete one"):
        await works.timetable.create(NEW, NIGHTLY)


async def test_what_a_crash_has_lost_is_kept_again_and_run_once(works: Clockwork) -> None:
    crash = works.backend.save()
    made = await works.timetable.create(NEW, Timing(every_s=60))
    works.memory.advance(60_000)
    works.tickers[0].run_due()
    (job,) = works.jobs
    crash()
    assert works.jobs == []
    await works.store.write_again()
    works.tickers[1].run_due()
    assert [one.id for one in works.jobs] == [job.id]
    assert works.kept().id == made.id


async def test_a_job_that_only_its_part_of_a_cluster_has_lost_is_made_again(works: Clockwork) -> None:
    await works.timetable.create(NEW, Timing(every_s=60))
    works.memory.advance(60_000)
    works.tickers[0].run_due()
    (job,) = works.jobs
    works.memory.space.jobs.clear()

    def away(_command: Command[Any]) -> None:
        raise StoreUnavailable

    works.memory.before = away
    with pytest.raises(StoreUnavailable):
        works.tickers[0].run_due()
    works.memory.before = lambda _command: None
    works.tickers[0].run_due()
    assert [one.id for one in works.jobs] == [job.id]


async def test_a_scheduler_that_was_frozen_looks_again_before_it_goes_on(
    works: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    await works.timetable.create(NEW, Timing(every_s=60))
    works.memory.advance(60_000)
    times = iter([0.0, timetable.FRESH_S + 1])
    monkeypatch.setattr("progress.timetable.time.monotonic", lambda: next(times, 100.0))
    assert works.tickers[0].run_due() == []
    assert works.jobs == []


def built_in(cron: str, name: str = "nightly") -> Schedule:
    return Schedule(name, work_of(NEW), Timing(cron), 0, name=name, built_in=True)


async def test_schedules_that_come_with_kinds_are_kept_once_and_cannot_be_deleted(works: Clockwork) -> None:
    for ticker in works.tickers:
        ticker.install([built_in("0 3 * * *")])
    works.pass_time(DAY_MS)
    assert len(works.jobs) == 1
    with pytest.raises(ScheduleConflict, match="pause it"):
        await works.timetable.delete("nightly")
    await works.timetable.pause("nightly")
    works.tickers[0].install([built_in("0 4 * * *")])
    found = works.kept()
    assert (found.paused, found.next_run_at, found.timing.cron) == (True, None, "0 4 * * *")
    await works.timetable.resume("nightly")
    works.tickers[0].install([built_in("0 5 * * *")])
    assert (works.kept().next_run_at or 0) // HOUR_MS % 24 == 5


async def test_one_whose_kind_is_gone_goes_and_those_of_users_stay(works: Clockwork) -> None:
    works.tickers[0].install([built_in("0 3 * * *")])
    made = await works.timetable.create(NEW, NIGHTLY)
    works.tickers[0].install([])
    assert works.kept().id == made.id


async def test_nothing_is_written_where_nothing_has_changed(works: Clockwork) -> None:
    works.tickers[0].install([built_in("0 3 * * *")])
    seen: list[str] = []
    works.memory.before = lambda command: seen.append(type(command).__name__)
    works.tickers[1].install([built_in("0 3 * * *")])
    assert seen == ["ReadSchedules"]
