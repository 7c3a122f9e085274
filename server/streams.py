"""Event streams over HTTP: encoders of batches, and the response that sends them."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

from sse_starlette import EventSourceResponse
from sse_starlette.sse import AppStatus
from starlette.types import Receive, Scope, Send

from progress.events import Event, encode_json
from progress.hub import Entry, HubClosing, Subscription
from progress.jobs import Job
from server.negotiation import MEDIA_TYPES, Format, StreamRequest
from server.state import State

IDLE_S: Final = 15.0
PING: Final = b": ping\n"
"""A comment without a blank line: with one, several clients see an empty event."""
RETRY_MS: Final = 1000
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Encode = Callable[[Sequence[Entry]], bytes]

# Shutdown is announced by the Hub, at an event boundary; sse-starlette's own watcher would cut the stream.
AppStatus.disable_automatic_graceful_drain()


class TextVoided(Exception):  # noqa: N818  # not a fault: another attempt begins
    """Text that was sent already no longer counts, and plain text has no way to say so."""


def sse_block(entry: Entry) -> bytes:
    """The SSE block of an entry. A gap has no ``id``: the reader's position stays."""
    if isinstance(entry, Event):
        return entry.sse
    return b"event: gap\ndata: %b\n\n" % entry.raw


def goodbye() -> bytes:
    """The last line of a stream that ends because the process goes: come back soon, and not all at once."""
    return b"retry: %d\n" % random.randint(100, 1000)  # noqa: S311  # spreads re-connects, guards nothing


def encoder(request: StreamRequest, job: Job) -> Encode:
    """How batches of a job's log become bytes."""
    match request.format:
        case "sse":
            return lambda batch: b"".join([sse_block(entry) for entry in batch if request.wants(entry.type)])
        case "text":
            return TextEncoder(request.channel, job).encode
        case _:
            return lambda batch: b"".join([entry.raw + b"\n" for entry in batch if request.wants(entry.type)])


class TextEncoder:
    """The text alone, of one channel, without that of attempts that no longer count."""

    def __init__(self, channel: str, job: Job) -> None:
        self._channel = channel
        self._voids = job.void_ranges()
        self._sent = 0

    def encode(self, batch: Sequence[Entry]) -> bytes:
        """Raises TextVoided where text that was sent has become void."""
        pieces = []
        for entry in batch:
            if not isinstance(entry, Event):
                continue
            if entry.type == "started":
                self._check(entry)
            elif entry.type == "token" and entry.channel == self._channel and not self._is_void(entry.seq):
                pieces.append(str(entry.data["text"]))
                self._sent = entry.seq
        return "".join(pieces).encode()

    def _is_void(self, seq: int) -> bool:
        return any(low < seq < high for low, high in self._voids)

    def _check(self, started: Event) -> None:
        if self._sent > int(started.data["rollback_to"]):
            raise TextVoided


class StreamResponse(EventSourceResponse):
    """Sends what an iterator yields until it ends or the client leaves.

    sse-starlette's response with its ping, its shutdown watcher and its timeout around every send left out: the Hub
    does the first two for all streams together, and what remains costs a tenth a chunk.
    """

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        media_type: str,
        *,
        stack: AsyncExitStack | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(chunks, headers={**HEADERS, **(headers or {})}, media_type=media_type, ping=0)
        self._stack = stack or AsyncExitStack()
        self._complete = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The response of one request. ``stack`` is left when it ends, however it does."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # for the type checker: ASGI apps run in tasks
        watcher = asyncio.create_task(self._watch(receive, task))
        try:
            async with self._stack:
                await self._pump(send)
        except asyncio.CancelledError:
            if not watcher.done():
                raise
            task.uncancel()
        finally:
            watcher.cancel()

    async def _watch(self, receive: Receive, task: "asyncio.Task[None]") -> None:
        """Ends the pump when the client leaves."""
        while (await receive())["type"] != "http.disconnect":
            pass
        if not self._complete:
            task.cancel()

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for chunk in self.body_iterator:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except TextVoided:
            # Returning without a last chunk makes the server cut the connection: the client sees that what it has
            # is not the whole, as it would not after a clean end.
            return
        self._complete = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def chunks(subscription: Subscription, encode: Encode, form: Format) -> AsyncIterator[bytes]:
    """The bytes of one stream."""
    first = b"retry: %d\n" % RETRY_MS if form == "sse" else b""
    ping = PING if form == "sse" else b""
    try:
        async for batch in subscription.batches(IDLE_S):
            body = encode(batch) if batch else ping
            if body:
                yield first + body if batch else body
                first = b"" if batch else first
    except HubClosing:
        if form == "sse":
            yield goodbye()


async def open_stream(
    state: State, job: Job, request: StreamRequest, headers: dict[str, str] | None = None
) -> StreamResponse:
    """The live stream of one job's events. Raises JobNotFound, StoreUnavailable."""
    stack = AsyncExitStack()
    subscription = await state.hub.subscribe(job.id, request.after, exact=request.exact)
    stack.callback(subscription.close)
    stack.enter_context(state.counted())
    body = chunks(subscription, encoder(request, job), request.format)
    return StreamResponse(body, MEDIA_TYPES[request.format], stack=stack, headers=headers)


def overloaded() -> StreamResponse:
    """200, since a browser's EventSource gives up for good on anything else: come back later."""

    async def one() -> AsyncIterator[bytes]:
        pause_ms = random.randint(3000, 8000)  # noqa: S311  # spreads re-connects, guards nothing
        data = encode_json({"code": "overloaded", "retry_after_s": pause_ms / 1000}).encode()
        yield b"retry: %d\nevent: overloaded\ndata: %b\n\n" % (pause_ms, data)

    return StreamResponse(one(), MEDIA_TYPES["sse"])
