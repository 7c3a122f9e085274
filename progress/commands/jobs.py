"""Commands on whole jobs: made, read, listed, cancelled, deleted."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from progress import keys
from progress.commands.command import Arg, Command, settled
from progress.commands.spread import Answers, Spread, complete
from progress.events import Draft, encode_json
from progress.jobs import Job, NewJob

Deleted = Literal["deleted", "running", "gone"]


@dataclass(frozen=True)
class Created:
    """What became of a submission (``existing``: same key, same body), and the job that there is; ``deleted``: was."""

    outcome: Literal["created", "existing", "conflict", "deleted"]
    job: Job

    @property
    def job_id(self) -> str:
        """Whose it is."""
        return self.job.id


@dataclass(frozen=True)
class Lifetimes:
    """How much of a job is kept, and for how long after its end."""

    events_ttl_s: int
    result_ttl_s: int
    max_events: int


@dataclass(frozen=True)
class CreateJob(Command[Created]):
    """Makes a job, or finds the one that its idempotency key already made. ``told``: that which this made before."""

    script = "create"
    job: NewJob
    lifetimes: Lifetimes
    idempotency_key: str = ""
    fingerprint: str = "-"
    told: Job | None = None

    @property
    def about(self) -> str:
        """See Command."""
        return self.job.id

    def args(self) -> list[Arg]:
        """See ``create.lua``."""
        idem = f"{self.job.owner or ''}:{self.idempotency_key}" if self.idempotency_key else ""
        head: list[Arg] = [
            self.job.id,
            idem,
            self.fingerprint,
            keys.IDEMPOTENCY_TTL_S,
            round(self.job.delay_s * 1000),
            Draft.of("queued", queue=self.job.queue, priority=self.job.priority).fields,
            "" if self.told is None else self.told.created_at,
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
            "webhook_events": job.webhook_events,
            "retry_of": job.retry_of,
            "owner": job.owner,
            "group": job.group,
            "member": job.member if job.group else None,
            "parent": job.parent,
        }
        for name, value in values.items():
            if value is not None:
                yield from (name, value)

    def parse(self, reply: Any) -> Created:
        """``[outcome, job without its input]``, or ``[deleted]``."""
        if self.told and reply[0] == b"deleted":
            return Created("deleted", self.told)
        # Where it is another one's job, its body was the same, or it is a conflict, and nobody looks.
        return Created(reply[0].decode(), replace(read_shown(reply[1]), input=self.job.input))

    def again(self, answer: Created) -> "CreateJob":
        """The command that makes the same job once more, should Redis have lost it in a crash."""
        return replace(self, job=replace(self.job, id=answer.job.id), told=answer.job)

    def beside(self) -> "CreateJob":
        """The same for a cluster: with an id of the partition where all that is made with its key can be found."""
        if not self.idempotency_key or self.job.group:
            # Jobs of a group are where it is.
            return self
        key = f"{self.job.owner}:{self.idempotency_key}"
        return replace(self, job=replace(self.job, id=keys.beside(self.job.id, key)))


@dataclass(frozen=True)
class Cancelled:
    """What became of a cancel; of an end that it has made when (epoch ms), the ``seq`` before it and its own.

    ``unsettled`` only where it was asked for before: ask again, once others have written again what Redis has
    lost.
    """

    answer: Literal["cancelled", "requested", "again", "ended", "gone", "unsettled"]
    at: int = 0
    before: int = 0
    seq: int = 0


@dataclass(frozen=True)
class CancelJob(Command[Cancelled]):
    """Asks for a job's end. ``told``: the answer to the same, should Redis have lost it in a crash."""

    script = "cancel"
    job_id: str
    reason: str = "requested"
    told: Cancelled | None = None

    def args(self) -> list[Arg]:
        """See ``cancel.lua``."""
        told: list[Arg] = [self.told.at, self.told.before, self.told.seq] if self.told else [""] * 3
        return [self.job_id, encode_json(self.reason), *told]

    def parse(self, reply: Any) -> Cancelled:
        """``[answer, at, before, seq]``. Raises StoreUnavailable where the job may come back."""
        answer: Any = reply[0].decode()
        if self.told is None:
            settled(answer)
        return Cancelled(answer, *map(int, reply[1:]))

    def again(self, answer: Cancelled) -> "CancelJob":
        """The command that asks for the same once more, should Redis have lost it in a crash."""
        return replace(self, told=answer)


@dataclass(frozen=True)
class DeleteJob(Command[Deleted]):
    """Deletes a job that no worker holds. ``again``: it was deleted before, should Redis have lost that in a crash."""

    script = "delete"
    job_id: str
    again: bool = False

    def args(self) -> list[Arg]:
        """See ``delete.lua``."""
        return [self.job_id, int(self.again)]

    def parse(self, reply: Any) -> Deleted:
        """One word. Raises StoreUnavailable where the job may come back."""
        answer: Any = settled(reply.decode())
        deleted: Deleted = answer
        return deleted


@dataclass(frozen=True)
class ReadJob(Command[Job | None]):
    """One job with its place in the queue, or None."""

    script = "read_job"
    job_id: str

    def args(self) -> list[Arg]:
        """See ``read_job.lua``."""
        return [self.job_id]

    def parse(self, reply: Any) -> Job | None:
        """``[record, position, served]`` or one word. Raises StoreUnavailable where the job may come back."""
        if isinstance(reply, bytes):
            settled(reply.decode())
            return None
        return read_shown(reply)


@dataclass(frozen=True)
class ListJobs(Spread[list[Job]]):
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
        """One record a job."""
        return [read_record(flat) for flat in reply]

    def merge(self, answers: Answers) -> list[Job]:
        """The newest of all."""
        jobs = [job for page in complete(answers) for job in page]
        return sorted(jobs, key=lambda job: job.id, reverse=True)[: self.limit]


@dataclass(frozen=True)
class Ahead(Spread[int]):
    """How many jobs stand before one that waits."""

    script = "ahead"
    queue: str
    score: str

    def args(self) -> list[Arg]:
        """See ``ahead.lua``."""
        return [self.queue, self.score]

    def parse(self, reply: Any) -> int:
        """A number."""
        return int(reply)

    def merge(self, answers: Answers) -> int:
        """All of them."""
        return sum(complete(answers))


_NUMBERS = ("priority", "attempt", "max_attempts", "created_at", "last_seq", "started_at", "finished_at", "due_at")
_COUNTS = ("checkpoint_seq", "handed_back", "member")
_TEXTS = ("voids", "id", "kind", "status", "queue", "retry_of", "webhook", "worker", "webhook_events")
_PLACES = ("group", "parent", "opened", "waiting_for")
_SECONDS = ("timeout_s", "cancel_after_s")
_JSON = ("input", "metadata", "progress", "result", "error", "checkpoint")


def fields_of(flat: Any) -> dict[str, bytes]:
    """The fields of a hash by their names."""
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def read_shown(reply: Any) -> Job:
    """A job from ``[record, position in its queue or 0, whether its queue is served, its score there]``."""
    position, score = int(reply[1]) or None, reply[3].decode()
    return read_record(reply[0], queue_position=position, queue_served=bool(reply[2]), queue_score=score)


def read_record(flat: Any, **extra: Any) -> Job:
    """A job from the fields of its hash, as Redis lists them: name, value, name, value, …"""
    record = fields_of(flat)
    values: dict[str, Any] = {"input": {}}
    values |= {name: int(float(record[name])) for name in (*_NUMBERS, *_COUNTS) if name in record}
    values |= {name: record[name].decode() for name in (*_TEXTS, *_PLACES) if name in record}
    values |= {name: float(record[name]) for name in _SECONDS if name in record}
    values |= {name: json.loads(record[name]) for name in _JSON if record.get(name)}
    return Job(**values, cancel_requested="cancel_requested" in record, **extra)
