"""Wires: the socket of a response that streams, or of a WebSocket, written to without a step of ASGI for each event.

What uvicorn's ``send()`` does for a chunk of a body, or for a text message, is to frame it and to write it to the
transport; here the frame is made once for all who get the same bytes. This module alone reaches into uvicorn: where its
parts are not as they are looked for (another server, HTTP/1.0, another version), there is no Wire, and ``send()`` is
used instead.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Self

from starlette.types import Scope, Send
from websockets.protocol import State

from progress.events import sse_block
from progress.feed import Framing
from server.encoding import add_job

HTTP_PARTS: Final = ("transport", "chunked_encoding", "response_started", "response_complete")
SOCKET_PARTS: Final = ("transport", "conn")
MOST_BYTES: Final = 64 * 1024
"""What may wait in a transport for a client that is slow; beyond that uvicorn's ``send()`` waits, too."""
_TOKEN_BLOCK: Final = b"id: %d\nevent: token\ndata: %b\n\n"


class Chunks:
    """Chunks of a body (RFC 9112 §7.1) after a line, and the last one for all who send the same one after another."""

    __slots__ = ("_body", "_last", "_line")

    def __init__(self, line: bytes = b"") -> None:
        self._line = line
        self._body = self._last = b""

    def of(self, body: bytes) -> bytes:
        """A body as a chunk."""
        if body is not self._body:
            self._body, self._last = body, chunk(self._line + body)
        return self._last


def chunk(body: bytes) -> bytes:
    """A chunk of a body (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def sse_chunk(_job_id: str, first: int, raws: Sequence[bytes], tokens: bool) -> bytes:
    """Events as SSE blocks in one chunk."""
    if not tokens:
        return chunk(b"".join(map(sse_block, raws)))
    if len(raws) == 1:
        return chunk(_TOKEN_BLOCK % (first, raws[0]))
    return chunk(b"".join([_TOKEN_BLOCK % (seq, raw) for seq, raw in enumerate(raws, first)]))


def messages(_job_id: str, _first: int, raws: Sequence[bytes], _tokens: bool) -> bytes:
    """Events as text messages of a WebSocket."""
    return b"".join(map(text_message, raws))


def messages_with_job(job_id: str, _first: int, raws: Sequence[bytes], _tokens: bool) -> bytes:
    """The same, each with ``job`` added."""
    return b"".join([text_message(add_job(raw, job_id)) for raw in raws])


class Wire:
    """Writes chunks of one HTTP response, SSE blocks, or text messages of one WebSocket: uncompressed, unfragmented,
    and unmasked, as a server's are."""

    __slots__ = ("_transport", "framing")

    def __init__(self, transport: asyncio.Transport, framing: Framing) -> None:
        self.framing = framing
        self._transport = transport

    @classmethod
    def of(cls, send: Send) -> Self | None:
        """The Wire under a server's own ``send``, once the response's head is sent; None where there is none."""
        cycle = _with(HTTP_PARTS, send)
        if cycle is None or not cycle.chunked_encoding or not cycle.response_started or cycle.response_complete:
            return None
        return cls(cycle.transport, sse_chunk)

    @classmethod
    def of_socket(cls, send: Send | None, framing: Framing) -> Self | None:
        """The same of a WebSocket, once it is open."""
        protocol = _with(SOCKET_PARTS, send)
        if protocol is None or getattr(protocol.conn, "state", None) is not State.OPEN or protocol.conn.extensions:
            return None
        return cls(protocol.transport, framing)

    def write(self, frame: bytes) -> bool:
        """Writes a frame; False where its client is slow or has left, and then nothing is written."""
        # Asked of the transport alone, which is about to be used: to look at anything else of each reader would cost
        # more than the two calls. uvicorn closes it in the same step in which it sends, or answers, a closing frame.
        transport = self._transport
        if transport.is_closing() or transport.get_write_buffer_size() > MOST_BYTES:
            return False
        transport.write(frame)
        return True


def let_go(scope: Scope, send: Send) -> None:
    """Lets go of what a client has sent, once its answer has begun: it would be kept as long as the stream is."""
    if isinstance(scope["headers"], list):
        scope["headers"].clear()
    # uvicorn looks for nothing else any more; other servers may, in their logs say.
    if _with(HTTP_PARTS, send) is not None:
        method = scope["method"]
        scope.clear()
        scope["method"] = method


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
