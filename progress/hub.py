"""The Hub: all Feeds of a process, its one pub/sub connection, and the Subscriptions of its readers.

A reader has one state, its cursor, and asks one question: what comes after it? The answer is in the Feed's tail, or in
the Log, or not there yet. First load, re-connect, slow reader, lost message and restart are that one path.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from progress import keys
from progress.commands import LogPage
from progress.errors import JobNotFound, StoreUnavailable
from progress.events import Event, Gap
from progress.feed import Feed, Page, gap_before
from progress.listener import Batch, Listener
from progress.store import Store

logger = logging.getLogger(__name__)

AUDIT_S: Final = 5.0
"""How often the Hub compares its heads with the Logs: the net under a lost message that nothing followed."""
RETRY_S: Final = 0.25
_LIVE: Final = keys.LIVE.encode()
_ACTIVITY: Final = keys.ACTIVITY.encode()

Entry = Event | Gap


class HubClosing(Exception):  # noqa: N818  # an announcement to readers, not an error
    """The process is going away; readers come back to another one, or to the next."""


class Waker:
    """Lets one task wait for any of its Subscriptions."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._waiter: asyncio.Future[bool] | None = None
        self._woken = False

    def wake(self) -> None:
        """There may be something to read."""
        self._woken = True
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(True)

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
        timer = loop.call_later(timeout_s, _give_up, self._waiter)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None


def _give_up(waiter: "asyncio.Future[bool]") -> None:
    if not waiter.done():
        waiter.set_result(False)


class Subscription:
    """One reader's cursor into a Feed, falling back to the Log. A context manager: leaving it lets the Feed go."""

    def __init__(self, hub: "Hub", feed: Feed, cursor: int, waker: Waker, *, exact: bool = False) -> None:
        self.cursor = feed.head if cursor < 0 else cursor
        self.job_id = feed.job_id
        self._hub = hub
        self._feed = feed
        self._waker = waker
        self._exact = exact
        feed.readers.add(self)

    def wake(self) -> None:
        """See Reader."""
        self._waker.wake()

    @property
    def ended(self) -> bool:
        """Whether nothing will ever come after the cursor."""
        return self._feed.closed and self.cursor >= self._feed.head

    @property
    def lost(self) -> bool:
        """Whether it ended because the job's record is gone, and not with a last event."""
        return self._feed.lost

    async def poll(self) -> Sequence[Entry]:
        """What there is after the cursor, at most about LOG_PAGE events; empty where nothing is there yet.

        Raises:
            StoreUnavailable: the Log is needed and cannot be read now.
        """
        events = self._feed.after(self.cursor)
        if events is None:
            return await self._poll_log()
        if events:
            self.cursor = self._feed.head
        return events

    async def _poll_log(self) -> Sequence[Entry]:
        page = await self._hub.read_page(self._feed, self.cursor)
        events = page.events if self._exact else page.joined
        first = page.events[0].seq if page.events else None
        gap = gap_before(self.cursor, first, self._feed.head, self.job_id)
        self.cursor = page.events[-1].seq if page.events else self._feed.head
        return [gap, *events] if gap else [*events]

    async def batches(self, idle_s: float) -> AsyncIterator[Sequence[Entry]]:
        """Everything after the cursor, until the log's last event; an empty list after ``idle_s`` of silence.

        Raises:
            HubClosing: the process is going away.
        """
        while not self._hub.closing:
            try:
                entries = await self.poll()
            except StoreUnavailable:
                # An open stream stays open: the Hub reads again once Redis is back, and wakes us.
                await self._waker.wait(RETRY_S)
                continue
            if entries:
                yield entries
            elif self.ended:
                return
            elif not await self._waker.wait(idle_s):
                yield []
        raise HubClosing

    def close(self) -> None:
        """Leaves the Feed."""
        self._hub.release(self._feed, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ActivityReader:
    """One reader of the activity of all jobs: a bounded backlog, and a mark where it overflowed."""

    BACKLOG = 1000

    def __init__(self, hub: "Hub") -> None:
        self._waker = Waker(hub)
        self._backlog: list[Event] = []
        self.overflowed = False

    def push(self, events: Iterable[Event]) -> None:
        """Takes events; the backlog of a reader who is too slow is dropped, and it is told so."""
        self._backlog.extend(events)
        if len(self._backlog) > self.BACKLOG:
            self._backlog.clear()
            self.overflowed = True
        self._waker.wake()

    def missed(self) -> None:
        """Marks that messages may have been lost, so that the reader fetches the list anew."""
        self.overflowed = True
        self._waker.wake()

    async def next(self, idle_s: float) -> list[Event]:
        """What came since the last call; empty after ``idle_s`` of silence. Raises HubClosing."""
        if not self._backlog and not self.overflowed:
            await self._waker.wait(idle_s)
        events, self._backlog = self._backlog, []
        return events


@dataclass
class _Opening:
    """A Feed on its way, and how many wait for it."""

    task: asyncio.Task[Feed]
    waiting: int = 0


class Hub:
    """All Feeds of this process. Use on one event loop."""

    def __init__(self, store: Store, listener: Listener) -> None:
        self.closing = False
        self.feeds: dict[str, Feed] = {}
        self.activity_readers: set[ActivityReader] = set()
        self._store = store
        self._listener = listener
        self._opening: dict[str, _Opening] = {}
        self._reading: dict[tuple[str, int], asyncio.Task[LogPage]] = {}
        self._catching_up: dict[str, asyncio.Task[None]] = {}
        self._audit: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Opens the pub/sub connection and begins to audit."""
        self._listener.start(self._on_batch, self._on_connected)
        self._audit = asyncio.create_task(self._audit_forever(), name="hub-audit")

    def announce_close(self) -> None:
        """Lets every reader end at an event boundary, now."""
        self.closing = True
        for feed in self.feeds.values():
            feed.wake()
        for reader in self.activity_readers:
            reader.missed()

    async def close(self) -> None:
        """Ends every task and the connection."""
        self.announce_close()
        tasks: list[asyncio.Task[Any]] = [
            *(o.task for o in self._opening.values()),
            *self._reading.values(),
            *self._catching_up.values(),
        ]
        if self._audit:
            tasks.append(self._audit)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._listener.close()

    async def subscribe(
        self, job_id: str, after: int, *, waker: Waker | None = None, exact: bool = False
    ) -> Subscription:
        """A cursor into a job's log; ``after`` -1 is from now on.

        Raises:
            JobNotFound: there is no such job.
            StoreUnavailable: Redis cannot be asked now.
        """
        opening = self._opening.get(job_id)
        if opening is None:
            opening = self._opening[job_id] = _Opening(asyncio.create_task(self._open(job_id)))
        opening.waiting += 1
        try:
            feed = self.feeds.get(job_id) or await asyncio.shield(opening.task)
            return Subscription(self, feed, after, waker or Waker(self), exact=exact)
        finally:
            self._settle(job_id, opening)

    def _settle(self, job_id: str, opening: "_Opening") -> None:
        """Whoever came last closes the door: the Feed goes too if everyone who wanted it has left meanwhile."""
        opening.waiting -= 1
        if opening.waiting:
            return
        del self._opening[job_id]
        opening.task.cancel()
        feed = self.feeds.get(job_id)
        if feed:
            self.release(feed, None)

    async def _open(self, job_id: str) -> Feed:
        if feed := self.feeds.get(job_id):
            return feed
        # Subscribed first, read second: what is published in between comes twice, never not at all.
        try:
            await self._listener.subscribe(keys.live(job_id))
            page = await self._store.read_log(job_id, 0, 0)
        except BaseException:
            self._listener.unsubscribe(keys.live(job_id))
            raise
        feed = self.feeds[job_id] = Feed(job_id, page.last_seq or 0, closed=page.ended)
        return feed

    def release(self, feed: Feed, reader: Subscription | None) -> None:
        """A reader leaves; the last one takes the Feed with it."""
        feed.readers.discard(reader)  # type: ignore[arg-type]  # discarding None is nothing
        if not feed.readers and self.feeds.get(feed.job_id) is feed:
            del self.feeds[feed.job_id]
            self._listener.unsubscribe(keys.live(feed.job_id))

    async def read_page(self, feed: Feed, after: int) -> Page:
        """A page of a Feed's Log, read once for all who ask for it together."""
        page = feed.remembered(after)
        if page is not None:
            return page
        place = (feed.job_id, after)
        task = self._reading.get(place)
        if task is None:
            task = self._reading[place] = asyncio.create_task(self._store.read_log(feed.job_id, after))
            task.add_done_callback(lambda _done: self._reading.pop(place, None))
        try:
            log_page = await asyncio.shield(task)
        except JobNotFound:
            feed.end(lost=True)
            return Page([])
        return feed.remembered(after) or feed.remember(after, log_page.events)

    def _on_batch(self, batch: Batch) -> None:
        touched: dict[str, Feed] = {}
        for channel, payload in batch:
            if channel == _ACTIVITY:
                self._on_activity(payload)
                continue
            feed = self.feeds.get(channel[len(_LIVE) :].decode())
            if feed is not None:
                touched[feed.job_id] = feed
                self._push(feed, payload)
        for feed in touched.values():
            feed.wake()

    def _push(self, feed: Feed, payload: bytes) -> None:
        for raw in payload.split(b"\n"):
            if feed.push(Event.parse(raw)) == "gap":
                self._catch_up(feed)

    def _on_activity(self, payload: bytes) -> None:
        events = [Event.parse(payload)]
        for reader in self.activity_readers:
            reader.push(events)

    def _on_connected(self) -> None:
        for feed in self.feeds.values():
            self._catch_up(feed)
        for reader in self.activity_readers:
            reader.missed()

    def _catch_up(self, feed: Feed) -> None:
        if feed.job_id not in self._catching_up:
            task = self._catching_up[feed.job_id] = asyncio.create_task(self._read_on(feed))
            task.add_done_callback(lambda _done: self._catching_up.pop(feed.job_id, None))

    async def _read_on(self, feed: Feed) -> None:
        """Reads the Log after the head until the two agree, however long Redis is away."""
        while feed.readers and not feed.lost:
            try:
                page = await self._store.read_log(feed.job_id, feed.head)
            except StoreUnavailable:
                await asyncio.sleep(RETRY_S)
                continue
            except JobNotFound:
                feed.end(lost=True)
                break
            self._take(feed, page)
            feed.wake()
            if feed.head >= max(page.last_seq or 0, feed.furthest) or not page.events:
                break
        feed.wake()

    def _take(self, feed: Feed, page: LogPage) -> None:
        if page.events and page.events[0].seq > feed.head + 1:
            feed.skip_to(page.events[0].seq - 1)
        for event in page.events:
            feed.push(event)
        if not page.events and (page.last_seq or 0) > feed.head:
            feed.skip_to(page.last_seq or 0)
        if page.ended and feed.head >= (page.last_seq or 0):
            feed.end()

    async def _audit_forever(self) -> None:
        while True:
            await asyncio.sleep(AUDIT_S)
            feeds = [feed for feed in self.feeds.values() if not feed.closed]
            if feeds:
                await self._compare(feeds)

    async def _compare(self, feeds: list[Feed]) -> None:
        try:
            heads = await self._store.heads(tuple(feed.job_id for feed in feeds))
        except StoreUnavailable as error:
            logger.warning("audit put off: %s", error)
            return
        for feed, head in zip(feeds, heads, strict=True):
            if head is None or head > feed.head:
                self._catch_up(feed)

    async def follow_activity(self, stack: AsyncExitStack) -> ActivityReader:
        """A reader of every job's state changes and progress from now on; it leaves with ``stack``.

        Raises:
            StoreUnavailable: Redis cannot be asked now.
        """
        reader = ActivityReader(self)
        self.activity_readers.add(reader)
        stack.callback(self._leave_activity, reader)
        await self._listener.subscribe(keys.ACTIVITY)
        return reader

    def _leave_activity(self, reader: ActivityReader) -> None:
        self.activity_readers.discard(reader)
        if not self.activity_readers:
            self._listener.unsubscribe(keys.ACTIVITY)
