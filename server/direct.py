"""The short way to a job's events: what FastAPI does for a request costs more than all the rest of opening a stream.

Many open one at once when a proxy or a server comes back. So this one route is answered before FastAPI sees it, and its
readers share what is looked up: a job whose Feed is live is known to be there, and needs nothing of the app at all; one
that many ask for together is read once. FastAPI still has the route, for its document and for whatever does not come by
here.
"""

import asyncio
import contextlib
import re
from collections import deque
from typing import Final

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from progress.errors import JobNotFound
from progress.jobs import Job
from server import errors
from server.auth import admitted
from server.handover import HEADS, Handed, open_relay
from server.negotiation import StreamRequest
from server.routes.events import answer_events
from server.schemas import is_job_id
from server.state import State

PATH: Final = re.compile(r"/v1/jobs/([^/]+)/events")


AT_ONCE: Final = 16
"""Streams that are opened in one turn of the event loop: about 3 ms, which those who follow live have to wait."""


class Turnstile:
    """Lets so many pass in one turn of the event loop: what else is due there comes in between."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._turning = False

    async def enter(self) -> None:
        """Returns when it is one's turn, in the order of the calls."""
        loop = asyncio.get_running_loop()
        if not self._turning:
            self._turning = True
            loop.call_soon(self._turn)
        if self._left and not self._waiting:
            self._left -= 1
            return
        waiter = loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _turn(self) -> None:
        self._left = self._most
        while self._left and self._waiting:
            waiter = self._waiting.popleft()
            # One that has left meanwhile is cancelled.
            if not waiter.done():
                waiter.set_result(None)
                self._left -= 1
        self._turning = self._left < self._most
        if self._turning:
            asyncio.get_running_loop().call_soon(self._turn)


def job_of(scope: Scope) -> str | None:
    """The id in a GET of a job's events; None where something else is asked."""
    match = PATH.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
    return match and match[1]


class LiveDoor:
    """Lets the readers of live Feeds in, before the app has made anything for them: see ``handover.Door``."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._turnstile = Turnstile(AT_ONCE)

    async def __call__(self, scope: Scope, handed: list[Handed]) -> bool:
        """One request of any kind: waits for its turn, if it is one for a job's events."""
        job_id = job_of(scope)
        if job_id is None:
            return False
        await self._turnstile.enter()
        feed = self._state.hub.feeds.get(job_id)
        # What is wrong with a request, the app finds as well, and says so.
        with contextlib.suppress(*errors.FORESEEN):
            if feed is not None and not feed.closed and (opened := await self._open(scope, job_id)):
                handed.append(opened)
        return bool(handed)

    async def _open(self, scope: Scope, job_id: str) -> Handed | None:
        settings = self._state.settings
        if settings.api_keys:
            admitted(HTTPConnection(scope), settings)
        asked = StreamRequest.of(scope)
        if asked.format not in ("sse", "ndjson") or not self._state.has_room():
            return None
        return await open_relay(self._state, job_id, asked), HEADS[asked.format]


class Direct:
    """Answers GETs of a job's events; everything else is the app's."""

    def __init__(self, app: ASGIApp, *, state: State) -> None:
        self._app = app
        self._state = state
        self._reading: dict[str, asyncio.Task[Job]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        job_id = job_of(scope)
        if job_id is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await self._answer(Request(scope), job_id)
        except errors.FORESEEN as error:
            response = errors.response_to(error)
        await response(scope, receive, send)

    async def _answer(self, request: Request, job_id: str) -> Response:
        admitted(request, self._state.settings)
        if not is_job_id(job_id):
            raise JobNotFound(job_id[:40])
        return await answer_events(self._state, await self._job(job_id), request)

    async def _job(self, job_id: str) -> Job:
        """The job as it is now; read once for all who ask together."""
        task = self._reading.get(job_id)
        if task is None:
            task = self._reading[job_id] = asyncio.create_task(self._state.store.get(job_id))
            task.add_done_callback(lambda done: self._read(job_id, done))
        return await asyncio.shield(task)

    def _read(self, job_id: str, task: "asyncio.Task[Job]") -> None:
        del self._reading[job_id]
        # Asked for, so that nothing complains where everyone has left.
        task.cancelled() or task.exception()
