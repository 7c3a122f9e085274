"""Jobs and logs as the API uses them: what each command's answer means to whoever asked."""

from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakValueDictionary

from progress import commands
from progress.commands import Group, Health, Lifetimes, LogPage, Opened
from progress.connect import AsyncExecutor
from progress.deliveries import Deliveries
from progress.errors import IdempotencyConflict, JobConflict, JobNotFound
from progress.events import encode_json
from progress.jobs import Job, NewJob
from progress.settings import Settings
from progress.timetable import Timetable
from progress.unsynced import Unsynced

GROUP_TTL_S: Final = 365 * 24 * 3600
"""How long a group stays of which jobs are still to end; once they have, it stays as long as they do."""
Members = list[tuple[int, Job | None]]


@dataclass(frozen=True)
class Submitted:
    """The job of a submission, and whether it was made by it."""

    job: Job
    created: bool


class Store:
    """Reads and changes jobs. Every method may raise StoreUnavailable."""

    def __init__(self, executor: AsyncExecutor, lifetimes: Lifetimes) -> None:
        self._executor = executor
        self._lifetimes = lifetimes
        self.deliveries = Deliveries(executor)
        self._unsynced: Unsynced[commands.Command[Any]] = Unsynced()
        self.schedules = Timetable(executor, self._unsynced)
        # By owner and idempotency key, for as long as they are kept.
        self._made: WeakValueDictionary[tuple[str | None, str], commands.CreateJob] = WeakValueDictionary()

    @classmethod
    def with_settings(cls, executor: AsyncExecutor, settings: Settings) -> "Store":
        """A store that keeps jobs as long as the settings say."""
        return cls(executor, Lifetimes(settings.events_ttl_s, settings.result_ttl_s, settings.max_events))

    async def create(self, new: NewJob, *, idempotency_key: str = "", fingerprint: str = "-") -> Submitted:
        """Makes a job, or finds the one that the same key and body made before.

        Raises:
            IdempotencyConflict: the key was used with another body.
        """
        command = commands.CreateJob(new, self._lifetimes, idempotency_key, fingerprint)
        if idempotency_key and (before := self._made.get((new.owner, idempotency_key))):
            # Redis may have crashed since, and be back without it: the key would make a second job.
            await self._executor.run(before)
        made = await self._executor.run(command)
        if made.outcome == "conflict":
            raise IdempotencyConflict(idempotency_key, made.job_id)
        if made.outcome == "created":
            again = command.again(made)
            self._unsynced.add(again, len(encode_json(new.input)), job_id=made.job.id)
            if idempotency_key:
                self._made[new.owner, idempotency_key] = again
        return Submitted(made.job, made.outcome == "created")

    async def open_group(self, group: str, expected: int, call: str) -> Opened:
        """Says that so many jobs come into a group, which is made where there is none.

        Args:
            call: a name of this growth: said twice, it counts once. A negative one takes back what was said.
        """
        command = commands.OpenGroup(group, expected, call, GROUP_TTL_S)
        opened = await self._executor.run(command)
        self._unsynced.add(command)
        return opened

    async def group(self, group: str, known: int = 0, *, beside: str = "") -> Group | None:
        """How a group is, and of its failures those after the first ``known``; None where there is none.

        Args:
            beside: the id of its parent, where it has one.
        """
        return await self._executor.run(commands.ReadGroup(group, known, beside))

    async def members(self, group: str, first: int, limit: int, beside: str = "") -> Members:
        """Jobs of a group from a place in its list on, without inputs and results; see commands.Members."""
        return await self._executor.run(commands.Members(group, first, limit, beside))

    async def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            JobNotFound: there is none.
        """
        job = await self._executor.run(commands.ReadJob(job_id))
        if job is None:
            raise JobNotFound(job_id)
        return job

    async def cancel(self, job_id: str, reason: str = "requested") -> bool:
        """Asks for a job's end; False where that was asked before.

        Raises:
            JobNotFound: there is none.
            JobConflict: it has succeeded or failed.
        """
        command = commands.CancelJob(job_id, reason)
        cancelled = await self._executor.run(command)
        match cancelled.answer:
            case "gone":
                raise JobNotFound(job_id)
            case "ended":
                raise JobConflict(job_id, (await self.get(job_id)).status, "it can no longer be cancelled")
        # Also where it was asked for before: that may have been this one, and the reply to it was lost.
        self._unsynced.add(command.again(cancelled), job_id=job_id)
        return cancelled.answer != "again"

    async def delete(self, job_id: str) -> None:
        """Deletes a job.

        Raises:
            JobNotFound: there is none.
            JobConflict: a worker holds it.
        """
        answer = await self._executor.run(commands.DeleteJob(job_id))
        if answer != "running":
            # Also where a first reply was lost, and it is gone by now.
            self._unsynced.drop(job_id)
            self._unsynced.add(commands.DeleteJob(job_id, again=True), job_id=job_id)
        if answer == "gone":
            raise JobNotFound(job_id)
        if answer == "running":
            raise JobConflict(job_id, (await self.get(job_id)).status, "cancel it, then delete it")

    async def write_again(self) -> bool:
        """Makes the last submissions, cancels and deletes once more, after a crash of Redis may have lost them.

        Returns whether that is all: else others have to write again first what these are about.
        """
        replies = [await self._executor.run(command) for command in self._unsynced.again()]
        return all(getattr(reply, "answer", "") != "unsettled" for reply in replies)

    def forget(self) -> None:
        """Lets go of those that Redis has on disk by now; to be called while it answers."""
        self._unsynced.forget()

    async def read_log(self, job_id: str, after: int, limit: int = commands.LOG_PAGE) -> LogPage:
        """A page of a job's log.

        Raises:
            JobNotFound: there is none.
        """
        page = await self._executor.run(commands.ReadLog(job_id, after, limit))
        if page.last_seq is None:
            raise JobNotFound(job_id)
        return page

    async def heads(self, job_ids: tuple[str, ...]) -> list[int | None]:
        """The last ``seq`` of each log, None where the job is gone."""
        return await self._executor.run(commands.ReadHeads(job_ids))

    async def watched(self, job_ids: tuple[str, ...], slack_s: float) -> None:
        """Notes that jobs are read, for those that are to be cancelled when nobody does.

        Args:
            slack_s: seconds on top of the time that each may go unread.
        """
        await self._executor.run(commands.Watched(job_ids, round(slack_s * 1000)))

    async def health(self, queues: tuple[str, ...]) -> Health:
        """Who works and what waits."""
        return await self._executor.run(commands.ReadHealth(queues))

    async def figures(self, kinds: tuple[str, ...], *, parts: int = 0) -> commands.Counted:
        """What has been counted, since ever and in the last ``parts`` of the hour."""
        return await self._executor.run(commands.ReadFigures(kinds, parts))

    async def close(self) -> None:
        """Closes every connection."""
        await self._executor.close()

    # Last in its class: below it, `list` would mean this method.
    async def list(self, *, kind: str = "", status: str = "", cursor: str = "", limit: int = 50) -> list[Job]:
        """Jobs, newest first, without inputs; ``cursor`` is the last id of the page before."""
        return await self._executor.run(commands.ListJobs(kind, status, cursor, limit))
