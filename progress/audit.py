"""The Audit: what a Hub does every few seconds, and after each re-connect, so that nothing stays lost.

It compares the heads of the Feeds with their Logs, the net under a lost message that nothing followed; and after a
re-connect it has the Store write again what a crash of Redis may have lost.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

from progress import keys
from progress.errors import StoreUnavailable
from progress.feed import Feed
from progress.listener import Listener
from progress.readers import RETRY_S
from progress.store import Store

logger = logging.getLogger(__name__)

AUDIT_S: Final = 5.0
"""How often heads are compared with Logs."""
ON_ITS_WAY_S: Final = 0.25
"""How long after its event stands in the Log a message may still come: most that are missed then are not lost."""
SETTLE_S: Final = keys.SETTLE_MS / 1000
"""How long after a re-connect a job that Redis does not know may still be written again by whoever made it."""


class Audit:
    """A task on the event loop.

    Args:
        feeds: those of the Hub.
        watch: says which of them are read.
        catch_up: reads a Feed's Log after its head.
    """

    def __init__(
        self,
        store: Store,
        listener: Listener,
        feeds: Mapping[str, Feed],
        *,
        every_s: float,
        watch: Callable[[Iterable[Feed]], None],
        catch_up: Callable[[Feed], None],
    ) -> None:
        self._store = store
        self._listener = listener
        self._feeds = feeds
        self._every_s = every_s
        self._watch = watch
        self._catch_up = catch_up
        self._wanted = asyncio.Event()
        self._reconnected = False
        self._settled_at = 0.0

    def reconnected(self) -> None:
        """Asks for a round at once: messages may have been missed, and writes been lost."""
        self._reconnected = True
        self._settled_at = asyncio.get_running_loop().time() + SETTLE_S
        self._wanted.set()

    @property
    def settled(self) -> bool:
        """Whether Redis is there, and all who could write again what it may have lost have had the time to."""
        return self._listener.connected and asyncio.get_running_loop().time() >= self._settled_at

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        pause_s = self._every_s
        while True:
            # Not `wait_for`: before Python 3.12 it may swallow a cancel that comes as the wait ends.
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wanted.wait()
            self._wanted.clear()
            pause_s = self._every_s if await self._round() else RETRY_S

    async def _round(self) -> bool:
        """Says whether all is well: Redis has answered, and nothing is unsettled."""
        self._watch(self._feeds.values())
        try:
            await self._write_again()
            settled = await self._compare([feed for feed in self._feeds.values() if not feed.closed])
            settled = settled and not self._reconnected
        except StoreUnavailable as error:
            logger.warning("audit put off: %s", error)
            settled = False
        for feed in self._feeds.values():
            feed.forget_pages()
        return settled

    async def _write_again(self) -> None:
        if self._reconnected:
            self._reconnected, is_all = False, False
            try:
                is_all = await self._store.write_again()
            finally:
                self._reconnected = self._reconnected or not is_all
        if self._listener.connected:
            self._store.forget()

    async def _compare(self, feeds: list[Feed]) -> bool:
        """Finds Feeds that have missed something; False where one's job may still come back."""
        if not feeds:
            return True
        settled = self.settled
        heads = await self._store.heads(tuple(feed.job_id for feed in feeds))
        behind = [(feed, head) for feed, head in zip(feeds, heads, strict=True) if _lacks(feed, head)]
        if behind and settled:
            await asyncio.sleep(ON_ITS_WAY_S)
        for feed, head in behind:
            if _lacks(feed, head) and (settled or head is not None):
                self._catch_up(feed)
        return settled or None not in heads


def _lacks(feed: Feed, head: int | None) -> bool:
    """Whether the Log goes on after what a Feed has, or is gone."""
    return not feed.closed and (head is None or head > feed.head)
