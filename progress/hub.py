"""The Hub: all Feeds of a process, its one pub/sub connection, and the Subscriptions of its readers."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, ExitStack
from typing import Any, Final, TypeVar

from progress import cancelling, keys
from progress.activity import ActivityReader
from progress.audit import AUDIT_S, Audit
from progress.commands import LogPage
from progress.errors import JobNotFound, StoreUnavailable
from progress.events import Event, head_of
from progress.feed import Feed, Reader
from progress.listener import Batch, Listener
from progress.pages import Page, Pages
from progress.readers import RETRY_S, Entry, HubClosing, Subscription, Wakeable, Waker
from progress.store import Store

__all__ = ["AUDIT_S", "RETRY_S", "ActivityReader", "Entry", "Hub", "HubClosing", "Subscription", "Wakeable", "Waker"]

logger = logging.getLogger(__name__)
T = TypeVar("T")

SLACK_S: Final = 3 * AUDIT_S
"""What a job that is read may go beyond its time before the next audit says so again."""
_LIVE: Final = len(keys.LIVE)
_ACTIVITY: Final = keys.ACTIVITY.encode()


class _Opening:
    """A Feed on its way, how many wait for it, and the last ``seq`` that was heard of meanwhile."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.waiting = 0
        self.heard = 0
        self.task: asyncio.Task[Feed]


class Hub:
    """All Feeds of this process. Use on one event loop."""

    def __init__(self, store: Store, listener: Listener, *, audit_s: float = AUDIT_S) -> None:
        self.closing = False
        self.feeds: dict[str, Feed] = {}
        self._heard_by: dict[bytes, Feed] = {}
        self.activity_readers: set[ActivityReader] = set()
        self.waiting: set[Wakeable] = set()
        self._store = store
        self._listener = listener
        self._pages = Pages()
        self._opening: dict[str, _Opening] = {}
        self._reading: dict[tuple[Feed, int], asyncio.Task[LogPage]] = {}
        self._catching_up: dict[Feed, asyncio.Task[None]] = {}
        self._watching: set[asyncio.Task[None]] = set()
        self._audit = Audit(
            store,
            listener,
            self.feeds,
            every_s=audit_s,
            watch=lambda feeds: self._watch(feeds, SLACK_S),
            catch_up=self._catch_up,
        )
        self._auditing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Opens the pub/sub connection and begins to audit."""
        self._listener.start(self._on_batch, self._on_connected)
        self._auditing = asyncio.create_task(self._audit.run(), name="hub-audit")

    def announce_close(self) -> None:
        """Lets every reader end at an event boundary, now."""
        self.closing = True
        for waker in tuple(self.waiting):
            waker.wake()

    async def close(self) -> None:
        """Ends every task and the connection."""
        self.announce_close()
        tasks: list[asyncio.Task[Any]] = [*self._reading.values(), *self._catching_up.values(), *self._watching]
        tasks += [opening.task for opening in self._opening.values()]
        tasks += [self._auditing] if self._auditing else []
        await cancelling.end(*tasks)
        await self._listener.close()

    async def subscribe(
        self, job_id: str, after: int, *, waker: Wakeable | None = None, exact: bool = False
    ) -> Subscription:
        """A cursor into a job's log; ``after`` -1 is from now on.

        Raises:
            JobNotFound: there is no such job.
            StoreUnavailable: Redis cannot be asked now, or this process is going away.
        """
        waker = waker or Waker(self)
        if feed := self.feeds.get(job_id):
            return Subscription(self, feed, after, waker, exact=exact)
        opening = self._opening.get(job_id) or self._begin_opening(job_id)
        opening.waiting += 1
        try:
            return Subscription(self, await _shared(opening.task), after, waker, exact=exact)
        finally:
            opening.waiting -= 1
            self._settle(opening)

    def _begin_opening(self, job_id: str) -> _Opening:
        if self.closing:
            raise StoreUnavailable("this process is going away")
        opening = self._opening[job_id] = _Opening(job_id)
        # Not cancelled when nobody waits any more: it is short, and the next one may come meanwhile.
        opening.task = asyncio.create_task(self._open(opening))
        opening.task.add_done_callback(lambda task: self._opened(opening, task))
        return opening

    async def _open(self, opening: _Opening) -> Feed:
        job_id, channel = opening.job_id, keys.live(opening.job_id)
        with ExitStack() as failed:
            failed.callback(self._listener.unsubscribe, channel)
            # Subscribed first, read second: what is published in between comes twice, never not at all.
            await self._listener.subscribe(channel)
            page = await self._store.read_log(job_id, 0, 0)
            failed.pop_all()
        feed = self.feeds[job_id] = Feed(job_id, page.last_seq or 0, closed=page.ended, pages=self._pages)
        self._heard_by[channel.encode()] = feed
        feed.wants_readers = page.wants_readers and not page.ended
        self._watch([feed], SLACK_S)
        # It came between the answer and this line, when there was no Feed to take it.
        if opening.heard > feed.head:
            feed.furthest = opening.heard
            self._catch_up(feed)
        return feed

    def _opened(self, opening: _Opening, task: "asyncio.Task[Feed]") -> None:
        if task.cancelled() or task.exception():
            del self._opening[opening.job_id]
        else:
            self._settle(opening)

    def _settle(self, opening: _Opening) -> None:
        """Whoever comes last closes the door: the Feed goes too if all who wanted it have left meanwhile."""
        if opening.waiting or not opening.task.done() or self._opening.get(opening.job_id) is not opening:
            return
        del self._opening[opening.job_id]
        self._drop_unread(self.feeds[opening.job_id])

    def release(self, feed: Feed, reader: Reader) -> None:
        """A reader leaves; the last one takes the Feed with it."""
        feed.readers.discard(reader)
        self._drop_unread(feed)

    def _drop_unread(self, feed: Feed) -> None:
        job_id = feed.job_id
        if not feed.readers and not feed.in_step and self.feeds.get(job_id) is feed and job_id not in self._opening:
            channel = keys.live(job_id)
            del self.feeds[job_id], self._heard_by[channel.encode()]
            feed.forget_pages()
            self._listener.unsubscribe(channel)
            self._watch([feed], 0)

    def _watch(self, feeds: Iterable[Feed], slack_s: float) -> None:
        """Says which jobs are read, of those that are cancelled when nobody does: at times, and as readers leave."""
        job_ids = tuple(feed.job_id for feed in feeds if feed.wants_readers and not feed.closed)
        if job_ids and not self.closing:
            task = asyncio.create_task(self._say_watched(job_ids, slack_s))
            self._watching.add(task)
            task.add_done_callback(self._watching.discard)

    async def _say_watched(self, job_ids: tuple[str, ...], slack_s: float) -> None:
        try:
            await self._store.watched(job_ids, slack_s)
        except StoreUnavailable as error:
            logger.warning("readers not noted: %s", error)

    async def read_page(self, feed: Feed, after: int) -> Page:
        """A page of a Feed's Log, read once for all who ask for it together.

        Raises:
            StoreUnavailable: it cannot be read now, or has been set back by a crash of Redis just now.
        """
        page = feed.remembered(after)
        if page is not None:
            return page
        try:
            log_page = await _shared(self._reading.get((feed, after)) or self._begin_reading(feed, after))
        except JobNotFound:
            feed.end(lost=True)
            return Page([])
        if not log_page.events and (log_page.last_seq or 0) < feed.head and not self._audit.settled:
            raise StoreUnavailable("it has lost what this process has seen, and is about to be told")
        return feed.remembered(after) or feed.remember(after, log_page.events, log_page.cuts)

    def _begin_reading(self, feed: Feed, after: int) -> "asyncio.Task[LogPage]":
        task = self._reading[feed, after] = asyncio.create_task(self._store.read_log(feed.job_id, after))

        def done(_task: "asyncio.Task[LogPage]") -> None:
            del self._reading[feed, after]
            # Asked for, so that nothing complains where every reader has left.
            _task.cancelled() or _task.exception()

        task.add_done_callback(done)
        return task

    def _on_batch(self, batch: Batch) -> None:
        news: dict[bytes, list[bytes]] = {}
        for channel, message in batch:
            if channel in news:
                news[channel].append(message)
            else:
                news[channel] = [message]
        feeds = self._heard_by
        for channel, messages in news.items():
            feed = feeds.get(channel)
            if feed is None:
                self._hear_elsewhere(channel, messages)
            elif not feed.hear(messages):
                self._catch_up(feed)

    def _hear_elsewhere(self, channel: bytes, messages: Sequence[bytes]) -> None:
        if channel == _ACTIVITY:
            self._on_activity(messages)
        elif opening := self._opening.get(channel[_LIVE:].decode()):
            last = messages[-1]
            opening.heard = max(opening.heard, head_of(last[last.rfind(b"\n") + 1 :])[0])

    def _on_activity(self, messages: Iterable[bytes]) -> None:
        events = list(map(Event.parse, messages))
        for reader in self.activity_readers:
            reader.push(events)

    def _on_connected(self) -> None:
        self._audit.reconnected()
        for reader in self.activity_readers:
            reader.missed()

    def _catch_up(self, feed: Feed) -> None:
        if feed not in self._catching_up:
            self._catching_up[feed] = asyncio.create_task(self._read_on(feed))

    async def _read_on(self, feed: Feed) -> None:
        """Reads the Log after the head until the two agree, however long Redis is away."""
        try:
            while not feed.closed and self.feeds.get(feed.job_id) is feed and not await self._read_more(feed):
                pass
        finally:
            del self._catching_up[feed]
            feed.wake()

    async def _read_more(self, feed: Feed) -> bool:
        """Takes one page of what the Feed has missed; says whether that was all."""
        try:
            page = await self._store.read_log(feed.job_id, feed.head)
        except StoreUnavailable:
            await asyncio.sleep(RETRY_S)
            return False
        except JobNotFound:
            feed.end(lost=True)
            return True
        feed.take(page)
        feed.wake()
        return not page.events or feed.head >= max(page.last_seq or 0, feed.furthest)

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


async def _shared(task: "asyncio.Task[T]") -> T:
    """What a task brings that several wait for: one of them may be cancelled, the task only by the Hub's end."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if task.cancelled():
            raise StoreUnavailable("this process is going away") from None
        raise
