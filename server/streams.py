"""Event streams over HTTP that are more than one job's log: what an iterator yields, sent until it ends."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from sse_starlette import EventSourceResponse
from sse_starlette.sse import AppStatus
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from progress.events import encode_json
from server.encoding import HEADERS
from server.errors import unavailable
from server.negotiation import MEDIA_TYPES, Format

# Shutdown is announced by the Hub, at an event boundary; sse-starlette's own watcher would cut the stream.
AppStatus.disable_automatic_graceful_drain()


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
        async for chunk in self.body_iterator:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        self._complete = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def overloaded() -> StreamResponse:
    """200, since a browser's EventSource gives up for good on anything else: come back later."""

    async def one() -> AsyncIterator[bytes]:
        pause_ms = random.randint(3000, 8000)
        data = encode_json({"code": "overloaded", "retry_after_s": pause_ms / 1000}).encode()
        yield b"retry: %d\nevent: overloaded\ndata: %b\n\n" % (pause_ms, data)

    return StreamResponse(one(), MEDIA_TYPES["sse"])


def no_room(form: Format) -> Response:
    """The answer over the limit of open streams, in a form that the client will not take for an end."""
    if form == "sse":
        return overloaded()
    raise unavailable("too many streams are open here")
