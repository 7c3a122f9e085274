"""Sends one answer at its pace, or fails in the way that was asked for, and stops at once when the client leaves."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.demo_model.behaviour import Behaviour
from server.demo_model.sampling import Answer
from server.demo_model.wire import MODEL, error_content, sse, usage

MOST_AT_ONCE: Final = 64
"""Tokens in one write, where the pace is faster than the loop."""
GARBAGE: Final = b'data: {"choices":[{"delta":{"content":"bro\n\n'
_DONE: Final = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Plan:
    """All that one answer depends on. Paces are in tokens a second."""

    answer: Answer
    behaviour: Behaviour
    pace: float
    first_token_s: float
    prompt_tokens: int
    stream: bool
    include_usage: bool
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def failure(self) -> tuple[str, int] | None:
        """The misdeed in the middle of the text, and the tokens before it."""
        for name in ("cut", "stall", "garbage", "error"):
            if (after := getattr(self.behaviour, f"{name}_after")) is not None:
                return name, after
        return None

    def head(self, kind: str) -> dict[str, Any]:
        """The fields that every object of this answer begins with."""
        return {"id": self.id, "object": kind, "created": self.created, "model": MODEL}

    def usage(self) -> dict[str, int]:
        """Counted by this server's own tokens; complete once the text is."""
        return usage(self.prompt_tokens, self.answer.count)


class Delivery(Response):
    """The response. ``active`` holds its task while it lasts, for whoever counts or ends them."""

    def __init__(self, plan: Plan, active: set[asyncio.Task[None]]) -> None:
        super().__init__()
        self._plan = plan
        self._active = active

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Delivers until all is sent, the client has left, or the task is cancelled from outside."""
        work = asyncio.create_task(self._deliver(send))
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

    async def _deliver(self, send: Send) -> None:
        if self._plan.behaviour.silent:
            await _forever()
        deliver = self._stream if self._plan.stream else self._whole
        await deliver(send)

    async def _stream(self, send: Send) -> None:
        await send(_start(200, "text/event-stream; charset=utf-8"))
        await self._send(send, self._chunk({"role": "assistant", "content": ""}))
        async for batch in self._paced():
            await self._send(send, b"".join(self._chunk({"content": piece}) for piece in batch))
        failure = self._plan.failure
        if failure is None:
            await self._send(send, self._end() + _DONE, last=True)
        else:
            await self._fail(failure[0], send)

    async def _fail(self, name: str, send: Send) -> None:
        if name == "stall":
            await _forever()
        if name == "garbage":
            await self._send(send, GARBAGE, last=True)
        if name == "error":
            await self._send(send, sse(error_content(500, "the demo model was told to fail")), last=True)
        # A response that is left unfinished makes uvicorn close the connection: the cut.

    async def _whole(self, send: Send) -> None:
        text = "".join([piece async for batch in self._paced() for piece in batch])
        failure = self._plan.failure
        content = json.dumps(self._completion(text), ensure_ascii=False).encode()
        if failure is None:
            await send(_start(200, "application/json", len(content)))
            await self._send(send, content, last=True)
        else:
            await self._fail_whole(failure[0], content, send)

    async def _fail_whole(self, name: str, content: bytes, send: Send) -> None:
        if name == "stall":
            await _forever()
        if name == "error":
            content = json.dumps(error_content(500, "the demo model was told to fail")).encode()
            await send(_start(500, "application/json", len(content)))
            await self._send(send, content, last=True)
            return
        half = content[: len(content) // 2]
        await send(_start(200, "application/json", len(content) if name == "cut" else len(half)))
        await self._send(send, half, last=name == "garbage")

    async def _paced(self) -> AsyncIterator[list[str]]:
        """Tokens when they are due, those together that are due at once."""
        plan, loop = self._plan, asyncio.get_running_loop()
        due, batch = loop.time() + plan.first_token_s, list[str]()
        for piece in self._pieces():
            if due > (now := loop.time()) or len(batch) == MOST_AT_ONCE:
                if batch:
                    yield batch
                batch = []
                await asyncio.sleep(max(0.0, due - now))
            batch.append(piece)
            due += 1 / plan.pace
        if batch:
            yield batch

    def _pieces(self) -> Iterable[str]:
        failure = self._plan.failure
        return islice(self._plan.answer, failure[1] if failure else None)

    def _chunk(self, delta: dict[str, str], finish_reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return sse({**self._plan.head("chat.completion.chunk"), "choices": [choice], **more})

    def _end(self) -> bytes:
        plan = self._plan
        reason = plan.answer.finish_reason
        if plan.behaviour.no_usage or not plan.include_usage:
            return self._chunk({}, reason)
        if plan.behaviour.usage_with_finish:
            return self._chunk({}, reason, usage=plan.usage())
        return self._chunk({}, reason) + sse(
            {**plan.head("chat.completion.chunk"), "choices": [], "usage": plan.usage()}
        )

    def _completion(self, text: str) -> dict[str, Any]:
        plan = self._plan
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": plan.answer.finish_reason}
        counted = {} if plan.behaviour.no_usage else {"usage": plan.usage()}
        return {**plan.head("chat.completion"), "choices": [choice], **counted}

    @staticmethod
    async def _send(send: Send, body: bytes, *, last: bool = False) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": not last})


def _start(status: int, media_type: str, size: int | None = None) -> dict[str, Any]:
    headers = [(b"content-type", media_type.encode()), (b"cache-control", b"no-store")]
    if size is not None:
        headers.append((b"content-length", str(size).encode()))
    return {"type": "http.response.start", "status": status, "headers": headers}


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _forever() -> None:
    await asyncio.Event().wait()
