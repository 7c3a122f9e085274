"""The deliverer: in every worker's main process, it tells webhooks of ended jobs, until they listen.

A delivery is one worker's by a lease, so that none is sent twice at once, and none is lost with a worker. Receivers get
each at least once, and know repeats by their id.
"""

import asyncio
import logging
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from progress import factory
from progress.commands import Due, Tried
from progress.deliveries import Deliveries
from progress.errors import StoreUnavailable
from progress.jobs import Job
from progress.settings import Settings
from progress.targets import Targets
from progress.threads import surviving
from tasks.webhooks import Messenger

logger = logging.getLogger(__name__)

EVERY_S: Final = 0.5
AT_ONCE: Final = 64
"""Deliveries that one worker has under way."""
AT_ONE_HOST: Final = 8
"""Of these to one host: one that hangs is not to hold up the others."""
BACK_MS: Final = (500, 5_000)
"""For how long a delivery is put back whose host has that many."""
FIRST_S: Final = 5.0
FACTOR: Final = 3.0
LONGEST_S: Final = 3 * 3600.0
FOR_S: Final = 24 * 3600.0
"""How long a delivery is tried again: as many seconds after it was first due it is given up."""
GONE: Final = 410
HEEDED: Final = frozenset({429, 503})
"""Statuses with which a receiver may say when to come again."""


def pause_s(tries: int, age_s: float, asked_s: float | None = None, jitter: float = 0.0) -> float | None:
    """Seconds from a try that has failed to the next one; None where that would be too late.

    Args:
        tries: those that have failed, this one included.
        age_s: since the delivery was first due.
        asked_s: what the receiver has asked for.
        jitter: 0 to 1, adds up to a fifth, so that what has failed together does not come back together.
    """
    pause = min(LONGEST_S, FIRST_S * FACTOR ** min(tries - 1, 20)) * (1 + jitter / 5)
    pause = max(pause, asked_s or 0.0)
    return pause if age_s + pause <= FOR_S else None


def next_try_ms(due: Due, tried: Tried, asked_s: float | None, jitter: float) -> int | None:
    """When a delivery is to be tried again, in ms from now; None where it is over."""
    if tried.delivered or tried.status == GONE:
        return None
    asked = asked_s if tried.status in HEEDED else None
    pause = pause_s(due.tries + 1, due.age_ms / 1000, asked, jitter)
    return None if pause is None else round(pause * 1000)


def _then(tried: Tried, again_ms: int | None) -> str:
    if tried.delivered:
        return ""
    return ", given up" if again_ms is None else f", again in {again_ms / 1000:.0f} s"


class Deliveryman:
    """Takes deliveries and makes them, on an event loop."""

    def __init__(
        self, deliveries: Deliveries, messenger: Messenger, jitter: Callable[[], float] = random.random
    ) -> None:
        self._deliveries = deliveries
        self._messenger = messenger
        self._jitter = jitter
        self._hosts: Counter[str] = Counter()
        self._under_way: set[asyncio.Task[None]] = set()

    async def round(self) -> bool:
        """Begins what is due; whether there may be more. Raises StoreUnavailable."""
        room = AT_ONCE - len(self._under_way)
        if room <= 0:
            return False
        taken = await self._deliveries.take(room)
        back = [(due, random.randint(*BACK_MS)) for due in taken if not await self._begin(due)]
        if back:
            await self._deliveries.put_back(back)
        return len(taken) >= room

    async def _begin(self, due: Due) -> bool:
        """Begins one, unless its host has enough."""
        job = await self._deliveries.job(due)
        if job is None or not job.webhook:
            return True
        host = urlsplit(job.webhook).netloc
        if self._hosts[host] >= AT_ONE_HOST:
            return False
        self._hosts[host] += 1
        task = asyncio.create_task(self._deliver(due, job, host))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return True

    async def _deliver(self, due: Due, job: Job, host: str) -> None:
        with surviving(logger, "job %s: delivery failed, and is tried again", job.id):
            try:
                tried, asked_s = await self._messenger.tell(job)
                again_ms = next_try_ms(due, tried, asked_s, self._jitter())
                await self._deliveries.settle(due, tried, again_ms)
                logger.info("job %s: webhook %s%s", job.id, tried.status or tried.error, _then(tried, again_ms))
            except StoreUnavailable as error:
                logger.warning("job %s: delivery not noted, and made again: %s", job.id, error)
            finally:
                self._hosts[host] -= 1
                if not self._hosts[host]:
                    del self._hosts[host]

    async def finish(self, timeout_s: float) -> None:
        """Waits for what is under way. What is left then is made again by another worker."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout_s)


class Deliverer:
    """The thread of a Deliveryman."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="deliverer", daemon=True)

    def start(self) -> None:
        """Begins, where there is a secret to sign with."""
        if self._settings.webhook_secret:
            self._thread.start()

    def close(self, timeout_s: float = 2.0) -> None:
        """Lets what is under way come to its end for a moment, and ends the thread."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s + 1)

    def _run(self) -> None:
        while not self._closing.is_set():
            with surviving(logger, "deliveries failed, and are gone on with"):
                asyncio.run(self._serve())

    async def _serve(self) -> None:
        deliveries = Deliveries(factory.async_executor(self._settings.redis_url))
        messenger = Messenger(self._settings.webhook_secret, Targets.of(self._settings.webhook_allow_private))
        man = Deliveryman(deliveries, messenger)
        try:
            while not self._closing.is_set():
                if not await self._try(man):
                    await asyncio.sleep(EVERY_S)
            await man.finish(2.0)
        finally:
            await messenger.close()
            await deliveries.close()

    async def _try(self, man: Deliveryman) -> bool:
        try:
            return await man.round()
        except StoreUnavailable as error:
            logger.warning("deliveries put off: %s", error)
            return False
