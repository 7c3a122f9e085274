"""Each Redis operation as a script, its arguments and a parser of its reply: values only, no I/O.

Whoever executes a command (``progress/connect.py``, or the twin in ``progress/testing.py``) gives back what
``parse`` makes of the reply. The scripts say what they do, take and answer; ``scripts/common.lua`` holds what they share.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, Literal, TypeVar

from progress import keys
from progress.events import Draft, Event, encode_json
from progress.jobs import Job, NewJob

R = TypeVar("R")
Arg = str | int | float | bytes
Answer = Literal["ok", "cancel", "stale", "closed", "gone"]
Outcome = Literal["succeeded", "failed", "cancelled", "retrying"]
Cancelled = Literal["cancelled", "requested", "again", "ended", "gone"]
SCRIPTS: Final = Path(__file__).with_name("scripts")
LOG_PAGE: Final = 512
"""Most events read from a log at once."""
LOG_PAGE_BYTES: Final = 256 * 1024
"""No further event is read into a page that holds this many bytes."""


@dataclass(frozen=True)
class Script:
    """The text of a Lua script and the SHA-1 by which Redis knows it."""

    text: bytes
    sha: str


@cache
def script(name: str) -> Script:
    """The script ``scripts/NAME.lua`` behind the key names and ``common.lua``."""
    parts = (keys.lua_table(), (SCRIPTS / "common.lua").read_text(), (SCRIPTS / f"{name}.lua").read_text())
    text = "\n".join(parts).encode()
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest())


class Command(Generic[R]):
    """One operation. All keys lie in one slot, so the first one is enough to find the server."""

    script: ClassVar[str]

    def args(self) -> Sequence[Arg]:
        """What the script takes as ARGV."""
        raise NotImplementedError

    def parse(self, reply: Any) -> R:
        """What the script's reply means."""
        raise NotImplementedError


@dataclass(frozen=True)
class Created:
    """What became of a submission: ``created``, ``existing`` (same key, same body) or ``conflict``."""

    outcome: Literal["created", "existing", "conflict"]
    job_id: str


@dataclass(frozen=True)
class Lifetimes:
    """How much of a job is kept, and for how long after its end."""

    events_ttl_s: int
    result_ttl_s: int
    max_events: int


@dataclass(frozen=True)
class CreateJob(Command[Created]):
    """Makes a job, or finds the one that its idempotency key already made."""

    script = "create"
    job: NewJob
    lifetimes: Lifetimes
    idempotency_key: str = ""
    fingerprint: str = "-"

    def args(self) -> list[Arg]:
        """See ``create.lua``."""
        idem = f"{self.job.owner or ''}:{self.idempotency_key}" if self.idempotency_key else ""
        head: list[Arg] = [
            self.job.id,
            idem,
            self.fingerprint,
            keys.IDEMPOTENCY_TTL_S,
            round(self.job.delay_s * 1000),
        ]
        return head + list(self._fields())

    def _fields(self) -> Iterator[Arg]:
        job = self.job
        values: dict[str, Arg | None] = {
            "kind": job.kind,
            "queue": job.queue,
            "priority": job.priority,
            "max_attempts": job.max_attempts,
            "input": encode_json(job.input),
            "metadata": encode_json(job.metadata),
            "events_ttl_s": self.lifetimes.events_ttl_s,
            "result_ttl_s": self.lifetimes.result_ttl_s,
            "max_events": self.lifetimes.max_events,
            "timeout_s": job.timeout_s,
            "cancel_after_s": job.cancel_after_s,
            "webhook": job.webhook,
            "retry_of": job.retry_of,
            "owner": job.owner,
        }
        for name, value in values.items():
            if value is not None:
                yield from (name, value)

    def parse(self, reply: Any) -> Created:
        """``[outcome, id]``."""
        return Created(reply[0].decode(), reply[1].decode())


@dataclass(frozen=True)
class Begun:
    """The answer to a claim: ``ok`` with the job and its new attempt, or why there is nothing to run."""

    answer: Literal["ok", "gone", "ended", "held", "early"]
    job: Job | None = None


@dataclass(frozen=True)
class BeginAttempt(Command[Begun]):
    """Claims a job for one attempt."""

    script = "begin_attempt"
    job_id: str
    worker: str
    lease_ms: int

    def args(self) -> list[Arg]:
        """See ``begin_attempt.lua``."""
        return [self.job_id, self.worker, self.lease_ms]

    def parse(self, reply: Any) -> Begun:
        """``[answer, attempt, seq, record]``."""
        answer = reply[0].decode()
        return Begun(answer, read_record(reply[3]) if answer == "ok" else None)


@dataclass(frozen=True)
class Appended:
    """The answer to a write and the last ``seq`` that it took."""

    answer: Answer
    last_seq: int


@dataclass(frozen=True)
class Append(Command[Appended]):
    """Appends events of an attempt. ``number`` counts its appends from 1, so that one sent twice is written once."""

    script = "append"
    job_id: str
    attempt: int
    number: int
    lease_ms: int
    drafts: tuple[Draft, ...]
    progress: str = ""

    def args(self) -> list[Arg]:
        """See ``append.lua``."""
        args: list[Arg] = [self.job_id, self.attempt, self.number, self.lease_ms, self.progress]
        for draft in self.drafts:
            args += (draft.type, draft.fields)
        return args

    def parse(self, reply: Any) -> Appended:
        """``[answer, last seq]``."""
        return Appended(reply[0].decode(), int(reply[1]))


@dataclass(frozen=True)
class Finished:
    """How an attempt has ended, or why it may not say."""

    answer: Literal["succeeded", "failed", "cancelled", "retrying", "stale", "closed", "gone"]
    last_seq: int


@dataclass(frozen=True)
class FinishAttempt(Command[Finished]):
    """Ends an attempt. ``value`` is the result (succeeded, cancelled) or the error (failed, retrying) as JSON."""

    script = "finish"
    job_id: str
    attempt: int
    number: int
    outcome: Outcome
    value: str
    delay_ms: int = 0

    def args(self) -> list[Arg]:
        """See ``finish.lua``."""
        return [self.job_id, self.attempt, self.number, self.outcome, self.value, self.delay_ms]

    def parse(self, reply: Any) -> Finished:
        """``[answer, last seq]``."""
        return Finished(reply[0].decode(), int(reply[1]))


@dataclass(frozen=True)
class Heartbeat(Command[list[Answer]]):
    """Renews the leases of attempts, given as pairs of job id and attempt; an answer for each."""

    script = "heartbeat"
    lease_ms: int
    attempts: tuple[tuple[str, int], ...]

    def args(self) -> list[Arg]:
        """See ``heartbeat.lua``."""
        return [self.lease_ms, *(value for pair in self.attempts for value in pair)]

    def parse(self, reply: Any) -> list[Answer]:
        """One answer for each attempt, in their order."""
        return [answer.decode() for answer in reply]


@dataclass(frozen=True)
class CancelJob(Command[Cancelled]):
    """Asks for a job's end."""

    script = "cancel"
    job_id: str
    reason: str = "requested"

    def args(self) -> list[Arg]:
        """See ``cancel.lua``."""
        return [self.job_id, self.reason]

    def parse(self, reply: Any) -> Cancelled:
        """One word."""
        answer: Cancelled = reply.decode()
        return answer


@dataclass(frozen=True)
class DeleteJob(Command[Literal["deleted", "running", "gone"]]):
    """Deletes a job that no worker holds."""

    script = "delete"
    job_id: str

    def args(self) -> list[Arg]:
        """See ``delete.lua``."""
        return [self.job_id]

    def parse(self, reply: Any) -> Literal["deleted", "running", "gone"]:
        """One word."""
        answer: Literal["deleted", "running", "gone"] = reply.decode()
        return answer


@dataclass(frozen=True)
class ReadJob(Command[Job | None]):
    """One job with its place in the queue, or None."""

    script = "read_job"
    job_id: str

    def args(self) -> list[Arg]:
        """See ``read_job.lua``."""
        return [self.job_id]

    def parse(self, reply: Any) -> Job | None:
        """``[record, position, served]`` or nothing."""
        if not reply:
            return None
        return read_record(reply[0], queue_position=int(reply[1]) or None, queue_served=bool(reply[2]))


@dataclass(frozen=True)
class ListJobs(Command[list[Job]]):
    """A page of jobs, newest first; ``cursor`` is the last id of the page before. Inputs are left out."""

    script = "list_jobs"
    kind: str = ""
    status: str = ""
    cursor: str = ""
    limit: int = 50

    def args(self) -> list[Arg]:
        """See ``list_jobs.lua``."""
        return [self.kind, self.status, self.cursor, self.limit]

    def parse(self, reply: Any) -> list[Job]:
        """One record a job; those that expired a moment ago are empty."""
        return [read_record(flat) for flat in reply if flat]


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
class Sweep(Command[list[Waiting] | None]):
    """Jobs that are due or whose attempt is lost; None where another worker sweeps."""

    script = "sweep"
    worker: str
    limit: int = 100

    def args(self) -> list[Arg]:
        """See ``sweep.lua``."""
        return [self.worker, keys.SWEEPER_TTL_MS, self.limit]

    def parse(self, reply: Any) -> list[Waiting] | None:
        """``[mine, triples]``."""
        return _waiting(reply[1]) if reply[0] else None


@dataclass(frozen=True)
class LongWaiting(Command[list[Waiting]]):
    """Jobs that have been in a queue for at least ``least_ms``; their wait begins anew."""

    script = "waiting"
    queue: str
    least_ms: int
    limit: int = 100

    def args(self) -> list[Arg]:
        """See ``waiting.lua``."""
        return [self.queue, self.least_ms, self.limit]

    def parse(self, reply: Any) -> list[Waiting]:
        """Triples."""
        return _waiting(reply)


@dataclass(frozen=True)
class WorkerSeen(Command[None]):
    """Notes that a worker serves some queues."""

    script = "worker_seen"
    worker: str
    queues: tuple[str, ...]

    def args(self) -> list[Arg]:
        """See ``worker_seen.lua``."""
        return [self.worker, keys.PRESENCE_TTL_S, *self.queues]

    def parse(self, reply: Any) -> None:
        """Nothing to tell."""


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
class ReadHealth(Command[Health]):
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


@dataclass(frozen=True)
class LogPage:
    """Events after a cursor, in order, and where the log now ends. ``last_seq`` is None where there is no such job."""

    events: list[Event]
    last_seq: int | None
    ended: bool


@dataclass(frozen=True)
class ReadLog(Command[LogPage]):
    """At most ``limit`` events with a ``seq`` above ``after``."""

    script = "read_log"
    job_id: str
    after: int
    limit: int = LOG_PAGE

    def args(self) -> list[Arg]:
        """See ``read_log.lua``."""
        return [self.job_id, self.after, self.limit, LOG_PAGE_BYTES]

    def parse(self, reply: Any) -> LogPage:
        """``[last seq or -1, ended, [event, …]]``."""
        last_seq = int(reply[0])
        return LogPage([Event.parse(raw) for raw in reply[2]], None if last_seq < 0 else last_seq, bool(reply[1]))


@dataclass(frozen=True)
class ReadHeads(Command[list[int | None]]):
    """The last ``seq`` of each job, None where it is gone."""

    script = "read_heads"
    job_ids: tuple[str, ...]

    def args(self) -> list[Arg]:
        """See ``read_heads.lua``."""
        return list(self.job_ids)

    def parse(self, reply: Any) -> list[int | None]:
        """-1 stands for None."""
        return [None if int(seq) < 0 else int(seq) for seq in reply]


_NUMBERS = (
    "priority",
    "attempt",
    "max_attempts",
    "created_at",
    "last_seq",
    "started_at",
    "finished_at",
    "due_at",
    "checkpoint_seq",
)
_TEXTS = ("voids", "id", "kind", "status", "queue", "retry_of", "webhook", "worker")
_SECONDS = ("timeout_s", "cancel_after_s")
_JSON = ("input", "metadata", "progress", "result", "error", "checkpoint")


def read_record(flat: Any, **extra: Any) -> Job:
    """A job from the fields of its hash, as Redis lists them: name, value, name, value, …"""
    record = {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
    values: dict[str, Any] = {"input": {}}
    values |= {name: int(float(record[name])) for name in _NUMBERS if name in record}
    values |= {name: record[name].decode() for name in _TEXTS if name in record}
    values |= {name: float(record[name]) for name in _SECONDS if name in record}
    values |= {name: json.loads(record[name]) for name in _JSON if record.get(name)}
    return Job(**values, cancel_requested="cancel_requested" in record, **extra)
