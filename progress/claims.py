"""Claims: how a worker takes jobs, says that it lives, and finds those that nobody works on any more."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final
from weakref import WeakSet

from progress.commands import (
    Age,
    BeginAttempt,
    Begun,
    Bury,
    CancelJob,
    Heartbeat,
    Holders,
    LongWaiting,
    ReadHeads,
    ReadJob,
    ReadLog,
    Sweep,
    Waiting,
    WorkerSeen,
)
from progress.connect import Executor
from progress.errors import AttemptReleased, AttemptTimeout, StoreUnavailable
from progress.events import MAIN_CHANNEL
from progress.healing import SET_BACK
from progress.holder import Holder
from progress.jobs import Job
from progress.publisher import Publisher
from progress.unsynced import KEPT_S

logger = logging.getLogger(__name__)

BEAT_S: Final = 0.5
"""How often attempts are renewed, at most: a cancel reaches a silent task within about this."""


WORKER_LOST: Final = "worker_lost"
"""The code of a lost attempt's error, as ``common.lua`` has it."""
GIVE_UP_S: Final = 0.9
"""How long a task that was told to stop may take to do so before its job ends without it."""


class Claims:
    """What a worker asks of the store. Every method may raise StoreUnavailable.

    Args:
        limits: how many jobs of a kind may run at once; of others, any number.
        holder: the process that takes jobs by ``begin``; without one, only leases say that it is lost.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        lease_ms: int,
        holder: Holder | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> None:
        self._limits = tuple((limits or {}).items())
        self._executor = executor
        self._lease_ms = lease_ms
        self._holder = holder

    def begin(self, job_id: str, worker: str) -> Begun:
        """Claims a job, or says why there is nothing to run."""
        machine, process = (self._holder.machine, self._holder.process) if self._holder else ("", "")
        begin = BeginAttempt(job_id, worker, self._lease_ms, machine=machine, process=process, limits=self._limits)
        return self._executor.run(begin)

    def beat(self, publishers: tuple[Publisher, ...]) -> set[Publisher]:
        """Renews leases, and tells the attempts that are over; returns those of which Redis has lost nothing."""
        attempts = tuple((publisher.claim, publisher.answered) for publisher in publishers)
        answers = self._executor.run(Heartbeat(self._lease_ms, attempts))
        for publisher, answer in zip(publishers, answers, strict=True):
            if answer:
                publisher.heard(answer)
        told = zip(publishers, answers, strict=True)
        return {publisher for publisher, answer in told if answer and answer not in SET_BACK}

    def seen(self, worker: str, queues: tuple[str, ...]) -> None:
        """Notes that a worker serves some queues."""
        self._executor.run(WorkerSeen(worker, queues))

    def sweep(self, worker: str) -> list[Waiting] | None:
        """Jobs that somebody must enqueue; None where another worker sweeps."""
        return self._executor.run(Sweep(worker, self._lease_ms, running=self._limits))

    def bury(self) -> list[Waiting]:
        """Takes their jobs from processes of this machine that are gone: those that somebody must enqueue."""
        if self._holder is None:
            return []
        taken = self._executor.run(Holders(self._holder.machine))
        gone = tuple(process for process in taken if self._holder.knows_gone(process))
        return self._executor.run(Bury(self._holder.machine, gone)) if gone else []

    def long_waiting(self, queue: str, least_s: float, *, queue_empty: bool) -> list[Waiting]:
        """Jobs that have waited in a queue at least this long, and without a message: see LongWaiting."""
        return self._executor.run(LongWaiting(queue, round(least_s * 1000), queue_empty))

    def age(self, queue: str, after_s: float) -> list[Waiting]:
        """Jobs of a queue that have become more urgent by waiting: see Age."""
        return self._executor.run(Age(queue, round(after_s * 1000)))

    def read(self, job_id: str) -> Job | None:
        """One job."""
        return self._executor.run(ReadJob(job_id))

    def unknown(self, job_ids: tuple[str, ...]) -> list[str]:
        """Those of which there is no record now."""
        heads = self._executor.run(ReadHeads(job_ids))
        return [job_id for job_id, head in zip(job_ids, heads, strict=True) if head is None]

    def was_lost(self, job: Job) -> bool:
        """Whether the last attempt of a job that is to be tried again was lost, and not ended by an error."""
        page = self._executor.run(ReadLog(job.id, job.last_seq - 1))
        return any(event.type == "retrying" and event.data["error"]["code"] == WORKER_LOST for event in page.events)

    def kept_text(self, job: Job) -> str:
        """The main text of earlier attempts that still counts, up to the last checkpoint."""
        voids, pieces, after = job.void_ranges(), [], 0
        while after < job.checkpoint_seq:
            page = self._executor.run(ReadLog(job.id, after))
            if not page.events:
                break
            after = page.events[-1].seq
            pieces += [
                str(event.data["text"])
                for event in page.events
                if event.type == "token"
                and event.channel == MAIN_CHANNEL
                and event.seq <= job.checkpoint_seq
                and not any(low < event.seq < high for low, high in voids)
            ]
        return "".join(pieces)

    def cancel(self, job_id: str, reason: str) -> None:
        """Asks for a job's end."""
        self._executor.run(CancelJob(job_id, reason))


class Keeper:
    """The thread that keeps the attempts of this process alive while they are silent, or blocked in C.

    Args:
        let_go: asked at each beat; once it says True, every attempt is told to hand its job back.
        give_up: called once, in a thread of its own, for an attempt that goes on GIVE_UP_S after it was told to stop.
    """

    def __init__(
        self,
        claims: Claims,
        *,
        lease_s: float,
        let_go: Callable[[], bool] = lambda: False,
        give_up: Callable[[Publisher], None] = lambda _publisher: None,
    ) -> None:
        self._claims = claims
        self._let_go = let_go
        self._give_up = give_up
        self._given_up: WeakSet[Publisher] = WeakSet()
        self._every_s = min(BEAT_S, lease_s / 4)
        self._held: set[Publisher] = set()
        self._ended: dict[Publisher, float] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def hold(self, publisher: Publisher) -> None:
        """Begins to renew an attempt."""
        with self._lock:
            self._held.add(publisher)

    def release(self, publisher: Publisher) -> None:
        """No longer renews it; its end is watched over until Redis has it on disk."""
        with self._lock:
            self._held.discard(publisher)
            if publisher.finished:
                self._ended[publisher] = time.monotonic()

    @property
    def held(self) -> tuple[Publisher, ...]:
        """The attempts of this process."""
        with self._lock:
            return tuple(self._held)

    def close(self) -> None:
        """Ends the thread."""
        self._closing.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._closing.wait(self._every_s):
            held = self.held
            self._stop_late(held)
            self._beat(held)
            self._leave_deaf(held)

    def _stop_late(self, held: tuple[Publisher, ...]) -> None:
        now, let_go = time.monotonic(), self._let_go()
        for publisher in held:
            if publisher.over is not None:
                continue
            if publisher.deadline and now > publisher.deadline:
                publisher.stop(AttemptTimeout())
            elif let_go:
                publisher.stop(AttemptReleased())

    def _leave_deaf(self, held: tuple[Publisher, ...]) -> None:
        since = time.monotonic() - GIVE_UP_S
        for publisher in held:
            if publisher.over_since < since and publisher not in self._given_up:
                self._given_up.add(publisher)
                threading.Thread(target=self._give_up, args=(publisher,), name="give-up", daemon=True).start()

    def _beat(self, held: tuple[Publisher, ...]) -> None:
        now = time.monotonic()
        with self._lock:
            ended = tuple(self._ended)
        if not held and not ended:
            return
        try:
            unharmed = self._claims.beat(held + ended)
        except StoreUnavailable as error:
            logger.warning("%d leases not renewed: %s", len(held), error)
            return
        with self._lock:
            for publisher in ended:
                if not publisher.finished or (publisher in unharmed and self._ended[publisher] < now - KEPT_S):
                    del self._ended[publisher]
