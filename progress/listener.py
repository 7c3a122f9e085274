"""The Listener: the channels that an API process follows, on a connection that is opened anew whenever it breaks."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from progress import cancelling
from progress.address import Dial
from progress.errors import StoreUnavailable
from progress.pubsub import Batch, Connection

__all__ = ["Batch", "Listener", "RedisListener", "Shard"]

logger = logging.getLogger(__name__)

SILENCE_S: Final = 5.0
"""After this long without a byte the server is asked for one; after as long again it counts as gone."""
SUBSCRIBE_TIMEOUT_S: Final = 1.5
BACKOFF_S: Final = (0.05, 2.0)


class Listener(Protocol):
    """Subscribes to channels and hands over what comes."""

    def start(self, on_batch: Callable[[Batch], None], on_connected: Callable[[], None]) -> None:
        """Begins; ``on_connected`` is called after each re-connect, since messages may have been missed."""

    @property
    def connected(self) -> bool:
        """Whether a connection is open now."""

    async def subscribe(self, channel: str) -> None:
        """Returns once the server has confirmed. Raises StoreUnavailable."""

    def unsubscribe(self, channel: str) -> None:
        """Asks for no more of a channel."""

    async def close(self) -> None:
        """Ends the connection."""


class Shard(Protocol):
    """What a Listener of one node of a cluster needs to know."""

    sharded: bool
    """Whether the server knows SSUBSCRIBE."""

    def slot(self, channel: str) -> str:
        """The number of the slot that a channel is in."""

    def on_trouble(self) -> None:
        """Channels may have moved, or the node may be gone."""


class RedisListener:
    """A Listener that keeps one connection open, and opens it anew with growing pauses when it breaks.

    Args:
        shard: whom it listens for, where the server is one node of a cluster and messages come from itself only.
    """

    def __init__(self, dial: Dial, *, silence_s: float = SILENCE_S, shard: "Shard | None" = None) -> None:
        self._dial = dial
        self._silence_s = silence_s
        self._shard = shard
        self._letter = "S" if shard and shard.sharded else ""
        self._wanted: dict[str, asyncio.Future[None]] = {}
        self._held: set[str] = set()
        # SUBSCRIBEs under way: an answer may be to an earlier one, taken back since.
        self._unconfirmed: Counter[str] = Counter()
        self._resuming = False
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._on_batch: Callable[[Batch], None] = lambda _batch: None
        self._on_connected: Callable[[], None] = lambda: None

    def start(self, on_batch: Callable[[Batch], None], on_connected: Callable[[], None]) -> None:
        """Begins to connect; does not wait for it."""
        self._on_batch, self._on_connected = on_batch, on_connected
        self._task = asyncio.create_task(self._run(), name="listener")

    @property
    def connected(self) -> bool:
        """Whether a connection is open now."""
        return self._connection is not None

    async def subscribe(self, channel: str) -> None:
        """Returns once the server has confirmed, at once where it has before. Raises StoreUnavailable."""
        confirmed = self._wanted.get(channel)
        if confirmed is None:
            confirmed = self._wanted[channel] = asyncio.get_running_loop().create_future()
            self._ask_for(channel)
        try:
            async with asyncio.timeout(SUBSCRIBE_TIMEOUT_S):
                await asyncio.shield(confirmed)
        except TimeoutError:
            raise StoreUnavailable("no answer to SUBSCRIBE") from None

    def unsubscribe(self, channel: str) -> None:
        """Asks for no more of a channel."""
        if self._wanted.pop(channel, None) and self._connection:
            self._held.discard(channel)
            self._connection.send(f"{self._letter}UNSUBSCRIBE", channel)

    async def close(self) -> None:
        """Ends the connection."""
        if self._task:
            await cancelling.end(self._task)
        self._wanted.clear()

    def give_up(self, prefix: str) -> dict[str, "asyncio.Future[None]"]:
        """Gives up the channels that begin so, for another listener to adopt."""
        given = {name: asked for name, asked in self._wanted.items() if name.startswith(prefix)}
        for name in given:
            del self._wanted[name], self._unconfirmed[name]
            if self._connection and name in self._held:
                self._connection.send(f"{self._letter}UNSUBSCRIBE", name)
            self._held.discard(name)
        return given

    def adopt(self, channels: "Mapping[str, asyncio.Future[None]]") -> None:
        """Takes over channels of another one; ``on_connected`` is called when they are confirmed."""
        self._wanted |= channels
        self._resume(channels)

    def ask_again(self) -> None:
        """Asks for what was refused or taken away."""
        self._resume(name for name in self._wanted if name not in self._held and name not in self._unconfirmed)

    def _resume(self, channels: Iterable[str]) -> None:
        names = tuple(channels)
        if names:
            self._resuming = True
            self._ask_for(*names)

    def _ask_for(self, *channels: str) -> None:
        if self._connection and channels:
            self._unconfirmed.update(channels)
            # One command may not name channels of several slots.
            for some in ((name,) for name in channels) if self._letter else (channels,):
                self._connection.send(f"{self._letter}SUBSCRIBE", *some)

    def on_subscribed(self, channel: str) -> None:
        """See Heard."""
        self._unconfirmed[channel] -= 1
        if self._unconfirmed[channel] > 0:
            return
        del self._unconfirmed[channel]
        confirmed = self._wanted.get(channel)
        if confirmed:
            self._held.add(channel)
            if not confirmed.done():
                confirmed.set_result(None)
        self.on_good()

    def on_unsubscribed(self, channel: str) -> None:
        """See Heard."""
        if self._shard and channel in self._held:
            self._held.discard(channel)
            self._shard.on_trouble()

    def on_good(self) -> None:
        """See Heard. Where nothing is left to be confirmed, the connection is as it is to be."""
        if self._resuming and not self._unconfirmed:
            self._resuming = False
            self._on_connected()

    def on_error(self, error: Exception) -> bool:
        """See Heard. A node that has given a slot away says so, with its number, of each channel asked for."""
        words = str(error).split()
        if not self._shard or words[0] != "MOVED":
            return False
        for name in [name for name in self._unconfirmed if self._shard.slot(name) == words[1]]:
            del self._unconfirmed[name]
        self._shard.on_trouble()
        return True

    async def _run(self) -> None:
        shortest, longest = BACKOFF_S
        pause = shortest
        while True:
            try:
                served = await self._serve_one()
            except (OSError, StoreUnavailable) as error:
                served = False
                logger.warning("pub/sub connection refused: %s", str(error) or type(error).__name__)
            if self._shard:
                self._shard.on_trouble()
            pause = shortest if served else min(pause * 2, longest)
            await asyncio.sleep(pause * random.uniform(0.5, 1))

    async def _serve_one(self) -> bool:
        """Opens a connection and serves it until it is lost; says whether the server ever answered."""
        connection = Connection(self._on_batch, self)
        # Not `wait_for`: before Python 3.12 it may swallow a cancel that comes as the wait ends.
        async with asyncio.timeout(SUBSCRIBE_TIMEOUT_S):
            greeting = await self._dial(lambda: connection)
        await self._serve(connection, greeting)
        return connection.good

    async def _serve(self, connection: Connection, greeting: list[tuple[str, ...]]) -> None:
        self._connection = connection
        self._unconfirmed.clear()
        self._held.clear()
        self._resuming = True
        try:
            for words in (*greeting, ("PING",)):
                connection.send(*words)
            self._ask_for(*self._wanted)
            while not (await asyncio.wait([connection.lost], timeout=self._silence_s))[0]:
                connection.tick()
        finally:
            self._connection = None
            connection.transport.abort()
