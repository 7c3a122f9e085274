"""Workers and the sweeper, made of the product's own write ends; only the tasks are models."""

import itertools
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from progress.claims import Claims, Keeper
from progress.commands import Append, Finished, Outcome, Waiting
from progress.committer import Committer, Writer
from progress.errors import AttemptOver, AttemptReleased, AttemptWaits, JobCancelled, StoreUnavailable
from progress.events import Draft, encode_json
from progress.holder import Holder
from progress.jobs import Job, group_id
from progress.publisher import Publisher, progress_draft
from tasks.errors import TaskError
from tasks.family import Children
from tests.contract.promises.families import SETTINGS, STEP, SilentQueue, children_of
from tests.contract.promises.process import Direct, Plan, Process, Wire
from tests.contract.promises.world import World

LEASE_MS: Final = 2_000
MACHINE: Final = "m"
HANDED_BACK: Final = "released"
_checkpoints = itertools.count(1)


class SteppedCommitter(Committer):
    """A Committer without its thread."""

    def __init__(self, executor: Wire) -> None:
        self._executor = executor
        self._closing = False
        self._waiting: list[Writer] = []

    def schedule(self, writer: Writer, _due: float) -> None:
        """See Committer."""
        self._waiting.append(writer)

    def round(self) -> list[tuple[Writer, Append]]:
        """Writes for those who have asked for it; gives what was sent."""
        writers, self._waiting = self._waiting, []
        taken = [(writer, append) for writer in writers if (append := writer.take())]
        if taken:
            self._commit(taken)
        return taken


class SteppedKeeper(Keeper):
    """A Keeper without its thread."""

    def _run(self) -> None:
        """Nothing, at once."""

    def round(self) -> None:
        """Renews what it holds."""
        self._beat(self.held)


@dataclass(frozen=True)
class Watching(Holder):
    """A process that knows which others are gone."""

    gone: frozenset[str] | set[str] = frozenset()

    def knows_gone(self, process: str) -> bool:
        """See Holder."""
        return process in self.gone


@dataclass(eq=False)
class Attempt:
    """A task, and what it knows: the text of its job that counts, and how it has ended."""

    job: Job
    name: str
    number: int
    worker: "Worker"
    publisher: Publisher
    kept: str
    texts: list[str] = field(default_factory=list)
    acknowledged: str = ""
    checkpoint: int = 0
    """The number of the last one that was acknowledged."""
    crashes: int = 0
    """How many there had been when the last of its text was acknowledged."""
    is_ending: bool = False
    finished: Finished | None = None
    has_gathered: bool = False
    """Whether it goes on after its children."""

    @property
    def job_id(self) -> str:
        """Of the job that it has begun."""
        return self.job.id

    @property
    def is_settled(self) -> bool:
        """Whether all that it has published is written, or nothing of it can be any more."""
        try:
            self.publisher.flush(0)
        except StoreUnavailable:
            return False
        except AttemptOver:
            pass
        return True

    def publish(self, kind: str) -> None:
        """Publishes a token, a checkpoint or its progress, unless it was told to stop."""
        with suppress(AttemptOver):
            if kind == "token":
                text = f"{self.name}.{len(self.texts)} "
                self.publisher.token(text)
                self.texts.append(text)
            elif kind == "checkpoint":
                state = {"text": self.kept + "".join(self.texts), "number": next(_checkpoints)}
                self.publisher.checkpoint(encode_json(state))
            else:
                self.publisher.event(progress_draft(0.5))

    def acknowledge(self, drafts: Iterable[Draft], crashes: int) -> None:
        """Redis has said that it has these."""
        self.crashes = crashes
        for draft in drafts:
            if draft.type == "token":
                self.acknowledged += json.loads(f"{{{draft.fields}}}")["text"]
            elif draft.type == "checkpoint":
                self.checkpoint = json.loads(draft.fields)["number"]

    def ending(self, outcome: Outcome) -> Outcome | None:
        """How it says that it ended, if it would have ended so; None where another one has the job."""
        match self.publisher.over:
            case None:
                return outcome
            case JobCancelled():
                return "cancelled"
            case AttemptReleased():
                return "released"
        return None


class Worker(Process):
    """A worker process: a committer, a keeper, and a task at a time in each of its slots."""

    SLOTS: Final = ("task 1", "task 2")

    def __init__(self, world: World, process: str, gone: set[str]) -> None:
        super().__init__(world)
        wire = Wire()
        self._wire = wire
        self._process = process
        self._gone = gone
        self._committer = SteppedCommitter(wire)
        self._claims = Claims(wire, lease_ms=LEASE_MS, holder=Watching(MACHINE, process))
        self._keeper = SteppedKeeper(self._claims, lease_s=LEASE_MS / 1000)
        self.running: dict[str, Attempt] = {}
        self.begun: list[Attempt] = []

    @property
    def idle(self) -> list[str]:
        """The slots in which nothing runs."""
        return [slot for slot in self.SLOTS if self.is_free(slot) and slot not in self.running]

    @property
    def busy(self) -> list[str]:
        """Those with a task that goes on."""
        return [slot for slot, attempt in self.running.items() if not attempt.is_ending and self.is_free(slot)]

    def begin(self, slot: str, job_id: str, name: str, plan: Plan) -> None:
        """A message for a job arrives."""
        self.do(slot, lambda: self._begin(slot, job_id, name), plan)

    def _begin(self, slot: str, job_id: str, name: str) -> None:
        try:
            begun = self._claims.begin(job_id, name)
        except StoreUnavailable:
            return
        if begun.job is None or begun.claim is None:
            return
        publisher = Publisher(self._committer, begun.claim, lease_ms=LEASE_MS, flush_ms=0, begun=begun.again)
        kept = begun.job.checkpoint["text"] if begun.job.checkpoint_seq else ""
        attempt = self.running[slot] = Attempt(begun.job, name, begun.claim.attempt, self, publisher, kept)
        self.begun.append(attempt)
        self._keeper.hold(publisher)

    def commit(self, plan: Plan) -> None:
        """A round of the committer."""
        if self.is_free("committer"):
            self.do("committer", self._commit, plan)

    def _commit(self) -> None:
        for writer, append in self._committer.round():
            attempt = next(one for one in self.begun if one.publisher is writer)
            if attempt.publisher.answered >= append.number:
                attempt.acknowledge(append.drafts, self.world.crashes)
            else:
                assert attempt.publisher.over or not attempt.is_settled, "what is refused ends an attempt"

    def beat(self, plan: Plan) -> None:
        """A round of the keeper."""
        if self.is_free("keeper"):
            self.do("keeper", self._keeper.round, plan)

    def stop(self) -> None:
        """Tells its tasks to hand their jobs back."""
        for attempt in self.running.values():
            attempt.publisher.stop(AttemptReleased())

    def end(self, slot: str, outcome: Outcome, delay_ms: int, plan: Plan) -> None:
        """A task ends, once what it has published is written."""
        attempt = self.running[slot]
        if attempt.is_settled:
            attempt.is_ending = True
            self.do(slot, lambda: self._end(slot, outcome, delay_ms), plan, sleeps=True)

    def _end(self, slot: str, outcome: Outcome, delay_ms: int) -> None:
        attempt = self.running[slot]
        try:
            if said := attempt.ending(outcome):
                value = encode_json({"code": attempt.name, "message": said, "retryable": True})
                if said == "waiting":
                    value = group_id(attempt.job_id, STEP)
                attempt.finished = attempt.publisher.finish(said, value, delay_ms=delay_ms)
        finally:
            self._keeper.release(attempt.publisher)
            del self.running[slot]

    def gather(self, slot: str, count: int, plan: Plan) -> None:
        """A task asks for so many children, once what it has published is written: it waits for them, or goes on."""
        if self.running[slot].is_settled:
            self.do(slot, lambda: self._gather(slot, count), plan, sleeps=True)

    def _gather(self, slot: str, count: int) -> None:
        attempt = self.running[slot]
        children = Children(self._wire, SilentQueue, SETTINGS, attempt.job, lambda: attempt.publisher.over)
        try:
            children.gather(STEP, children_of(count), (0.0, 1.0))
        except AttemptWaits:
            attempt.is_ending = True
            self._end(slot, "waiting", 0)
        except (AttemptOver, TaskError):
            attempt.has_gathered = True
        else:
            attempt.has_gathered = True

    def keeps(self, job_id: str) -> bool:
        """See Party."""
        return not self.dead and any(attempt.is_ending for attempt in self.begun if attempt.job_id == job_id)

    def die(self) -> None:
        """Ends all at once; the other processes of its machine see that."""
        super().die()
        self._gone.add(self._process)


class Sweeper(Process):
    """Whoever sweeps just now. What it does is a command each, so nothing comes in between."""

    def __init__(self, world: World, gone: set[str]) -> None:
        super().__init__(world)
        self._claims = Claims(Direct(world, self), lease_ms=LEASE_MS, holder=Watching(MACHINE, "sweeper", gone))

    def sweep(self) -> list[Waiting]:
        """All jobs that somebody must enqueue."""
        found = [*self._claims.bury(), *(self._claims.sweep("sweeper") or [])]
        return found + self._claims.long_waiting("llm", 5, queue_empty=True)
