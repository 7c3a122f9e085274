"""Readers: a cursor each, on the Feeds of whatever API process there is."""

import math
from collections.abc import Iterable
from typing import Final

from progress.commands import ReadLog
from progress.errors import StoreUnavailable
from progress.events import Event, Gap, join_tokens
from progress.feed import Feed
from progress.keys import SETTLE_MS
from progress.pages import Page
from progress.readers import Subscription, Wakeable
from tests.contract.promises.process import drive
from tests.contract.promises.world import World

PAGE: Final = 6
"""Events in a page: few, so that a reader needs several."""


class Feeds:
    """The Feeds of one API process, as its Hub keeps them. The next ``missed`` events do not reach it."""

    def __init__(self, world: World) -> None:
        self.closing = False
        self.waiting: set[Wakeable] = set()
        self.missed = 0
        self._world = world
        self._feeds: dict[str, Feed] = {}
        world.listeners.append(self._hear)

    def wake(self) -> None:
        """See Wakeable: readers here look by themselves."""

    def subscribe(self, job_id: str, cursor: int, *, exact: bool) -> Subscription:
        """A cursor into a log."""
        if job_id not in self._feeds:
            page = self._world.site.run(ReadLog(job_id, 0, 0))
            self._feeds[job_id] = Feed(job_id, page.last_seq or 0, closed=page.ended)
        return Subscription(self, self._feeds[job_id], cursor, self, exact=exact)

    async def read_page(self, feed: Feed, after: int) -> Page:
        """See Source, and Hub.read_page."""
        if page := feed.remembered(after):
            return page
        read = self._world.site.run(ReadLog(feed.job_id, after, PAGE))
        if read.last_seq is None:
            feed.end(lost=True)
            return Page([])
        return feed.remember(after, read.events, read.cuts)

    def release(self, feed: Feed, reader: object) -> None:
        """See Source."""

    def _hear(self, job_id: str, event: Event) -> None:
        feed = self._feeds.get(job_id)
        if feed and self.missed:
            self.missed -= 1
        elif feed and feed.push(event.raw) == "gap":
            self._catch_up(feed)

    def audit(self) -> None:
        """Hears again, and finds what was missed meanwhile: see Audit."""
        self.missed = 0
        for feed in self._feeds.values():
            job = self._world.job(feed.job_id)
            settled = self._world.clock.ms >= self._world.crashed_at + SETTLE_MS
            if not feed.closed and (settled if job is None else job.last_seq > feed.head):
                self._catch_up(feed)
            feed.forget_pages()

    def _catch_up(self, feed: Feed) -> None:
        """See Hub._read_more."""
        more = True
        while more and not feed.closed:
            try:
                page = self._world.site.run(ReadLog(feed.job_id, feed.head, PAGE))
            except StoreUnavailable:
                return
            if page.last_seq is None:
                feed.end(lost=True)
                return
            feed.take(page)
            more = bool(page.events) and feed.head < max(page.last_seq, feed.furthest)

    def close(self) -> None:
        """Its process is gone."""
        self._world.listeners.remove(self._hear)


class Reader:
    """Whoever follows a job, from a position on; it comes back to another process with the position that it has.

    ``got`` is what it was given since it was last told of a gap, ``since`` the position at which that begins. Once it
    ``is_whole``, the text that it holds is that of the log: it has missed nothing that counts.
    """

    def __init__(self, job_id: str, since: int, *, exact: bool) -> None:
        self.job_id = job_id
        self.exact = exact
        self.since = since
        self.cursor = since
        self.is_whole = since == 0
        self.held: list[Event] = []
        self.got: list[Event] = []
        self._feeds: Feeds | None = None
        self._subscription: Subscription | None = None

    def read(self, feeds: Feeds) -> bool:
        """Takes what there is now; says whether there was anything."""
        if not self._comes_to(feeds):
            return False
        assert self._subscription
        try:
            entries = drive(self._subscription.poll())
        except StoreUnavailable:
            return False
        for entry in entries:
            if isinstance(entry, Gap):
                self._skip(entry)
            else:
                self.take(entry)
        return bool(entries)

    def _comes_to(self, feeds: Feeds) -> bool:
        """Whether it is there: of a job that may come back after a crash nobody is told anything."""
        if self._subscription is None or self._feeds is not feeds:
            try:
                self._subscription = feeds.subscribe(self.job_id, self.cursor, exact=self.exact)
            except StoreUnavailable:
                return False
            self._feeds = feeds
            if self.cursor < 0:
                self.since = self.cursor = self._subscription.cursor
        return True

    def _skip(self, gap: Gap) -> None:
        assert (gap.lost_from, gap.lost_to > self.cursor) == (self.cursor + 1, True)
        self.since = self.cursor = gap.lost_to
        self.is_whole = False
        self.got.clear()

    def take(self, event: Event) -> None:
        """Takes an event."""
        assert event.seq > self.cursor, f"{event.raw!r} after {self.cursor}"
        self.cursor = event.seq
        self.got.append(event)
        if event.type == "started":
            self.is_whole = self.is_whole or event.data["rollback_to"] == 0
            self.held = [token for token in self.held if token.seq <= event.data["rollback_to"]]
        elif event.type == "token":
            self.held.append(event)

    def check(self, log: list[Event]) -> None:
        """It has all that stands in the log after its position, and nothing else.

        One that has left with an end that a crash has lost since has no part in what came then: see Promises.
        """
        if self.got and self.got[-1].is_terminal and self.got[-1].raw != log[-1].raw:
            return
        rest = [event for event in log if self.since < event.seq <= self.cursor]
        assert self.exact or all(event.seq in {one.seq for one in rest} for event in self.got)
        if self.exact:
            assert [event.raw for event in self.got] == [event.raw for event in rest]
        assert list(join_tokens(self.got)) == list(join_tokens(rest))
        if self.is_whole:
            assert text_of(self.held) == kept_text(log)


def kept_text(log: list[Event], upto: float = math.inf) -> str:
    """The text that a reader of a log holds in the end, up to a position: see docs/api.md."""
    reader = Reader("", 0, exact=True)
    for event in log:
        reader.take(event)
    return text_of(token for token in reader.held if token.seq <= upto)


def text_of(events: Iterable[Event]) -> str:
    """The texts of tokens, joined."""
    return "".join(event.data["text"] for event in events if event.type == "token")
