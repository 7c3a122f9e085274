"""The hand-over of a Relay from the app that makes it to what stands around the app, where it is run."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from sse_starlette import EventSourceResponse
from starlette.types import Message, Receive, Scope, Send

from progress.jobs import Job
from server.encoding import HEADERS
from server.negotiation import MEDIA_TYPES, Format, StreamRequest
from server.relay import Relay
from server.state import State

RELAYS: Final = "jobcast.relays"
SEND: Final = "jobcast.send"
Handed = tuple[Relay, Message]
Door = Callable[[Scope, list[Handed]], Awaitable[bool]]
"""What is asked before the app: it hands a Relay over and says so, or leaves the request to the app."""


class Outermost:
    """Runs Relays outside of the app that made them.

    Each layer around ``send()`` would be stepped for each event, and each layer's frame and objects be kept as long as
    the stream is: more than all the rest of an idle reader. So is what the client sent, which nobody needs any more.
    """

    def __init__(self, app: Any, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handed: list[Handed] = []
        if not await self._door(scope, handed):
            # A copy: what the app puts into it goes with the app.
            await self._app({**scope, RELAYS: handed, SEND: send}, receive, send)
        if not handed:
            return
        relay, head = handed.pop()
        serving = relay.serve(head, receive, send, scope)
        del relay, head, scope
        await serving


class RelayResponse(EventSourceResponse):
    """The response to one reader of one job: its head, and the Relay that sends the rest."""

    def __init__(self, relay: Relay, form: Format, headers: dict[str, str] | None = None) -> None:
        # Not the parent's: it makes locks and headers for a body that a Relay does not have, for a tenth of the time
        # that it takes to open one.
        self.status_code = 200
        self.background = None
        self.media_type = MEDIA_TYPES[form]
        more = [(name.lower().encode(), value.encode()) for name, value in headers.items()] if headers else []
        self.raw_headers = [*HEADS[form]["headers"], *more]
        self._relay = relay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The response of one request; see Outermost."""
        head = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if RELAYS in scope:
            scope[RELAYS].append((self._relay, head))
        else:
            await self._relay.serve(head, receive, send)


async def _nothing() -> Any:
    """EventSourceResponse wants an iterator; a Relay has none."""
    return
    yield


HEADS: Final[dict[Format, Message]] = {
    name: {
        "type": "http.response.start",
        "status": 200,
        "headers": EventSourceResponse(_nothing(), headers=HEADERS, media_type=media_type, ping=0).raw_headers,
    }
    for name, media_type in MEDIA_TYPES.items()
}
"""What sse-starlette makes of ours, for each format."""


async def open_stream(
    state: State, job_id: str, request: StreamRequest, *, job: Job | None = None, headers: dict[str, str] | None = None
) -> RelayResponse:
    """The live stream of one job's events. Plain text needs the job's record.

    Raises:
        JobNotFound: there is no such job.
        StoreUnavailable: Redis cannot be asked now.
    """
    return RelayResponse(await open_relay(state, job_id, request, job=job), request.format, headers)


async def open_relay(state: State, job_id: str, request: StreamRequest, *, job: Job | None = None) -> Relay:
    """The same without its response. Raises as ``open_stream``."""
    relay = Relay(state, job, request)
    # Of joined text nobody could tell which part of it no longer counts.
    await relay.open(job_id, request.after, exact=request.exact or request.format == "text")
    return relay
