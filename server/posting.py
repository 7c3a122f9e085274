"""The short way of a submission: what FastAPI does around one costs the event loop as much as all the rest of it.

Only what is right goes this way. Whatever is not, FastAPI gets as it came, and says what is wrong with it.
"""

import json
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import errors
from server.auth import admitted
from server.routes.jobs import MAX_KEY, submit
from server.schemas import JobRequest
from server.state import State

PATH: Final = "/v1/jobs"


class Posting:
    """Answers POSTs of jobs that can be read; everything else is the app's."""

    def __init__(self, app: ASGIApp, *, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            messages = await _received(receive)
            job = _read(request, messages)
            if job is None:
                await self._app(scope, _once_more(messages, receive), send)
                return
            owner = admitted(request, self._state.settings)
            key, prefer = request.headers.get("idempotency-key"), request.headers.get("prefer")
            response = await submit(job, request, self._state, owner, key, prefer)
        except errors.FORESEEN as error:
            response = errors.response_to(error)
        await response(scope, receive, send)


async def _received(receive: Receive) -> list[Message]:
    """All of a request; the last message may be that the client has left."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    return messages


def _read(request: Request, messages: Sequence[Message]) -> JobRequest | None:
    """The job that is asked for, or None where FastAPI is to say what is wrong, or to read it in its own way."""
    headers = request.headers
    if messages[-1]["type"] == "http.disconnect":
        return None
    if headers.get("content-type") != "application/json" or len(headers.get("idempotency-key", "")) > MAX_KEY:
        return None
    try:
        return JobRequest.model_validate(json.loads(b"".join(message.get("body", b"") for message in messages)))
    # The first is also what bad JSON raises; the second is JSON that nests too deep for Python.
    except (ValueError, RecursionError):
        return None


def _once_more(messages: Iterable[Message], receive: Receive) -> Receive:
    """What was received, and then what comes."""
    left = deque(messages)

    async def received() -> Message:
        return left.popleft() if left else await receive()

    return received
