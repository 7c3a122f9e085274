"""Commands of whoever runs a job: claimed, written to, kept alive, ended."""

from dataclasses import dataclass, field
from typing import Any, Literal

from progress.commands.command import Arg, Command
from progress.commands.jobs import read_record
from progress.events import Draft, encode_json
from progress.jobs import Job, uuid7

Answer = Literal["ok", "cancel", "stale", "closed", "gone"]
Outcome = Literal["succeeded", "failed", "cancelled", "retrying", "released"]


@dataclass(frozen=True)
class Begun:
    """The answer to a claim: ``ok`` with the job and its new attempt, or why there is nothing to run."""

    answer: Literal["ok", "gone", "ended", "held", "early"]
    job: Job | None = None


@dataclass(frozen=True)
class BeginAttempt(Command[Begun]):
    """Claims a job for one attempt. ``claim`` tells this claim from others: sent twice, it is granted once.

    ``machine`` and ``process`` are those of the Holder, empty where it is unknown.
    """

    script = "begin_attempt"
    job_id: str
    worker: str
    lease_ms: int
    claim: str = field(default_factory=uuid7)
    machine: str = ""
    process: str = ""

    def args(self) -> list[Arg]:
        """See ``begin_attempt.lua``."""
        claimed: list[Arg] = [self.job_id, self.worker, self.lease_ms, self.claim, encode_json(self.worker)]
        return [*claimed, self.machine, self.process]

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
