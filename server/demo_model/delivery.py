"""Sends one chat completion at its pace, or fails in the way that was asked for."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from starlette.types import Send

from server.demo_model.behaviour import Behaviour
from server.demo_model.response import TOLD_TO_FAIL, Work, forever, send_part, start
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

    def head(self, kind: str) -> dict[str, Any]:
        """The fields that every object of this answer begins with."""
        return {"id": self.id, "object": kind, "created": self.created, "model": MODEL}

    def usage(self) -> dict[str, int]:
        """Counted by this server's own tokens; complete once the text is."""
        return usage(self.prompt_tokens, self.answer.count)


class Delivery(Work):
    """The response."""

    def __init__(self, plan: Plan, active: set[asyncio.Task[None]]) -> None:
        super().__init__(plan.behaviour, active)
        self._plan = plan

    async def _deliver(self, send: Send) -> None:
        deliver = self._stream if self._plan.stream else self._whole
        await deliver(send)

    async def _stream(self, send: Send) -> None:
        await send(start(200, "text/event-stream; charset=utf-8"))
        await send_part(send, self._chunk({"role": "assistant", "content": ""}))
        async for batch in self._paced():
            await send_part(send, b"".join(self._chunk({"content": piece}) for piece in batch))
        failure = self._told.failure
        if failure is None:
            await send_part(send, self._end() + _DONE, last=True)
        else:
            await self._fail(failure[0], send)

    async def _fail(self, name: str, send: Send) -> None:
        if name == "stall":
            await forever()
        if name == "garbage":
            await send_part(send, GARBAGE, last=True)
        if name == "error":
            await send_part(send, sse(error_content(500, TOLD_TO_FAIL)), last=True)
        # A response that is left unfinished makes uvicorn close the connection: the cut.

    async def _whole(self, send: Send) -> None:
        text = "".join([piece async for batch in self._paced() for piece in batch])
        await self._send_whole(self._completion(text), send)

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
        failure = self._told.failure
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
