"""HTTP as bytes on a socket: reads streams piece by piece, cuts them anywhere, and knows a clean end from a cut."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


class Stream:
    """One streamed response. A context manager; leaving it cuts the connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False
        """Whether the server has sent the chunk that says: this was all."""

    @classmethod
    async def open(
        cls, port: int, target: str, headers: Mapping[str, str] | None = None, method: str = "GET", body: bytes = b""
    ) -> Self:
        """Sends a request and returns once the response has begun."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        stream = cls(reader, writer)
        lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"] if body else []
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        try:
            await stream._read_head()
        except BaseException:
            stream.cut()
            raise
        return stream

    async def _read_head(self) -> None:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.strip().split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes; ends also where the connection was cut: look at ``complete``."""
        if self.headers.get("transfer-encoding") != "chunked":
            yield await self._reader.read()
            self.complete = True
            return
        try:
            while size := int(await self._reader.readline() or b"-1", 16):
                if size < 0:
                    return
                yield await self._reader.readexactly(size)
                await self._reader.readexactly(2)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        self.complete = True

    async def body(self) -> bytes:
        """Everything up to the end."""
        return b"".join([piece async for piece in self.pieces()])

    def cut(self) -> None:
        """Drops the connection without a goodbye."""
        self._writer.transport.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()


@dataclass
class Block:
    """One dispatched server-sent event."""

    id: str
    event: str
    data: str

    @property
    def json(self) -> dict[str, Any]:
        """Its data."""
        decoded: dict[str, Any] = json.loads(self.data)
        return decoded


@dataclass
class SseParser:
    """Server-sent events by the letter of the WHATWG specification, § 9.2.6; what is incomplete is kept back."""

    rest: bytes = b""
    last_id: str = ""
    retry_ms: int | None = None
    _event: str = ""
    _data: list[str] = field(default_factory=list)

    def feed(self, piece: bytes) -> list[Block]:
        """The events that a piece completes."""
        lines = _LINE_END.split(self.rest + piece)
        self.rest = lines.pop()
        return [block for line in lines if (block := self._line(line.decode()))]

    @property
    def at_boundary(self) -> bool:
        """Whether nothing of an event has come that is not complete."""
        return not self.rest and not self._data and not self._event

    def _line(self, line: str) -> Block | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self.last_id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value)
        return None

    def _dispatch(self) -> Block | None:
        data, self._data = self._data, []
        event, self._event = self._event, ""
        return Block(self.last_id, event or "message", "\n".join(data)) if data else None


@dataclass
class LineParser:
    """JSON, one value a line."""

    rest: bytes = b""

    def feed(self, piece: bytes) -> list[dict[str, Any]]:
        """The values that a piece completes."""
        lines = (self.rest + piece).split(b"\n")
        self.rest = lines.pop()
        return [json.loads(line) for line in lines]
