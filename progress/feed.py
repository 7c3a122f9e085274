"""A Feed: the in-memory tail of one Log in one API process, already encoded.

Its whole rule: an event with ``seq == head + 1`` is taken; one at or below ``head`` is known; one above is a gap, and
the Log is read after ``head``. So joining needs no held queue, pub/sub may lose messages, and a slow reader
needs no queue of its own.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, Protocol

from progress.commands import LogPage
from progress.events import ENDS, Event, Gap, head_of, sse_block
from progress.pages import Page, Pages

TAIL_BYTES: Final = 256 * 1024
TAIL_EVENTS: Final = 512
"""A tail longer than this loses its older half; whoever wants that reads the Log."""
_EACH: Final = TAIL_BYTES // TAIL_EVENTS
"""What an event takes of a tail beside its bytes, so that one sum keeps both limits."""

_TOKEN: Final = b'{"seq":%d,"type":"token",'
_LINE_END: Final = ord("\n")

Taken = Literal["taken", "known", "gap"]
Framing = Callable[[str, int, Sequence[bytes], bool], bytes]
"""Makes the bytes for all of a kind: of the job's id, the first event's ``seq``, the events, whether all are tokens."""


class Reader(Protocol):
    """Whoever wants to know that a Feed has moved on."""

    def wake(self) -> None:
        """Called on the event loop after events came, or when the Feed ends."""


class Writer(Protocol):
    """Whoever takes all events at once, as they come."""

    @property
    def framing(self) -> Framing:
        """What it takes, made once for all who take the same."""

    def write(self, frame: bytes) -> bool:
        """Takes a frame; False where it cannot at once, and then nothing of it is taken."""


class Follower(Reader, Protocol):
    """A reader that was in step."""

    def fall_out(self, cursor: int) -> None:
        """It is no longer in step, and has had everything up to ``cursor``."""


class Feed:
    """The tail of one job's log.

    ``head`` is the last ``seq`` known; ``base`` the one before the first that the tail holds; ``lost`` says that the
    record is gone, so nothing will come any more; ``wants_readers`` that the job is cancelled when nobody reads it.
    """

    __slots__ = (
        "_events",
        "_pages",
        "_room",
        "_sse",
        "_tail",
        "base",
        "closed",
        "furthest",
        "head",
        "in_step",
        "job_id",
        "lost",
        "readers",
        "stepped",
        "wants_readers",
    )

    def __init__(self, job_id: str, head: int, *, closed: bool, pages: Pages | None = None) -> None:
        self.job_id = job_id
        self.head = head
        self.base = head
        self.closed = closed
        self.lost = False
        self.wants_readers = False
        self.readers: set[Reader] = set()
        self.in_step: dict[Writer, Follower] = {}
        """Those that have had everything: what comes is written to them without asking where they are."""
        self.stepped = head
        """Up to where those in step have had it."""
        self.furthest = head
        """The last ``seq`` that was heard of, as far as that is above the head."""
        # As they came: most are never looked into, and bytes cost the garbage collector nothing.
        self._tail: list[bytes] = []
        self._room = TAIL_BYTES
        self._pages = pages or Pages()
        self._sse = (-1, -1, b"")
        self._events: tuple[int, int, list[Event]] = (-1, -1, [])

    def hear(self, messages: Sequence[bytes]) -> bool:
        """Takes what was published, and hands it on: each message is an event, or several, one a line.

        Returns False where some before them are missing.

        Raises:
            ValueError: this is no event.
        """
        head, room, tail = self.head, self._room, self._tail
        before = head
        # Nearly every one is the next token, and nothing else of it has to be read.
        for message in messages:
            if not message.startswith(_TOKEN % (head + 1)) or _LINE_END in message:
                self.head, self._room = head, room
                return self._hear_any(messages)
            head += 1
            room -= len(message) + _EACH
            tail.append(message)
        self.head, self._room = head, room
        if self.in_step:
            self._write(before, messages, only_tokens=True)
        if room < 0:
            self._forget_half()
        if self.readers:
            self._wake_readers()
        return True

    def _hear_any(self, messages: Sequence[bytes]) -> bool:
        try:
            return "gap" not in [self.push(raw) for message in messages for raw in message.split(b"\n")]
        finally:
            self.wake()

    def push(self, raw: bytes) -> Taken:
        """Takes an encoded event, from pub/sub or from the Log. Says ``gap`` where some before it are missing.

        Raises:
            ValueError: this is no event.
        """
        seq, kind = head_of(raw)
        if seq != self.head + 1:
            if seq <= self.head:
                return "known"
            self.furthest = max(self.furthest, seq)
            return "gap"
        if kind in ENDS:
            self.closed = True
        self._keep(raw)
        return "taken"

    def _keep(self, raw: bytes) -> None:
        self.head += 1
        self._tail.append(raw)
        self._room -= len(raw) + _EACH
        if self._room < 0:
            self._forget_half()

    def take(self, page: LogPage) -> None:
        """Takes what was read from the Log after the head, over whatever the Log itself has lost."""
        end = page.last_seq or 0
        first = page.events[0].seq if page.events else end + 1
        if first > self.head + 1:
            self.skip_to(first - 1)
        for event in page.events:
            self.push(event.raw)
        if page.ended and self.head >= end:
            self.end()

    def skip_to(self, seq: int) -> None:
        """Moves on past events that the Log itself has lost."""
        self.head = self.base = seq
        self.furthest = max(self.furthest, seq)
        self._tail.clear()
        self._room = TAIL_BYTES

    def end(self, *, lost: bool = False) -> None:
        """Marks that nothing more will come."""
        self.closed = True
        self.lost = self.lost or lost

    def after(self, cursor: int) -> list[Event] | None:
        """The events after a cursor, or None where the tail no longer holds them all."""
        if cursor < self.base:
            return None
        start, end, events = self._events
        if start != cursor or end != self.head:
            # Together with many others, as a rule: it is read once for all who ask.
            events = [Event.parse(raw) for raw in self._tail[cursor - self.base :]]
            self._events = (cursor, self.head, events)
        return events

    def sse_after(self, cursor: int) -> bytes | None:
        """The same as SSE blocks in one piece, made once for all readers that keep up; None as with ``after``."""
        start, end, blocks = self._sse
        if start == cursor and end == self.head:
            return blocks
        if cursor < self.base:
            return None
        new = self._tail[cursor - self.base :]
        blocks = sse_block(new[0]) if len(new) == 1 else b"".join(map(sse_block, new))
        self._sse = (cursor, self.head, blocks)
        return blocks

    def wake(self) -> None:
        """Writes what is new to those in step, and tells every other reader."""
        if self.in_step:
            self._step()
        self._wake_readers()

    def _wake_readers(self) -> None:
        for reader in tuple(self.readers):
            reader.wake()

    def keep_step(self, writer: Writer, follower: Follower) -> None:
        """Adds one that has had everything up to the head."""
        if self.in_step:
            self._step()
        self.stepped = self.head
        self.in_step[writer] = follower

    def _step(self) -> None:
        before = self.stepped
        # The last event, and whatever is left of the Log, is for each by itself.
        if self.closed or before < self.base:
            self.stepped = self.head
            self._fall_out(tuple(self.in_step), before)
        elif before < self.head:
            self._write(before, self._tail[before - self.base :], only_tokens=False)

    def _write(self, before: int, raws: Sequence[bytes], *, only_tokens: bool) -> None:
        self.stepped = self.head
        framing, frame = None, b""
        frames: dict[Framing, bytes] = {}
        late: tuple[Writer, ...] = ()
        for writer in self.in_step:
            if writer.framing is not framing:
                if framing:
                    frames[framing] = frame
                framing = writer.framing
                frame = frames.get(framing) or framing(self.job_id, before + 1, raws, only_tokens)
            if not writer.write(frame):
                late = (*late, writer)
        if late:
            self._fall_out(late, before)

    def _fall_out(self, late: Iterable[Writer], cursor: int) -> None:
        for writer in late:
            self.in_step.pop(writer).fall_out(cursor)

    def remembered(self, after: int) -> Page | None:
        """The page of the Log after a cursor, if it was read a moment ago."""
        return self._pages.get(self, after)

    def remember(self, after: int, events: Iterable[Event], cuts: frozenset[int] = frozenset()) -> Page:
        """Keeps a page for the next reader with the same cursor."""
        page = Page(list(events), cuts)
        self._pages.keep(self, after, page)
        return page

    def forget_pages(self) -> None:
        """Lets the pages go: those who start together are served, and a Feed may live for hours."""
        self._pages.forget(self)

    def _forget_half(self) -> None:
        keep = self._tail[len(self._tail) // 2 + 1 :]
        self.base += len(self._tail) - len(keep)
        self._tail = keep
        self._room = TAIL_BYTES - sum(map(len, keep)) - len(keep) * _EACH


def gap_before(cursor: int, first: Event | None, end: int, job_id: str) -> Gap | None:
    """The gap between a cursor and the first event that there still is (None: there is none up to ``end``)."""
    upto = end if first is None else first.seq - 1
    if upto <= cursor or (first and first.follows == cursor):
        return None
    return Gap(cursor + 1, upto, job_id)
