"""Readers: the Subscription, one cursor into a Feed or the Log, and how it waits.

A reader has one state, its cursor, and asks one question: what comes after it? The answer is in the Feed's tail, or in
the Log, or not there yet. First load, re-connect, slow reader, lost message and restart are that one path.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from progress.errors import StoreUnavailable
from progress.events import Event, Gap
from progress.feed import Feed, Reader, Writer, gap_before
from progress.pages import Page

RETRY_S: Final = 0.25
"""How long a reader, or the Hub, waits before it asks a Redis again that did not answer."""

Entry = Event | Gap


class HubClosing(Exception):
    """The process is going away; readers come back to another one, or to the next."""


class Source(Protocol):
    """What readers need of the Hub."""

    closing: bool
    waiting: "set[Wakeable]"

    async def read_page(self, feed: Feed, after: int) -> Page:
        """A page of a Feed's Log. Raises StoreUnavailable."""

    def release(self, feed: Feed, reader: Reader) -> None:
        """A reader leaves."""


class Wakeable(Protocol):
    """Whoever a Subscription tells that there may be something to read."""

    def wake(self) -> None:
        """Called on the event loop; must not block, nor raise."""


class Waker:
    """Lets one task wait for any of its Subscriptions."""

    def __init__(self, hub: Source) -> None:
        self._hub = hub
        self._waiter: asyncio.Future[None] | None = None
        self._woken = False

    def wake(self) -> None:
        """There may be something to read."""
        self._woken = True
        _finish(self._waiter)

    async def wait(self, timeout_s: float) -> bool:
        """Returns True after a wake, False when that took longer than ``timeout_s``.

        Raises:
            HubClosing: the process is going away.
        """
        if not self._woken and not self._hub.closing:
            await self._wait(timeout_s)
        if self._hub.closing:
            raise HubClosing
        woken, self._woken = self._woken, False
        return woken

    async def _wait(self, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(timeout_s, _finish, self._waiter)
        self._hub.waiting.add(self)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._hub.waiting.discard(self)
            self._waiter = None


def _finish(waiter: "asyncio.Future[None] | None") -> None:
    if waiter and not waiter.done():
        waiter.set_result(None)


class Subscription:
    """One reader's cursor into a Feed, falling back to the Log. A context manager: leaving it lets the Feed go."""

    __slots__ = ("_exact", "_feed", "_hub", "_waker", "_writer", "cursor", "job_id")

    def __init__(self, hub: Source, feed: Feed, cursor: int, waker: Wakeable, *, exact: bool = False) -> None:
        self.cursor = feed.head if cursor < 0 else cursor
        self.job_id = feed.job_id
        self._hub = hub
        self._feed = feed
        self._waker = waker
        self._exact = exact
        self._writer: Writer | None = None
        feed.readers.add(self)

    def keep_step(self, writer: Writer) -> None:
        """Lets what comes be written at once, if everything was read; ``wake`` is called when that is over."""
        if self.cursor == self._feed.head and not self._feed.closed and not self._writer:
            self._writer = writer
            self._feed.readers.discard(self)
            self._feed.keep_step(writer, self)

    def fall_out(self, cursor: int) -> None:
        """See Follower."""
        self._writer = None
        self.cursor = cursor
        self._feed.readers.add(self)
        self._waker.wake()

    def leave_step(self) -> None:
        """Goes on by its cursor."""
        if self._writer:
            del self._feed.in_step[self._writer]
            self._writer = None
            self.cursor = self._feed.stepped
            self._feed.readers.add(self)

    @property
    def in_step(self) -> bool:
        """Whether what comes is written at once."""
        return self._writer is not None

    @property
    def head(self) -> int:
        """The last ``seq`` that is known here."""
        return self._feed.head

    def wake(self) -> None:
        """See Reader."""
        self._waker.wake()

    @property
    def ended(self) -> bool:
        """Whether nothing will ever come after the cursor."""
        return self._feed.closed and self.cursor >= self._feed.head

    @property
    def up_to_date(self) -> bool:
        """Whether everything so far was read, and something may come."""
        return not self._feed.closed and self.cursor >= self._feed.head

    @property
    def lost(self) -> bool:
        """Whether it ended because the job's record is gone, and not with a last event."""
        return self._feed.lost

    def peek(self) -> Sequence[Event] | None:
        """What the Feed's tail holds after the cursor, at once; None where only the Log can tell."""
        return self._feed.after(self.cursor)

    def peek_sse(self) -> bytes | None:
        """The same as SSE blocks, shared by all who read along."""
        return self._feed.sse_after(self.cursor)

    def advance(self) -> None:
        """Moves the cursor past what was peeked at, once it is sent. No ``await`` may lie in between.

        Never back: a reader who was in the Log a moment ago may be ahead of the messages that the Feed has had.
        """
        self.cursor = max(self.cursor, self._feed.head)

    async def poll(self) -> Sequence[Entry]:
        """What there is after the cursor, at most about LOG_PAGE events; empty where nothing is there yet.

        Raises:
            HubClosing: the process is going away.
            StoreUnavailable: the Log is needed and cannot be read now.
        """
        if self._hub.closing:
            raise HubClosing
        if self._writer:
            return ()
        events = self._feed.after(self.cursor)
        if events is None:
            return await self._poll_log()
        if events:
            self.cursor = self._feed.head
        return events

    async def poll_sse(self) -> bytes:
        """The same as SSE blocks, shared by all who are at the same place; empty where nothing is there yet."""
        if self._hub.closing:
            raise HubClosing
        if self._writer:
            return b""
        blocks = self._feed.sse_after(self.cursor)
        if blocks is not None:
            self.cursor = max(self.cursor, self._feed.head)
            return blocks
        page, gap = await self._read_page()
        return self._framed(page, gap)

    def take_sse(self, write: Callable[[bytes], bool]) -> bool:
        """Writes what memory holds after the cursor, the tail or a page that others have read, and moves on past it.

        Returns False where nothing is written: the Log has to be read, or ``write`` says that it cannot take more.
        """
        blocks = self._feed.sse_after(self.cursor)
        if blocks is not None:
            if blocks and not write(blocks):
                return False
            self.advance()
            return True
        page = self._feed.remembered(self.cursor)
        if page is None or not write(self._framed(page, self._gap_before(page))):
            return False
        self.cursor = page.events[-1].seq
        return True

    def _framed(self, page: Page, gap: Gap | None) -> bytes:
        blocks = page.sse if self._exact else page.joined_sse
        return gap.sse + blocks if gap else blocks

    async def _poll_log(self) -> Sequence[Entry]:
        page, gap = await self._read_page()
        events = page.events if self._exact else page.joined
        return [gap, *events] if gap else events

    async def _read_page(self) -> tuple[Page, Gap | None]:
        """What the Log holds after the cursor, which moves on, and what it no longer does."""
        page = await self._hub.read_page(self._feed, self.cursor)
        gap = self._gap_before(page)
        self.cursor = page.events[-1].seq if page.events else self._feed.head
        return page, gap

    def _gap_before(self, page: Page) -> Gap | None:
        first = page.events[0] if page.events else None
        return gap_before(self.cursor, first, self._feed.head, self.job_id)

    async def batches(self, idle_s: float) -> AsyncIterator[Sequence[Entry]]:
        """Everything after the cursor, until the log's last event; an empty list after ``idle_s`` of silence.

        Raises:
            HubClosing: the process is going away.
        """
        waker = self._waker
        if not isinstance(waker, Waker):
            raise TypeError("a reader that brings its own wake() is driven: it peeks, or polls")
        while True:
            try:
                entries = await self.poll()
            except StoreUnavailable:
                # An open stream stays open: the Hub reads again once Redis is back, and wakes us.
                await waker.wait(RETRY_S)
                continue
            if entries:
                yield entries
            elif self.ended:
                return
            elif not await waker.wait(idle_s):
                yield []

    def close(self) -> None:
        """Leaves the Feed."""
        self.leave_step()
        self._hub.release(self._feed, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
