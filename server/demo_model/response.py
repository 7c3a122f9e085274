"""A response that is delivered at a pace, stops at once when the client leaves, and can be broken off from outside."""

import asyncio
import json
from abc import abstractmethod
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.demo_model.behaviour import Behaviour
from server.demo_model.wire import error_content

TOLD_TO_FAIL = "the demo model was told to fail"


class Work(Response):
    """``active`` holds its task while it lasts, for whoever counts or ends them."""

    def __init__(self, told: Behaviour, active: set[asyncio.Task[None]]) -> None:
        super().__init__()
        self._told = told
        self._active = active

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Delivers until all is sent, the client has left, or the task is cancelled from outside."""
        work = asyncio.create_task(self._unless_silent(send))
        leaving = asyncio.create_task(_left(receive))
        self._active.add(work)
        try:
            await asyncio.wait((work, leaving), return_when=asyncio.FIRST_COMPLETED)
            if work.done() and not work.cancelled():
                work.result()
        finally:
            self._active.discard(work)
            for task in (work, leaving):
                task.cancel()
            await asyncio.gather(work, leaving, return_exceptions=True)

    async def _unless_silent(self, send: Send) -> None:
        if self._told.silent:
            await forever()
        await self._deliver(send)

    @abstractmethod
    async def _deliver(self, send: Send) -> None:
        """Sends all of it."""

    async def _send_whole(self, content: Any, send: Send) -> None:
        """Sends JSON in one piece, or what the misdeed in the middle makes of it."""
        body = json.dumps(content, ensure_ascii=False).encode()
        failure = self._told.failure
        if failure is None:
            await send(start(200, "application/json", len(body)))
            await send_part(send, body, last=True)
        else:
            await _fail_whole(failure[0], body, send)


async def _fail_whole(name: str, content: bytes, send: Send) -> None:
    if name == "stall":
        await forever()
    if name == "error":
        content = json.dumps(error_content(500, TOLD_TO_FAIL)).encode()
        await send(start(500, "application/json", len(content)))
        await send_part(send, content, last=True)
        return
    half = content[: len(content) // 2]
    await send(start(200, "application/json", len(content) if name == "cut" else len(half)))
    await send_part(send, half, last=name == "garbage")


async def send_part(send: Send, body: bytes, *, last: bool = False) -> None:
    """Sends a part of a body."""
    await send({"type": "http.response.body", "body": body, "more_body": not last})


def start(status: int, media_type: str, size: int | None = None) -> dict[str, Any]:
    """The message that a response begins with."""
    headers = [(b"content-type", media_type.encode()), (b"cache-control", b"no-store")]
    if size is not None:
        headers.append((b"content-length", str(size).encode()))
    return {"type": "http.response.start", "status": status, "headers": headers}


async def forever() -> None:
    """Waits until it is cancelled."""
    await asyncio.Event().wait()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
