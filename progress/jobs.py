"""The job: one request for work, its status, and the rules of both."""

import hashlib
import os
import time
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

Status = Literal["queued", "running", "retrying", "succeeded", "failed", "cancelled"]
STATUSES: Final = frozenset(get_args(Status))
ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})
Json = dict[str, Any]
MAX_LEVELS: Final = 100
"""No input, result or metadata nests deeper: pydantic gives up at 255 levels, other languages' readers elsewhere."""
_NESTING: Final = (dict, list, tuple)


def uuid7(now_ms: int | None = None) -> str:
    """A UUID version 7 (RFC 9562 §5.7): its text sorts by the millisecond in which it was made."""
    stamp = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    value = (stamp & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def child_id(parent: str, step: str, index: int) -> str:
    """The id of a job's child: always the same, and in the partition of its parent.

    Its time is that of the parent; the rest is a hash in the place of chance.
    """
    digits = hashlib.sha256(f"{parent} {step} {index}".encode()).hexdigest()
    return f"{parent[:13]}-7{digits[:3]}-8{digits[3:6]}-{digits[6:17]}{parent[-1:]}"


def group_id(parent: str, step: str) -> str:
    """The id of the group of a job's children in one of its steps."""
    return f"{parent}.{step}"


def too_deep(value: Any, levels: int = MAX_LEVELS) -> bool:
    """Whether a value of JSON's types nests more objects and arrays into each other than ``levels``."""
    if not isinstance(value, _NESTING):
        return False
    children = value.values() if isinstance(value, dict) else value
    # Of thousands of texts in a list none is worth a call.
    return levels == 0 or any(too_deep(child, levels - 1) for child in children if isinstance(child, _NESTING))


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is asked for, validated: everything that ``create.lua`` writes into a record.

    Durations are in seconds. ``priority`` is 0–9, 9 the most urgent. ``owner`` names the API key, if any.
    ``webhook`` is the URL that is told of the job's end, ``webhook_events`` which ends, comma-separated (None: all).
    ``group`` is the one that it is counted in, at the place ``member``; ``parent`` the job that has asked for it.
    """

    kind: str
    input: Json
    queue: str
    id: str = field(default_factory=uuid7)
    priority: int = 5
    delay_s: float = 0.0
    max_attempts: int = 3
    timeout_s: float | None = None
    cancel_after_s: float | None = None
    webhook: str | None = None
    webhook_events: str | None = None
    metadata: Json = field(default_factory=dict)
    retry_of: str | None = None
    owner: str | None = None
    group: str | None = None
    member: int = 0
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job's record as it stands in the store. Times are milliseconds since the epoch, by Redis's clock."""

    id: str
    kind: str
    status: Status
    queue: str
    priority: int
    attempt: int
    max_attempts: int
    created_at: int
    last_seq: int
    input: Json
    metadata: Json
    started_at: int | None = None
    finished_at: int | None = None
    due_at: int | None = None
    progress: Json | None = None
    result: Any = None
    error: Json | None = None
    retry_of: str | None = None
    timeout_s: float | None = None
    cancel_after_s: float | None = None
    webhook: str | None = None
    webhook_events: str | None = None
    cancel_requested: bool = False
    worker: str | None = None
    voids: str = ""
    checkpoint: Any = None
    checkpoint_seq: int = 0
    handed_back: int = 0
    group: str | None = None
    member: int = 0
    parent: str | None = None
    opened: str | None = None
    waiting_for: str | None = None
    queue_position: int | None = None
    queue_score: str = ""
    queue_served: bool = True

    @property
    def ended(self) -> bool:
        """Whether the status is final."""
        return self.status in ENDED

    def void_ranges(self) -> list[tuple[int, int]]:
        """Pairs (a, b): text with a < seq < b belongs to an attempt whose text does not count any more."""
        pairs = (pair.split("-") for pair in self.voids.split(",") if pair)
        return [(int(after), int(before)) for after, before in pairs]
