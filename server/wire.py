"""Wires: the socket of a response that streams, or of a WebSocket, written to without a step of ASGI for each event.

What uvicorn's ``send()`` does for a chunk of a body, or for a text message, is to frame it and to write it to the
transport; here the frame is made once for all who get the same bytes. This module alone reaches into uvicorn: where its
parts are not as they are looked for (another server, HTTP/1.0, another version), there is no Wire, and ``send()`` is
used instead.
"""

from collections.abc import Sequence
from typing import Any, Final, Self

from starlette.types import Send
from websockets.protocol import State

HTTP_PARTS: Final = ("transport", "flow", "disconnected", "chunked_encoding", "response_started", "response_complete")
SOCKET_PARTS: Final = ("transport", "writable", "disconnected", "close_sent", "conn")


class _Last:
    """What was framed last, for all who write the same one after another."""

    body = b""
    chunk = b""
    raws: Sequence[bytes] = ()
    messages = b""


class Wire:
    """Writes chunks of one HTTP response."""

    __slots__ = ("_cycle", "_flow", "_write")

    def __init__(self, cycle: Any) -> None:
        self._cycle = cycle
        self._flow = cycle.flow
        self._write = cycle.transport.write

    @classmethod
    def of(cls, send: Send) -> Self | None:
        """The Wire under a server's own ``send``, once the response's head is sent; None where there is none."""
        cycle = _with(HTTP_PARTS, send)
        if cycle is None or not hasattr(cycle.flow, "write_paused"):
            return None
        if not cycle.chunked_encoding or not cycle.response_started or cycle.response_complete:
            return None
        return cls(cycle)

    def write(self, body: bytes, _raws: Sequence[bytes]) -> bool:
        """Writes SSE blocks, at least one; False where its client is slow or has left, and then nothing is written."""
        if self._flow.write_paused or self._cycle.disconnected:
            return False
        if body is not _Last.body:
            _Last.body = body
            _Last.chunk = b"%x\r\n%b\r\n" % (len(body), body)
        self._write(_Last.chunk)
        return True


class SocketWire:
    """Writes text messages of one WebSocket: uncompressed, unfragmented, and unmasked, as a server's are."""

    __slots__ = ("_protocol", "_writable", "_write")

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._writable = protocol.writable
        self._write = protocol.transport.write

    @classmethod
    def of(cls, send: Send | None) -> Self | None:
        """The Wire under a server's own ``send``, once the socket is open; None where there is none."""
        protocol = _with(SOCKET_PARTS, send)
        if protocol is None or getattr(protocol.conn, "state", None) is not State.OPEN or protocol.conn.extensions:
            return None
        return cls(protocol)

    def write(self, _body: bytes, raws: Sequence[bytes]) -> bool:
        """Writes a message for each event; False where its client is slow or has left, and then nothing is written."""
        protocol = self._protocol
        if protocol.disconnected or protocol.close_sent or not self._writable.is_set():
            return False
        if protocol.conn.state is not State.OPEN:
            return False
        if raws is not _Last.raws:
            _Last.raws = raws
            _Last.messages = b"".join(map(text_message, raws))
        self._write(_Last.messages)
        return True


def text_message(text: bytes) -> bytes:
    """A WebSocket message in one frame (RFC 6455 §5.2)."""
    size = len(text)
    if size < 126:
        return b"\x81%c%b" % (size, text)
    if size < 1 << 16:
        return b"\x81\x7e%b%b" % (size.to_bytes(2), text)
    return b"\x81\x7f%b%b" % (size.to_bytes(8), text)


def _with(parts: Sequence[str], send: Send | None) -> Any:
    """What a ``send`` belongs to, if it has these parts."""
    owner = getattr(send, "__self__", None)
    return owner if owner is not None and all(hasattr(owner, part) for part in parts) else None
