"""Many readers for little: one protocol object each, that counts bytes and keeps only what it must."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from functools import partial

from tests.support.live import Live


class Spectator(asyncio.Protocol):
    """Sends one request and watches the bytes of the answer go by."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._tail = b""
        self.transport: asyncio.Transport
        self.received = 0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self._tail = (self._tail + data)[-2000:]

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    @property
    def complete(self) -> bool:
        """Whether it has got the last chunk, and the job's last event before it."""
        return self._tail.endswith(b"\r\n0\r\n\r\n") and b"event: succeeded" in self._tail


def _itself(spectator: Spectator) -> Spectator:
    return spectator


@asynccontextmanager
async def crowd(live: Live, targets: Iterable[str], *, window_bytes: int = 0) -> AsyncIterator[list[Spectator]]:
    """A spectator for each path; those who are still there at the end are cut off.

    Args:
        window_bytes: what the system may take in for each of them, about; 0: what it likes.
    """
    loop = asyncio.get_running_loop()
    spectators: list[Spectator] = []
    try:
        for target in targets:
            spectator = Spectator(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            with ExitStack() as failed:
                connection = failed.enter_context(socket.socket())
                if window_bytes:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
                connection.setblocking(False)
                await loop.sock_connect(connection, ("127.0.0.1", live.port))
                await loop.create_connection(partial(_itself, spectator), sock=connection)
                failed.pop_all()
            spectators.append(spectator)
        yield spectators
    finally:
        for spectator in spectators:
            spectator.transport.abort()


async def all_ended(spectators: list[Spectator], timeout_s: float) -> None:
    """Returns once each of them has seen the end. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        await asyncio.gather(*(spectator.ended for spectator in spectators))
