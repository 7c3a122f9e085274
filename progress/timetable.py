"""Schedules as the API and the scheduler use them: kept and changed by the one, run by the other."""

import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from progress import commands
from progress.commands import CreateJob, Lifetimes, RanSchedule, ReadSchedules, Waiting
from progress.connect import AsyncExecutor, Executor
from progress.errors import ScheduleConflict, ScheduleNotFound, StoreUnavailable
from progress.jobs import NewJob, uuid7
from progress.schedules import MOST, Schedule, Timing, work_of
from progress.unsynced import Unsynced

logger = logging.getLogger(__name__)
FRESH_S: Final = 10.0
"""What was read longer ago is no news: a scheduler that was frozen since reads it again."""


class Timetable:
    """The API's side. Every method may raise StoreUnavailable.

    Args:
        unsynced: keeps what was written, should Redis lose it in a crash.
    """

    def __init__(self, executor: AsyncExecutor, unsynced: Unsynced[commands.Command[Any]]) -> None:
        self._executor = executor
        self._unsynced = unsynced

    async def create(
        self, new: NewJob, timing: Timing, *, name: str | None = None, catch_up: bool = True, paused: bool = False
    ) -> Schedule:
        """Keeps a schedule of jobs like this one.

        Raises:
            ScheduleConflict: there are too many.
        """
        now = (await self._executor.run(ReadSchedules(limit=0))).now
        schedule = Schedule(uuid7(), work_of(new), timing, now, name, catch_up, paused=paused)
        if not paused:
            schedule = replace(schedule, next_run_at=schedule.next_after(now))
        if await self._executor.run(commands.PutSchedule(schedule)) == "full":
            raise ScheduleConflict(f"there are {MOST} schedules: delete one first")
        self._unsynced.add(commands.PutSchedule(schedule, again=True), job_id=schedule.id)
        return schedule

    async def all(self) -> list[Schedule]:
        """Every schedule, the next one first."""
        return (await self._executor.run(ReadSchedules())).schedules

    async def get(self, schedule_id: str) -> Schedule:
        """One schedule. Raises ScheduleNotFound."""
        found, _ = await self._read(schedule_id)
        return found

    async def pause(self, schedule_id: str) -> Schedule:
        """Lets it run no more until it is resumed. Raises ScheduleNotFound."""
        found, _ = await self._read(schedule_id)
        return await self._set(replace(found, paused=True, next_run_at=None))

    async def resume(self, schedule_id: str) -> Schedule:
        """Lets it go on, from now; what would have run meanwhile does not. Raises ScheduleNotFound."""
        found, now = await self._read(schedule_id)
        if not found.paused:
            return found
        return await self._set(replace(found, paused=False, next_run_at=found.next_after(now)))

    async def ran(self, schedule_id: str, job_id: str) -> None:
        """Notes a run that was asked for."""
        await self._executor.run(RanSchedule(schedule_id, None, None, job_id))

    async def delete(self, schedule_id: str) -> None:
        """Deletes a schedule; its jobs stay.

        Raises:
            ScheduleNotFound: there is none.
            ScheduleConflict: it comes with its kind, and would be there again.
        """
        found, _ = await self._read(schedule_id)
        if found.built_in:
            raise ScheduleConflict(f"schedule {found.id} comes with the kind {found.work['kind']}: pause it instead")
        await self._executor.run(commands.DeleteSchedule(schedule_id))
        self._unsynced.drop(schedule_id)
        self._unsynced.add(commands.DeleteSchedule(schedule_id), job_id=schedule_id)

    async def _read(self, schedule_id: str) -> tuple[Schedule, int]:
        agenda = await self._executor.run(ReadSchedules(schedule_id))
        if not agenda.schedules:
            raise ScheduleNotFound(schedule_id)
        return agenda.schedules[0], agenda.now

    async def _set(self, schedule: Schedule) -> Schedule:
        command = commands.SetSchedule(schedule)
        if not await self._executor.run(command):
            raise ScheduleNotFound(schedule.id)
        self._unsynced.add(command, job_id=schedule.id)
        return schedule


class Ticker:
    """The scheduler's side: makes the jobs that are due. Every method may raise StoreUnavailable.

    Several may run: the id of a run's job follows from the schedule and the time at which it was due, so whoever makes
    it again makes the same one, and whoever dies before it has noted the run leaves it to be made again.
    """

    def __init__(self, executor: Executor, lifetimes: Lifetimes) -> None:
        self._executor = executor
        self._lifetimes = lifetimes
        self._made: Unsynced[CreateJob] = Unsynced()
        self._was_away = False

    def install(self, built_in: Iterable[Schedule]) -> None:
        """Keeps schedules that come with kinds; those that are there keep whether they are paused."""
        wanted = {one.id: one for one in built_in}
        agenda = self._executor.run(ReadSchedules())
        known = {one.id: one for one in agenda.schedules if one.built_in}
        for schedule_id in known.keys() - wanted.keys():
            self._executor.run(commands.DeleteSchedule(schedule_id))
        for schedule_id, one in wanted.items():
            before = known.get(schedule_id)
            if before is None:
                new = replace(one, created_at=agenda.now)
                self._executor.run(commands.PutSchedule(replace(new, next_run_at=new.next_after(agenda.now))))
            elif (before.work, before.timing) != (one.work, one.timing):
                new = replace(before, work=one.work, timing=one.timing)
                next_run_at = None if before.paused else new.next_after(agenda.now)
                self._executor.run(commands.SetSchedule(replace(new, next_run_at=next_run_at)))

    def run_due(self) -> list[Waiting]:
        """Makes the jobs that are due, and gives those that are to be enqueued."""
        started = time.monotonic()
        try:
            agenda = self._executor.run(ReadSchedules(due=True))
            self._write_again()
        except StoreUnavailable:
            self._was_away = True
            raise
        waiting: list[Waiting] = []
        for schedule in agenda.schedules:
            if time.monotonic() - started > FRESH_S:
                break
            waiting += self._run(schedule, agenda.now)
        return waiting

    def _run(self, schedule: Schedule, now: int) -> list[Waiting]:
        due_at = schedule.next_run_at
        if due_at is None:
            return []
        next_run_at, made = schedule.next_after(now), ""
        waiting: list[Waiting] = []
        if not schedule.is_missed(due_at, now):
            command = CreateJob(schedule.job(schedule.job_id(due_at)), self._lifetimes)
            job = self._executor.run(command)
            self._made.add(command.again(job), job_id=job.job_id)
            made, waiting = job.job_id, [Waiting(job.job_id, job.job.queue, job.job.priority)]
        if self._executor.run(RanSchedule(schedule.id, due_at, next_run_at, made)):
            logger.info("schedule %s: %s", schedule.name or schedule.id, f"job {made}" if made else "a run was missed")
        return waiting

    def _write_again(self) -> None:
        """After Redis was away it may lack what was made last; in a cluster its parts may differ in how much."""
        if self._was_away:
            for command in self._made.again():
                self._executor.run(command)
        self._was_away = False
        self._made.forget()
