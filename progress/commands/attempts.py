"""Commands of whoever runs a job: claimed, written to, kept alive, ended.

Each write can be made a second time as it was (``again``): Redis may lose the last ones in a crash.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any, Final, Literal

from progress.commands.command import Arg, Command
from progress.commands.jobs import fields_of, read_record
from progress.commands.spread import Answers, Spread, by_partition, in_order
from progress.errors import StoreUnavailable
from progress.events import Draft, encode_json
from progress.jobs import Job, uuid7

Answer = Literal["ok", "cancel", "stale", "closed", "gone", "behind", "unsettled"]
Outcome = Literal["succeeded", "failed", "cancelled", "retrying", "released", "waiting"]
Part = tuple[int | None, Command[Any]]
"""A command and the partition that it is done in; None where there is no cluster."""
MOST_JOINED: Final = 64
"""Redis does nothing else meanwhile: about a millisecond."""


@dataclass(frozen=True)
class Claim:
    """The right to write to a job. ``token`` tells it from another claim to an attempt of the same number."""

    job_id: str
    attempt: int
    token: str


@dataclass(frozen=True)
class Granted:
    """What a crash of Redis may have lost of a claim: its attempt, the ``seq`` before it and with it, and epoch ms."""

    attempt: int
    before: int
    seq: int
    at: int


@dataclass(frozen=True)
class Begun:
    """The answer to a claim: ``ok`` with the job and its new attempt, or why there is nothing to run.

    ``again`` is the command that makes the same claim once more.
    """

    answer: Literal["ok", "gone", "ended", "held", "early", "full", "unsettled", "stale"]
    job: Job | None = None
    claim: Claim | None = None
    again: "BeginAttempt | None" = None


@dataclass(frozen=True)
class BeginAttempt(Command[Begun]):
    """Claims a job for one attempt. ``token`` tells this claim from others: sent twice, it is granted once.

    ``machine`` and ``process`` are those of the Holder, empty where it is unknown. ``limits`` say how
    many jobs of a kind may run at once.
    """

    script = "begin_attempt"
    job_id: str
    worker: str
    lease_ms: int
    token: str = field(default_factory=uuid7)
    machine: str = ""
    process: str = ""
    granted: Granted | None = None
    limits: tuple[tuple[str, int], ...] = ()

    def args(self) -> list[Arg]:
        """See ``begin_attempt.lua``."""
        granted = self.granted
        claimed: list[Arg] = [self.job_id, self.worker, self.lease_ms, self.token, encode_json(self.worker)]
        before: list[Arg] = [granted.attempt, granted.before, granted.seq, granted.at] if granted else [""] * 4
        limits = (part for limit in self.limits for part in limit)
        return [*claimed, self.machine, self.process, *before, *limits]

    def parse(self, reply: Any) -> Begun:
        """``[answer, attempt, seq, record]``."""
        answer = reply[0].decode()
        if answer != "ok":
            return Begun(answer)
        job, record = read_record(reply[3]), fields_of(reply[3])
        granted = Granted(job.attempt, int(record["begun_after"]), int(reply[2]), int(record["begun_at"]))
        return Begun(answer, job, Claim(job.id, job.attempt, self.token), replace(self, granted=granted))


# Neither it nor Append is frozen, which would double what it costs to make one; nobody changes them all the same.
@dataclass(unsafe_hash=True)
class Appended:
    """The answer to a write, the last ``seq`` that it took, when that was (epoch ms), and the room that it left.

    ``room`` is the ``seq`` up to which numbers were passed over before it, 0 where none were.
    """

    answer: Answer
    last_seq: int
    at: int = 0
    room: int = 0


@dataclass(unsafe_hash=True)
class Append(Command[Appended]):
    """Appends events of an attempt. ``number`` counts its appends from 1, so that one sent twice is written once.

    ``at`` is when, in epoch ms by Redis's clock; None for now. ``told`` is the answer to one that was written before.
    """

    script = "append"
    claim: Claim
    number: int
    lease_ms: int
    drafts: tuple[Draft, ...]
    progress: str = ""
    at: int | None = None
    told: Appended | None = None

    @property
    def about(self) -> str:
        """See Command."""
        return self.claim.job_id

    def args(self) -> list[Arg]:
        """See ``append.lua``."""
        claim, count = self.claim, 8 + 2 * len(self.drafts)
        args: list[Arg] = [count, claim.job_id, claim.attempt, claim.token, self.number, self.lease_ms, self.progress]
        args += (_time(self.at), _room(self.told))
        for draft in self.drafts:
            args += (draft.type, draft.fields)
        return args

    def parse(self, reply: Any) -> Appended:
        """``[[answer, last seq, at, room]]``."""
        ((answer, last_seq, at, room),) = reply
        return Appended(answer.decode(), last_seq, at, room)

    def again(self, answer: Appended) -> "Append":
        """The command that makes the same write once more."""
        return replace(self, at=answer.at, told=answer)


@dataclass(frozen=True)
class Appends(Command[list[Appended]]):
    """Appends of one partition that share a call."""

    script = "append"
    appends: tuple[Append, ...]

    def args(self) -> list[Arg]:
        """See ``append.lua``."""
        return [arg for append in self.appends for arg in append.args()]

    def parse(self, reply: Any) -> list[Appended]:
        """An answer for each, in their order."""
        return [append.parse([told]) for append, told in zip(self.appends, reply, strict=True)]


def joined(parts: Iterable[Part]) -> Iterator[Part]:
    """Commands in their order, neighbouring appends to one partition as Appends of at most MOST_JOINED events."""
    run: list[Append] = []
    where, room = None, 0
    for partition, command in parts:
        events = max(1, len(command.drafts)) if isinstance(command, Append) else MOST_JOINED
        if run and (events > room or partition != where):
            yield where, _one(run)
            run = []
        if not isinstance(command, Append):
            yield partition, command
            continue
        where, room = partition, (room if run else MOST_JOINED) - events
        run.append(command)
    if run:
        yield where, _one(run)


def _one(run: list[Append]) -> Command[Any]:
    return Appends(tuple(run)) if len(run) > 1 else run[0]


@dataclass(frozen=True)
class Finished:
    """How an attempt has ended, or why it may not say; the last ``seq``, when that was (epoch ms), and JSON of why.

    ``room`` as that of Appended.
    """

    answer: Literal[
        "succeeded", "failed", "cancelled", "retrying", "waiting", "stale", "closed", "gone", "behind", "unsettled"
    ]
    last_seq: int
    at: int = 0
    reason: str = ""
    room: int = 0

    @property
    def written(self) -> bool:
        """Whether this is how it has ended."""
        return self.answer not in ("stale", "closed", "gone", "behind", "unsettled")


@dataclass(frozen=True)
class FinishAttempt(Command[Finished]):
    """Ends an attempt. ``value`` is the result (succeeded, cancelled) or the error (failed, retrying) as JSON, or the
    id of the group that the job waits for.

    ``at`` is when, in epoch ms by Redis's clock; None for now. ``tokens`` is how many pieces of text were published,
    the first of them at ``first_token_at``. ``told`` is the answer to one that was written before.
    """

    script = "finish"
    claim: Claim
    number: int
    outcome: Outcome
    value: str
    delay_ms: int = 0
    at: int | None = None
    tokens: int = 0
    first_token_at: int | None = None
    told: Finished | None = None

    @property
    def about(self) -> str:
        """See Command."""
        return self.claim.job_id

    def args(self) -> list[Arg]:
        """See ``finish.lua``."""
        head: list[Arg] = [*_who(self.claim), self.number, self.outcome, self.value, self.delay_ms]
        told: list[Arg] = [_time(self.at), _room(self.told), self.told.reason if self.told else ""]
        return [*head, *told, self.tokens, _time(self.first_token_at)]

    def parse(self, reply: Any) -> Finished:
        """``[answer, last seq, at, reason, room]``."""
        return Finished(reply[0].decode(), int(reply[1]), int(reply[2]), reply[3].decode(), int(reply[4]))

    def again(self, answer: Finished) -> "FinishAttempt":
        """The command that makes the same end once more, whatever was asked for since."""
        if answer.answer in ("retrying", "waiting"):
            return replace(self, at=answer.at, told=answer)
        ending: Any = answer.answer
        value = self.value if ending != "cancelled" or self.outcome in ("succeeded", "cancelled") else ""
        return replace(self, at=answer.at, outcome=ending, value=value, told=answer)


@dataclass(frozen=True)
class Heartbeat(Spread[list[Answer | None]]):
    """Renews the leases of attempts; an answer for each, None where its part of a cluster cannot be asked now.

    Each comes with the number of its last append that was answered, so that one that Redis has lost is found out.
    """

    script = "heartbeat"
    lease_ms: int
    attempts: tuple[tuple[Claim, int], ...]

    def args(self) -> list[Arg]:
        """See ``heartbeat.lua``."""
        return [self.lease_ms, *(arg for claim, number in self.attempts for arg in (*_who(claim), number))]

    def parse(self, reply: Any) -> list[Answer | None]:
        """One answer for each attempt, in their order."""
        return [answer.decode() for answer in reply]

    @property
    def _ids(self) -> list[str]:
        return [claim.job_id for claim, _ in self.attempts]

    def parts(self) -> dict[int, Command[Any]]:
        """See Spread."""
        return {p: Heartbeat(self.lease_ms, some) for p, some in by_partition(self._ids, self.attempts).items()}

    def merge(self, answers: Answers) -> list[Answer | None]:
        """In the order of the attempts."""
        known = {p: repeat(None) if isinstance(a, StoreUnavailable) else a for p, a in answers.items()}
        return in_order(self._ids, known)


def _who(claim: Claim) -> list[Arg]:
    return [claim.job_id, claim.attempt, claim.token]


def _time(at: int | None) -> Arg:
    return "" if at is None else at


def _room(told: Appended | Finished | None) -> Arg:
    return "" if told is None else told.room
