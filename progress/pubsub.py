"""One pub/sub connection: bytes in, batches of messages out.

redis-py's own pub/sub costs more per message than all the relaying after it (a task switch, a few
dictionaries and a parse each), so this is an asyncio protocol around hiredis that hands over what one
read of the socket brought in one call.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

import hiredis

logger = logging.getLogger(__name__)

Batch = list[tuple[bytes, bytes]]


class Heard(Protocol):
    """What a connection tells beside messages."""

    def on_good(self) -> None:
        """The server has answered for the first time."""

    def on_subscribed(self, channel: str) -> None:
        """A SUBSCRIBE was confirmed."""

    def on_unsubscribed(self, channel: str) -> None:
        """No more of a channel will come: that was asked for, or its slot has moved."""

    def on_error(self, error: Exception) -> bool:
        """The server has refused something; whether the connection is still of use."""


class Connection(asyncio.Protocol):
    """Parses replies. Everything decided here is about one connection; the listener outlives it."""

    def __init__(self, on_batch: Callable[[Batch], None], heard: Heard) -> None:
        self._on_batch = on_batch
        self._heard = heard
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
                if type(reply) is list and (reply[0] == b"message" or reply[0] == b"smessage"):
                    batch.append((reply[1], reply[2]))
                else:
                    self._take(reply)
        except hiredis.ProtocolError as error:
            self.abort(error)
        if batch:
            self._on_batch(batch)

    def _take(self, reply: Any) -> None:
        if isinstance(reply, hiredis.ReplyError):
            if not self._heard.on_error(reply):
                self.abort(reply)
            return
        if not self.good:
            self.good = True
            self._heard.on_good()
        kind = reply[0] if isinstance(reply, list) else b""
        if kind in (b"subscribe", b"ssubscribe"):
            self._heard.on_subscribed(reply[1].decode())
        elif kind in (b"unsubscribe", b"sunsubscribe"):
            self._heard.on_unsubscribed(reply[1].decode())

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
