"""Readers that are cut off at random, come back, and check that what they get adds up."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import websockets

from tests.integration.wire import LineParser, SseParser, Stream
from tests.support.live import ENDED, Live


@dataclass
class Reader:
    """One reader of one job. ``cuts`` says after how many bytes (frames) each of its connections is cut."""

    live: Live
    job_id: str
    exact: bool
    cuts: list[int]
    events: list[dict[str, Any]] = field(default_factory=list)
    connections: int = 0

    @property
    def cursor(self) -> int:
        """The position that it resumes from."""
        return int(self.events[-1]["seq"]) if self.events else 0

    @property
    def ended(self) -> bool:
        """Whether it has seen the job's last event."""
        return bool(self.events) and self.events[-1]["type"] in ENDED

    @property
    def text(self) -> bytes:
        """What the job has said."""
        return "".join(event["text"] for event in self.events if event["type"] == "token").encode()

    @property
    def sequence(self) -> list[int]:
        """Every ``seq``, as received."""
        return [event["seq"] for event in self.events]

    async def follow(self) -> None:
        """Reads until the end, over as many connections as it takes."""
        for cut in [*self.cuts, None]:
            if self.ended:
                return
            self.connections += 1
            await self.connect(cut)

    async def connect(self, cut: int | None) -> None:
        """One connection, to its end or to its cut."""
        raise NotImplementedError

    def target(self, form: str, **query: Any) -> str:
        """The path and query of its events."""
        pairs = {"format": form, "exact": int(self.exact), **query}
        return f"/v1/jobs/{self.job_id}/events?" + "&".join(f"{name}={value}" for name, value in pairs.items())


async def until_cut(stream: Stream, cut: int | None) -> AsyncIterator[bytes]:
    """The pieces of a stream, of the last one only what lies before the cut."""
    left = float("inf") if cut is None else cut
    async for piece in stream.pieces():
        yield piece if len(piece) <= left else piece[: int(left)]
        left -= len(piece)
        if left <= 0:
            return
    assert stream.complete, "the server cut the stream"


class SseReader(Reader):
    """Resumes by ``Last-Event-ID``, as browsers do."""

    async def connect(self, cut: int | None) -> None:
        parser = SseParser()
        headers = {"Last-Event-ID": str(self.cursor)} if self.cursor else {}
        with await Stream.open(self.live.port, self.target("sse"), headers) as stream:
            assert stream.status == 200
            async for piece in until_cut(stream, cut):
                for block in parser.feed(piece):
                    event = block.json
                    assert (block.id, block.event) == (str(event["seq"]), event["type"])
                    self.events.append(event)


class NdjsonReader(Reader):
    """Resumes by ``after``."""

    async def connect(self, cut: int | None) -> None:
        parser = LineParser()
        with await Stream.open(self.live.port, self.target("ndjson", after=self.cursor)) as stream:
            assert stream.status == 200
            async for piece in until_cut(stream, cut):
                self.events += parser.feed(piece)


class WebSocketReader(Reader):
    """Cut after a number of frames, so in the middle of whatever comes next."""

    FRAME_BYTES = 400

    async def connect(self, cut: int | None) -> None:
        address = f"{self.live.ws_url}/v1/jobs/{self.job_id}/ws?after={self.cursor}&exact={int(self.exact)}"
        left = float("inf") if cut is None else 1 + cut // self.FRAME_BYTES
        async with websockets.connect(address, max_size=2**21, proxy=None, compression=None) as socket:
            async for message in socket:
                self.events.append(json.loads(message))
                left -= 1
                if left <= 0:
                    socket.transport.abort()
                    return
        assert socket.close_code == 1000


@dataclass
class TextReader(Reader):
    """Has no position: it starts anew each time and skips what it has."""

    received: bytes = b""
    complete: bool = False

    @property
    def text(self) -> bytes:
        return self.received

    @property
    def ended(self) -> bool:
        return self.complete

    async def connect(self, cut: int | None) -> None:
        got = b""
        cut = None if cut is None else len(self.received) + cut
        with await Stream.open(self.live.port, self.target("text")) as stream:
            assert stream.status == 200
            async for piece in until_cut(stream, cut):
                got += piece
            self.complete = stream.complete and cut is None
        common = min(len(got), len(self.received))
        assert got[:common] == self.received[:common], "the text has changed"
        self.received = max(got, self.received, key=len)
