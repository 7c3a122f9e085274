"""A Wire: the socket of one response that streams, written to without a step of ASGI for each event.

What uvicorn's ``send()`` does for a chunk of a body is to frame it and to write it to the transport; here the frame
is made once for all who get the same bytes. This module alone reaches into uvicorn: where its parts are not as they are
looked for (another server, HTTP/1.0, another version), there is no Wire, and ``send()`` is stepped instead.
"""

from typing import Any, Final, Self

from starlette.types import Send

_PARTS: Final = ("transport", "flow", "disconnected", "chunked_encoding", "response_started", "response_complete")


class _Frame:
    """The last chunk that was framed, for all who write the same bytes one after another."""

    body = b""
    bytes = b""


class Wire:
    """Writes chunks to one client's socket."""

    __slots__ = ("_cycle", "_flow", "_write")

    def __init__(self, cycle: Any) -> None:
        self._cycle = cycle
        self._flow = cycle.flow
        self._write = cycle.transport.write

    @classmethod
    def of(cls, send: Send) -> Self | None:
        """The Wire under a server's own ``send``, once the response's head is sent; None where there is none."""
        cycle = getattr(send, "__self__", None)
        if cycle is None or not all(hasattr(cycle, part) for part in _PARTS) or not hasattr(cycle.flow, "write_paused"):
            return None
        if not cycle.chunked_encoding or not cycle.response_started or cycle.response_complete:
            return None
        return cls(cycle)

    def write(self, body: bytes) -> bool:
        """Writes a chunk, which is not empty; False where its client is slow or has left, and then nothing is."""
        if self._flow.write_paused or self._cycle.disconnected:
            return False
        if body is not _Frame.body:
            _Frame.body = body
            _Frame.bytes = b"%x\r\n%b\r\n" % (len(body), body)
        self._write(_Frame.bytes)
        return True
