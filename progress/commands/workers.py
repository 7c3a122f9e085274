"""Commands about all jobs at once: who works, what waits, what was lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from progress import keys
from progress.commands.command import Arg
from progress.commands.spread import Answers, Spread, complete, present


@dataclass(frozen=True)
class Waiting:
    """A job that somebody must enqueue."""

    job_id: str
    queue: str
    priority: int


def _waiting(flat: Sequence[bytes]) -> list[Waiting]:
    triples = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    return [Waiting(job_id.decode(), queue.decode(), int(priority)) for job_id, queue, priority in triples]


@dataclass(frozen=True)
class Sweep(Spread[list[Waiting] | None]):
    """Jobs that are due, lost, or next of a kind with room (``running``); None where another worker sweeps."""

    script = "sweep"
    worker: str
    lease_ms: int
    limit: int = 100
    running: tuple[tuple[str, int], ...] = ()

    @property
    def lock_ms(self) -> int:
        """For how long no other worker sweeps: one that has died delays no recovery beyond the lease itself."""
        shortest, longest = keys.SWEEPER_TTL_MS
        return max(shortest, min(longest, self.lease_ms // 2))

    def args(self) -> list[Arg]:
        """See ``sweep.lua``."""
        limits = (part for limit in self.running for part in limit)
        return [self.worker, self.lock_ms, self.limit, self.lease_ms, keys.PULSE_TTL_S, *limits]

    def parse(self, reply: Any) -> list[Waiting] | None:
        """``[mine, triples]``."""
        return _waiting(reply[1]) if reply[0] else None

    def merge(self, answers: Answers) -> list[Waiting] | None:
        """All that were found; each partition has a sweeper of its own."""
        found = [some for some in present(answers) if some is not None]
        return [waiting for some in found for waiting in some] if found else None


@dataclass(frozen=True)
class LongWaiting(Spread[list[Waiting]]):
    """Jobs that have been in a queue for at least ``least_ms`` and have no message; their wait begins anew.

    Where the broker has others for the queue, those that one behind them has passed.
    """

    script = "waiting"
    queue: str
    least_ms: int
    queue_empty: bool = True
    limit: int = 100

    def args(self) -> list[Arg]:
        """See ``waiting.lua``."""
        return [self.queue, self.least_ms, int(self.queue_empty), self.limit]

    def parse(self, reply: Any) -> list[Waiting]:
        """Triples."""
        return _waiting(reply)

    def merge(self, answers: Answers) -> list[Waiting]:
        """All that were found."""
        return [waiting for some in present(answers) for waiting in some]


@dataclass(frozen=True)
class Age(Spread[list[Waiting]]):
    """Makes jobs one step more urgent that have waited for ``after_ms`` at theirs: those, for somebody to enqueue."""

    script = "age"
    queue: str
    after_ms: int
    limit: int = 100

    def args(self) -> list[Arg]:
        """See ``age.lua``."""
        return [self.queue, self.after_ms, self.limit]

    def parse(self, reply: Any) -> list[Waiting]:
        """Triples."""
        return _waiting(reply)

    def merge(self, answers: Answers) -> list[Waiting]:
        """All that were found."""
        return [waiting for some in present(answers) for waiting in some]


@dataclass(frozen=True)
class Holders(Spread[tuple[str, ...]]):
    """The processes of a machine that have taken jobs, by the names that their Holders have."""

    script = "holders"
    machine: str

    def args(self) -> list[Arg]:
        """See ``holders.lua``."""
        return [self.machine]

    def parse(self, reply: Any) -> tuple[str, ...]:
        """In no order."""
        return tuple(process.decode() for process in reply)

    def merge(self, answers: Answers) -> tuple[str, ...]:
        """Each once."""
        return tuple({process for some in present(answers) for process in some})


@dataclass(frozen=True)
class Bury(Spread[list[Waiting]]):
    """Takes their jobs from processes that are gone, whatever the leases say: those that somebody must enqueue."""

    script = "bury"
    machine: str
    processes: tuple[str, ...]

    def args(self) -> list[Arg]:
        """See ``bury.lua``."""
        return [self.machine, *self.processes]

    def parse(self, reply: Any) -> list[Waiting]:
        """Triples."""
        return _waiting(reply)

    def merge(self, answers: Answers) -> list[Waiting]:
        """All that were found."""
        return [waiting for some in present(answers) for waiting in some]


@dataclass(frozen=True)
class WorkerSeen(Spread[None]):
    """Notes that a worker serves some queues."""

    script = "worker_seen"
    worker: str
    queues: tuple[str, ...]
    ttl_s: int = keys.PRESENCE_TTL_S

    def args(self) -> list[Arg]:
        """See ``worker_seen.lua``."""
        return [self.worker, self.ttl_s, *self.queues]

    def parse(self, reply: Any) -> None:
        """Nothing to tell."""

    def merge(self, answers: Answers) -> None:
        """Nothing to tell."""
        present(answers)


@dataclass(frozen=True)
class QueueHealth:
    """A queue as people see it: how many jobs wait, and the workers that serve it."""

    waiting: int
    workers: tuple[str, ...]


@dataclass(frozen=True)
class Health:
    """Jobs that run, and each queue."""

    running: int
    queues: dict[str, QueueHealth]


@dataclass(frozen=True)
class ReadHealth(Spread[Health]):
    """Who works and what waits."""

    script = "health"
    queues: tuple[str, ...]

    def args(self) -> list[Arg]:
        """See ``health.lua``."""
        return list(self.queues)

    def parse(self, reply: Any) -> Health:
        """``[running, [queue, waiting, workers, …]]``."""
        flat = reply[1]
        triples = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        return Health(
            int(reply[0]),
            {q.decode(): QueueHealth(int(n), tuple(w.decode() for w in workers)) for q, n, workers in triples},
        )

    def merge(self, answers: Answers) -> Health:
        """All together."""
        parts: list[Health] = complete(answers)

        def of(queue: str) -> QueueHealth:
            seen = [part.queues[queue] for part in parts]
            workers = sorted({worker for one in seen for worker in one.workers})
            return QueueHealth(sum(one.waiting for one in seen), tuple(workers))

        return Health(sum(part.running for part in parts), {queue: of(queue) for queue in self.queues})
