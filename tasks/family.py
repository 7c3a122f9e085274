"""Where a task's children run: as jobs of their own, or, in a script, one after another in the same process."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from pydantic import ValidationError

from progress.collections import Collections
from progress.commands import Command, CreateJob, Lifetimes, Members, OpenGroup, ReadGroup, ReadJob, Waiting
from progress.connect import Executor
from progress.errors import AttemptOver, AttemptWaits, StoreUnavailable
from progress.jobs import Job, NewJob, child_id, group_id
from progress.settings import Settings
from progress.storage import Storage
from tasks.children import Child
from tasks.errors import ChildFailed, TaskError
from tasks.patience import patiently
from tasks.progress import PrintSink, Progress, Sink
from tasks.queue import JobQueue
from tasks.registry import Kind, kinds

logger = logging.getLogger(__name__)

TOGETHER: Final = 100
"""Children that are made, or read, in one round trip: Redis serves others in between."""
UNENDED_TTL_S: Final = 365 * 24 * 3600
"""How long a group stays of which jobs are still to end; once they have, it stays as long as they do."""


def kind_of(child: Child) -> Kind:
    """A child's kind, which takes its input.

    Raises:
        TaskError: there is no such kind here, or it does not.
    """
    kind = kinds().get(child.kind)
    if kind is None:
        raise TaskError("unknown_kind", f"there is no kind {child.kind!r}; there are {', '.join(sorted(kinds()))}")
    try:
        kind.validate(child.input)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, ("input", *first["loc"])))
        raise TaskError("invalid_step", f"{called(child)}: {field}: {first['msg']}") from None
    return kind


def called(child: Child) -> str:
    """A child's name for people."""
    return child.name or child.kind


class InProcess:
    """Runs children one after another in this process, without a server: for scripts and tests.

    Args:
        sink: where they report to.
        files: where their artifacts are kept.
        collections: where vectors are kept.
    """

    def __init__(
        self, sink: Sink | None = None, files: Storage | None = None, collections: Collections | None = None
    ) -> None:
        self._sink = sink or PrintSink()
        self._files = files
        self._collections = collections

    def gather(self, step: str, children: Sequence[Child], share: tuple[float, float]) -> list[Any]:
        """See Progress.gather; ``share`` counts for nothing here."""
        return [self._run(step, place, child) for place, child in enumerate(children)]

    def job_of(self, step: str, place: int) -> str:
        """See Family."""
        return f"script-{step}-{place}"

    def _run(self, step: str, place: int, child: Child) -> Any:
        kind = kind_of(child)
        try:
            progress = Progress(self._sink, files=self._files, job_id=self.job_of(step, place))
            progress.family, progress.collections = self, self._collections
            value = kind.function(kind.validate(child.input), progress)
        except TaskError as error:
            raise ChildFailed(step, called(child), {"message": error.message}) from error
        return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


class Children:
    """The children of a job, as jobs in the partition of their parent.

    Args:
        over: whether, and why, the attempt that asks for them is to stop.
        queue: wakes workers for them.
    """

    def __init__(
        self,
        executor: Executor,
        queue: Callable[[], JobQueue],
        settings: Settings,
        job: Job,
        over: Callable[[], AttemptOver | None],
    ) -> None:
        self._executor = executor
        self._queue = queue
        self._settings = settings
        self._job = job
        self._over = over

    def gather(self, step: str, children: Sequence[Child], share: tuple[float, float]) -> list[Any]:
        """See Progress.gather. Whatever was done of it before is not done again.

        Raises:
            AttemptWaits: some have not ended.
            ChildFailed: all have, and one without success.
        """
        kinds_of = [kind_of(child) for child in children]
        if not children:
            return []
        group = group_id(self._job.id, step)
        opened = self._ask(
            OpenGroup(
                group,
                len(children),
                "all",
                UNENDED_TTL_S,
                parent=self._job.id,
                step=step,
                base=share[0],
                span=share[1],
                # Run again, a job goes on from what has failed.
                adopt=group_id(self._job.retry_of, step) if self._job.retry_of else "",
            )
        )
        if opened.total < opened.expected:
            known = {place for place, _ in self._members(group)}
            asked = zip(children, kinds_of, strict=True)
            self._make([self._new(step, place, *one) for place, one in enumerate(asked) if place not in known])
            # Also where all have ended by now: the log tells of them once the job waits.
            raise AttemptWaits(group)
        found = self._ask(ReadGroup(group, beside=self._job.id))
        if found is None or found.ended < found.expected:
            raise AttemptWaits(group)
        return self._results(step, group, children)

    def job_of(self, step: str, place: int) -> str:
        """See Family. Raises TaskError: it was deleted."""
        for found, job in self._members(group_id(self._job.id, step)):
            if found == place and job:
                return job.id
        raise TaskError("step_gone", f"step {step}: its job {place} was deleted")

    def _new(self, step: str, place: int, child: Child, kind: Kind) -> NewJob:
        return NewJob(
            kind.name,
            child.input,
            kind.queue,
            id=child_id(self._job.id, step, place),
            priority=self._job.priority,
            max_attempts=child.max_attempts or kind.max_attempts or self._settings.max_attempts,
            timeout_s=child.timeout_s or kind.timeout_s,
            metadata={"title": called(child)} if child.name else {},
            group=group_id(self._job.id, step),
            member=place,
            parent=self._job.id,
        )

    def _make(self, wanted: list[NewJob]) -> None:
        settings = self._settings
        lifetimes = Lifetimes(settings.events_ttl_s, settings.result_ttl_s, settings.max_events)
        for new in parts(wanted):
            if over := self._over():
                raise over
            self._ask_all([CreateJob(job, lifetimes) for job in new])
            refused = self._queue().enqueue_all([Waiting(job.id, job.queue, job.priority) for job in new])
            for job_id, error in refused.items():
                logger.warning("job %s: left to the sweeper, the broker cannot be used: %s", job_id, error)

    def _results(self, step: str, group: str, children: Sequence[Child]) -> list[Any]:
        ids = [job.id for _, job in self._members(group) if job]
        if len(ids) < len(children):
            raise TaskError("step_gone", f"step {step}: {len(children) - len(ids)} of its jobs were deleted")
        results: list[Any] = []
        for some in parts(ids):
            for job in self._ask_all([ReadJob(job_id) for job_id in some]):
                if job is None or job.status != "succeeded":
                    what = called(children[len(results)])
                    raise ChildFailed(step, f"{what} ({ids[len(results)]})", job and job.error)
                results.append(job.result)
        return results

    def _members(self, group: str) -> Iterator[tuple[int, Job | None]]:
        first = 0
        while page := self._ask(Members(group, first, TOGETHER, beside=self._job.id)):
            yield from page
            first += len(page)

    def _ask(self, command: Command[Any]) -> Any:
        return patiently(lambda: self._executor.run(command), self._job.id)

    def _ask_all(self, commands: Sequence[Command[Any]]) -> list[Any]:
        def ask() -> list[Any]:
            answers = self._executor.run_many(commands)
            for answer in answers:
                if isinstance(answer, StoreUnavailable):
                    raise answer
            return answers

        return patiently(ask, self._job.id)


def parts(things: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """TOGETHER at a time."""
    for first in range(0, len(things), TOGETHER):
        yield things[first : first + TOGETHER]
