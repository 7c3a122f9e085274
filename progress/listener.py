"""The one pub/sub connection of an API process: bytes in, batches of messages out.

redis-py's own pub/sub costs more per message than all the relaying after it (a task switch, a few
dictionaries and a parse each), so this is an asyncio protocol around hiredis that hands over what one
read of the socket brought in one call.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Protocol

import hiredis

from progress.address import Dial
from progress.errors import StoreUnavailable

logger = logging.getLogger(__name__)

Batch = list[tuple[bytes, bytes]]
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


class _Connection(asyncio.Protocol):
    """Parses replies. Everything decided here is about one connection; the listener outlives it."""

    def __init__(
        self,
        on_batch: Callable[[Batch], None],
        on_subscribed: Callable[[bytes], None],
        on_good: Callable[[], None],
    ) -> None:
        self._on_batch = on_batch
        self._on_subscribed = on_subscribed
        self._on_good = on_good
        self._reader = hiredis.Reader()
        self._asked = False
        self.transport: Any = None
        self.lost = asyncio.get_running_loop().create_future()
        self.good = False
        """Whether the server has answered anything but an error."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._asked = False
        self._reader.feed(data)
        replies = self._reader.gets
        batch: Batch = []
        try:
            while (reply := replies()) is not False:
                if type(reply) is list and reply[0] == b"message":
                    batch.append((reply[1], reply[2]))
                else:
                    self._take(reply)
        except hiredis.ProtocolError as error:
            self.abort(error)
        if batch:
            self._on_batch(batch)

    def _take(self, reply: Any) -> None:
        if isinstance(reply, hiredis.ReplyError):
            self.abort(reply)
            return
        if not self.good:
            self.good = True
            self._on_good()
        if isinstance(reply, list) and reply[0] == b"subscribe":
            self._on_subscribed(reply[1])

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(error)

    def send(self, command: str, *words: str) -> None:
        if not self.transport.is_closing():
            # Its stub knows tuples of one word only.
            self.transport.write(hiredis.pack_command((command, *words)))  # type: ignore[arg-type]

    def abort(self, error: Exception) -> None:
        logger.warning("pub/sub connection given up: %s", error)
        self.transport.abort()

    def tick(self) -> None:
        """Called every SILENCE_S: a connection that neither speaks nor breaks is found out here."""
        if self._asked:
            self.abort(TimeoutError("no answer"))
        self._asked = True
        self.send("PING")


class RedisListener:
    """A Listener that keeps one connection open, and opens it anew with growing pauses when it breaks."""

    def __init__(self, dial: Dial, *, silence_s: float = SILENCE_S) -> None:
        self._dial = dial
        self._silence_s = silence_s
        self._wanted: dict[str, asyncio.Future[None]] = {}
        # SUBSCRIBEs under way: an answer may be to an earlier one, taken back since.
        self._unconfirmed: Counter[str] = Counter()
        self._resuming = False
        self._connection: _Connection | None = None
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
            self._connection.send("UNSUBSCRIBE", channel)

    async def close(self) -> None:
        """Ends the connection."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._wanted.clear()

    def _ask_for(self, *channels: str) -> None:
        if self._connection and channels:
            self._unconfirmed.update(channels)
            self._connection.send("SUBSCRIBE", *channels)

    def _confirmed(self, channel: bytes) -> None:
        name = channel.decode()
        self._unconfirmed[name] -= 1
        if self._unconfirmed[name] > 0:
            return
        del self._unconfirmed[name]
        confirmed = self._wanted.get(name)
        if confirmed and not confirmed.done():
            confirmed.set_result(None)
        if self._resuming and not self._unconfirmed:
            self._resuming = False
            self._on_connected()

    def _greeted(self) -> None:
        """The server has answered for the first time; where nothing is to be subscribed to, that is all."""
        if self._resuming and not self._unconfirmed:
            self._resuming = False
            self._on_connected()

    async def _run(self) -> None:
        shortest, longest = BACKOFF_S
        pause = shortest
        while True:
            try:
                served = await self._serve_one()
            except (OSError, StoreUnavailable) as error:
                served = False
                logger.warning("pub/sub connection refused: %s", str(error) or type(error).__name__)
            pause = shortest if served else min(pause * 2, longest)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # spreads re-connects, guards nothing

    async def _serve_one(self) -> bool:
        """Opens a connection and serves it until it is lost; says whether the server ever answered."""
        connection = _Connection(self._on_batch, self._confirmed, self._greeted)
        # Not `wait_for`: before Python 3.12 it may swallow a cancel that comes as the wait ends.
        async with asyncio.timeout(SUBSCRIBE_TIMEOUT_S):
            greeting = await self._dial(lambda: connection)
        await self._serve(connection, greeting)
        return connection.good

    async def _serve(self, connection: _Connection, greeting: list[tuple[str, ...]]) -> None:
        self._connection = connection
        self._unconfirmed.clear()
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
