"""Events: the vocabulary that every other module speaks, and the one encoding that every transport carries.

An event is one immutable fact about a job. On the wire, in the log and in the
pub/sub message it is the same JSON object with the same first members in the same order:

    {"seq":12,"type":"token","attempt":1,"at":"2026-01-02T03:04:05.678Z","text":" hello"}

Redis makes that text once (``scripts/common.lua``); everything after it passes bytes on.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, Literal, get_args

EventType = Literal[
    "queued",
    "started",
    "token",
    "progress",
    "log",
    "artifact",
    "retrying",
    "succeeded",
    "failed",
    "cancelled",
    "gap",
]
TERMINAL: Final = frozenset({"succeeded", "failed", "cancelled"})
ENDS: Final = frozenset(name.encode() for name in TERMINAL)
EVENT_TYPES: Final = frozenset(get_args(EventType))

MAX_EVENT_BYTES: Final = 64 * 1024
"""No encoded event is longer than this, save one that ends a log and carries its job's result."""
MAX_TEXT_BYTES: Final = MAX_EVENT_BYTES - 1024
"""Encoded bytes of text in one event: the rest is for the members around it."""
MAIN_CHANNEL: Final = "main"
LEAST_FRACTION: Final = 0.01
"""Two fractions that are nearer to each other than this look the same to people."""

# Line ends for str.splitlines() and so for clients built on it, though not for SSE nor for JSON.
_EXTRA_LINE_ENDS = re.compile("[\x85\u2028\u2029]")
_HEAD = re.compile(rb'\{"seq":(\d+),"type":"(\w+)","attempt":(\d+)')
_TEXT, _MEMBER, _END = b',"text":"', b'","', b'"}'
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before the log gives it its ``seq``, attempt and time.

    ``fields`` is the inside of a JSON object, without its braces: ``"text":"hi"``, or empty. A draft of type
    ``checkpoint`` becomes no event; its ``fields`` are the whole JSON of the state.
    """

    type: EventType | Literal["checkpoint"]
    fields: str = ""

    @classmethod
    def of(cls, event_type: EventType, **fields: Any) -> "Draft":
        """A draft from JSON values; None is left out.

        Raises:
            ValueError: a value is NaN or infinite, which JSON does not have.
            TypeError: a value is none of JSON's types.
        """
        kept = {name: value for name, value in fields.items() if value is not None}
        return cls(event_type, encode_json(kept)[1:-1])

    def outdates(self, earlier: "Draft") -> bool:
        """Whether an earlier progress need not be told any more: it is of the same step, and not to be told apart.

        Counts are thinned out before (``tasks/pace.py``), so each of them is told.
        """
        if not self.type == earlier.type == "progress":
            return False
        new, old = (json.loads("{" + draft.fields + "}") for draft in (self, earlier))
        if "current" in new or "current" in old or new.get("step") != old.get("step"):
            return False
        further: float = new.get("fraction", 0.0) - old.get("fraction", 0.0)
        return abs(further) < LEAST_FRACTION


# Not frozen, which would nearly double what it costs to read one; nobody changes it all the same.
@dataclass(unsafe_hash=True)
class Event:
    """One event as it stands in the log.

    ``raw`` is its JSON text in UTF-8, without a line end inside.
    """

    seq: int
    type: str
    attempt: int
    raw: bytes

    @classmethod
    def parse(cls, raw: bytes) -> "Event":
        """Reads the head of an encoded event; the rest is decoded only where it is asked for.

        Raises:
            ValueError: this is no event.
        """
        match = _HEAD.match(raw)
        if match is None:
            raise ValueError(f"not an event: {raw[:80]!r}")
        return cls(int(match[1]), match[2].decode(), int(match[3]), raw)

    @cached_property
    def data(self) -> dict[str, Any]:
        """The decoded JSON object."""
        decoded: dict[str, Any] = json.loads(self.raw)
        return decoded

    @cached_property
    def sse(self) -> bytes:
        """The SSE block of this event: ``id``, ``event``, ``data`` and a blank line."""
        return sse_block(self.raw)

    @cached_property
    def line(self) -> bytes:
        """The event as one line of NDJSON."""
        return self.raw + b"\n"

    @property
    def is_terminal(self) -> bool:
        """Whether this is the last event of its log."""
        return self.type in TERMINAL

    @property
    def follows(self) -> int:
        """The ``seq`` of the event before it, which is another one than ``seq - 1`` where numbers were passed over."""
        return int(self.data.get("follows", self.seq - 1))

    @property
    def channel(self) -> str:
        """Of a token: the output that it belongs to."""
        # Inside a text the quotes would be escaped: this is the member, and most events have none.
        return str(self.data["channel"]) if b'"channel":' in self.raw else MAIN_CHANNEL


def head_of(raw: bytes) -> tuple[int, bytes]:
    """``seq`` and type of an encoded event, without the cost of an Event.

    Raises:
        ValueError: this is no event.
    """
    comma = raw.index(b",")
    start = comma + len(',"type":"')
    return int(raw[len('{"seq":') : comma]), raw[start : raw.index(b'"', start)]


def sse_block(raw: bytes) -> bytes:
    """The SSE block of an encoded event."""
    comma = raw.index(b",")
    start = comma + len(',"type":"')
    kind = raw[start : raw.index(b'"', start)]
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (raw[len('{"seq":') : comma], kind, raw)


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that a cursor asks for and that the log no longer holds. Not in the log, so without a ``seq``."""

    lost_from: int
    lost_to: int
    job: str

    @property
    def type(self) -> str:
        """As of an event."""
        return "gap"

    @property
    def raw(self) -> bytes:
        """The JSON object that readers get."""
        fields = {"type": "gap", "lost_from": self.lost_from, "lost_to": self.lost_to, "job": self.job}
        return encode_json(fields).encode()

    @property
    def sse(self) -> bytes:
        """Its SSE block. It has no ``id``: the reader's position stays."""
        return b"event: gap\ndata: %b\n\n" % self.raw


def encode_json(value: Any) -> str:
    """Compact JSON that no client takes for several lines and that has a UTF-8 form, whatever the value holds.

    Raises:
        ValueError: NaN or an infinity.
        TypeError: a value that JSON has no form for.
    """
    text = _encode(value)
    # JSON has escaped the line ends of ASCII. Of a megabyte that is a third of the time.
    return text if text.isascii() else _EXTRA_LINE_ENDS.sub(lambda m: f"\\u{ord(m[0]):04x}", well_formed(text))


def well_formed(text: str) -> str:
    """``text`` with surrogate pairs joined and lone halves replaced by U+FFFD, so that it has a UTF-8 form."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def token_drafts(text: str, channel: str = MAIN_CHANNEL) -> Iterator[Draft]:
    """The ``token`` events of a text: one, or several where one would be longer than an event may be."""
    suffix = "" if channel == MAIN_CHANNEL else f',"channel":{encode_json(channel)}'
    for piece in split_encoded(encode_json(text)[1:-1]):
        yield Draft("token", f'"text":"{piece}"{suffix}')


def split_encoded(encoded: str, limit: int = MAX_TEXT_BYTES) -> Iterator[str]:
    """Cuts the inside of a JSON string into pieces of at most ``limit`` bytes of UTF-8, never inside an escape."""
    if len(encoded) * 4 <= limit or len(raw := encoded.encode()) <= limit:
        yield encoded
        return
    start = 0
    while start < len(raw):
        end = _cut(raw, start, min(start + limit, len(raw)))
        yield raw[start:end].decode()
        start = end


def _cut(raw: bytes, start: int, end: int) -> int:
    """The last place at or before ``end`` that is inside neither a character nor an escape."""
    while end < len(raw) and raw[end] & 0xC0 == 0x80:
        end -= 1
    # The longest escape is \\uXXXX, so it begins at most five bytes before the cut.
    for at in range(end - 1, max(start, end - 6), -1):
        if raw[at : at + 1] == b"\\":
            slashes = at - len(raw[start : at + 1].rstrip(b"\\")) - start + 1
            length = 6 if raw[at + 1 : at + 2] == b"u" else 2
            if slashes % 2 == 1 and at + length > end:
                return at
            break
    return end


def join_tokens(events: Iterable[Event], cuts: Collection[int] = ()) -> Iterator[Event]:
    """Joins neighbouring tokens of one attempt and channel into one event, with the last one's ``seq`` and time.

    For a reader who is behind: ``seq`` is a position, not a count, so nothing is skipped by it. Nothing is joined
    across ``cuts``, the positions that a ``started`` event may roll back to.
    """
    group: list[Event] = []
    size = 0
    for event in events:
        fits = group and size + len(event.raw) <= MAX_TEXT_BYTES and group[-1].seq not in cuts
        fits = fits and _joins(group[-1], event)
        if not fits:
            yield from _joined(group)
            group, size = [], 0
        group.append(event)
        size += len(event.raw)
    yield from _joined(group)


def _joins(last: Event, event: Event) -> bool:
    alike = last.type == event.type == "token" and last.attempt == event.attempt
    return alike and last.channel == event.channel


def _joined(group: list[Event]) -> Iterator[Event]:
    if len(group) < 2:
        yield from group
        return
    last = group[-1]
    raw = _spliced([event.raw for event in group])
    if raw is None:
        raw = encode_json({**last.data, "text": "".join(event.data["text"] for event in group)}).encode()
    yield Event(last.seq, last.type, last.attempt, raw)


def _spliced(raws: list[bytes]) -> bytes | None:
    """Tokens joined as they are encoded, at a tenth of the cost; None where one has more members than most."""
    # Inside a text a quote would be escaped, so neither of the two is found there.
    starts = [raw.find(_TEXT) + len(_TEXT) for raw in raws]
    rests = [raw[start:] for start, raw in zip(starts, raws, strict=True)]
    if min(starts) < len(_TEXT) or any(_MEMBER in rest or not rest.endswith(_END) for rest in rests):
        return None
    texts = [rest[: -len(_END)] for rest in rests]
    return b"%b%b%b" % (raws[-1][: starts[-1]], b"".join(texts), _END)


def rfc3339(epoch_ms: int) -> str:
    """A moment as every event and record shows it: UTC, milliseconds, ``Z``."""
    moment = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{epoch_ms % 1000:03d}Z"
