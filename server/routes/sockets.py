"""The two WebSockets: one job, or any number of them over one socket."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from progress.errors import InvalidCursor, JobConflict, JobNotFound, StoreUnavailable
from progress.events import encode_json
from progress.hub import HubClosing
from server.auth import admitted, same_origin
from server.encoding import IDLE_S, with_job
from server.errors import Problem
from server.fan import MAX_JOBS, Fan
from server.handover import SEND
from server.negotiation import parse_cursor
from server.schemas import is_job_id
from server.state import State, state_of
from server.wire import Wire, messages, messages_with_job

router = APIRouter()
SUBPROTOCOL: Final = "jobcast.v1"
DONE, GOING, BAD_MESSAGE, OVERLOADED = 1000, 1001, 1008, 1013
NOT_AUTHENTICATED, NOT_ALLOWED, NO_SUCH_JOB = 4401, 4403, 4404
MAX_REASON_BYTES: Final = 120


class Closing(Exception):
    """This socket is to be closed, with a code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")


Handler = Callable[[WebSocket, State, Fan], Awaitable[None]]


async def serve(socket: WebSocket, handler: Handler) -> None:
    """Accepts a socket, runs a handler, and closes with a code that says why.

    Accepted first: a browser shows nothing but 1006 of a socket that was closed before.
    """
    state = state_of(socket)
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
    try:
        code, reason = await _end_of(socket, state, handler)
        await socket.close(code, reason)
    except (WebSocketDisconnect, RuntimeError):
        # It has left while we closed: uvicorn answers a send after that with a RuntimeError.
        return


async def _end_of(socket: WebSocket, state: State, handler: Handler) -> tuple[int, str]:
    with state.counted():
        fan = Fan(state.hub)
        try:
            admit(socket, state)
            await handler(socket, state, fan)
        except Closing as closing:
            return closing.code, closing.reason
        except HubClosing:
            return GOING, "the server restarts: come back"
        except StoreUnavailable:
            return OVERLOADED, "Redis cannot be used just now: come back"
        finally:
            fan.close()
    return DONE, "done"


def admit(socket: WebSocket, state: State) -> None:
    """Raises Closing where this socket is not to be served."""
    if state.streams > state.settings.max_streams:
        raise Closing(OVERLOADED, "too many streams are open here: come back later")
    if not same_origin(socket):
        raise Closing(NOT_ALLOWED, "this page comes from another origin")
    try:
        admitted(socket, state.settings)
    except Problem as problem:
        raise Closing(NOT_AUTHENTICATED, str(problem.detail)) from None


async def both(receive: Awaitable[None], send: Awaitable[None]) -> None:
    """Runs the two halves of a socket; the end of one ends the other."""
    halves = [asyncio.ensure_future(receive), asyncio.ensure_future(send)]
    try:
        await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for half in halves:
            half.cancel()
        results = await asyncio.gather(*halves, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def next_message(socket: WebSocket) -> dict[str, Any]:
    """The next message of a client. Raises Closing where it is none."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise Closing(DONE, "")
    text = message.get("text")
    if text is None:
        raise Closing(BAD_MESSAGE, "send text frames, not binary ones")
    try:
        decoded = json.loads(text)
    except (ValueError, RecursionError):
        raise Closing(BAD_MESSAGE, "a message is not JSON") from None
    if not isinstance(decoded, dict) or not isinstance(decoded.get("op"), str):
        raise Closing(BAD_MESSAGE, 'a message is an object with "op"')
    return decoded


@router.websocket("/v1/jobs/{job_id}/ws")
async def one_job(socket: WebSocket, job_id: str) -> None:
    """Follows one job to its last event."""

    async def handler(socket: WebSocket, state: State, fan: Fan) -> None:
        try:
            after = parse_cursor(socket.query_params.get("after", ""))
            if not is_job_id(job_id):
                raise JobNotFound(job_id)
            await fan.add(job_id, after, exact=socket.query_params.get("exact") in ("1", "true"))
        except InvalidCursor as error:
            raise Closing(BAD_MESSAGE, str(error)) from None
        except JobNotFound as error:
            raise Closing(NO_SUCH_JOB, str(error)) from None
        fan.writer = Wire.of_socket(socket.scope.get(SEND), messages)
        await both(_take_cancels(socket, state, job_id), _send_one(socket, fan))

    await serve(socket, handler)


async def _take_cancels(socket: WebSocket, state: State, job_id: str) -> None:
    while True:
        message = await next_message(socket)
        if message != {"op": "cancel"}:
            raise Closing(BAD_MESSAGE, 'this socket takes {"op":"cancel"} and nothing else')
        try:
            await state.store.cancel(job_id)
        except (JobConflict, JobNotFound):
            continue  # Its last event is on the way, and says more.


async def _send_one(socket: WebSocket, fan: Fan) -> None:
    (subscription,) = fan.subscriptions.values()
    async for _, batch in fan.batches(IDLE_S):
        for entry in batch:
            await socket.send_text(entry.raw.decode())
        if not fan.subscriptions:
            if subscription.lost:
                raise Closing(NO_SUCH_JOB, "the job's record is gone")
            return


@router.websocket("/v1/ws")
async def many_jobs(socket: WebSocket) -> None:
    """Follows any number of jobs, as the client says."""

    async def handler(socket: WebSocket, state: State, fan: Fan) -> None:
        fan.writer = Wire.of_socket(socket.scope.get(SEND), messages_with_job)
        await both(_take_operations(socket, state, fan), _send_many(socket, fan))

    await serve(socket, handler)


async def _send_many(socket: WebSocket, fan: Fan) -> None:
    async for job_id, batch in fan.batches(IDLE_S):
        for entry in batch:
            await socket.send_text(with_job(entry, job_id).decode())


async def _take_operations(socket: WebSocket, state: State, fan: Fan) -> None:
    while True:
        message = await next_message(socket)
        operation = OPERATIONS.get(message["op"])
        job_id = message.get("job")
        if operation is None:
            raise Closing(BAD_MESSAGE, f"there is no op {message['op'][:20]!r}; there are {', '.join(OPERATIONS)}")
        if not isinstance(job_id, str):
            raise Closing(BAD_MESSAGE, '"job" is the id of a job')
        try:
            await operation(socket, state, fan, message)
        except (JobNotFound, JobConflict, InvalidCursor, StoreUnavailable) as error:
            await answer(socket, message, error)


async def _subscribe(socket: WebSocket, _state: State, fan: Fan, message: dict[str, Any]) -> None:
    job_id, after = message["job"], message.get("after", 0)
    if not isinstance(after, int) or isinstance(after, bool):
        raise InvalidCursor(str(after)[:40])
    cursor = parse_cursor(str(after))
    if not is_job_id(job_id):
        raise JobNotFound(job_id[:40])
    if len(fan.subscriptions) >= MAX_JOBS and job_id not in fan.subscriptions:
        await answer(socket, message, OverflowError(f"one socket follows {MAX_JOBS} jobs at most"))
        return
    # So that no event of the job comes before the answer, and none of an older subscription after it.
    async with fan.steady:
        await fan.add(job_id, cursor, exact=message.get("exact") is True)
        await answer(socket, message)


async def _unsubscribe(socket: WebSocket, _state: State, fan: Fan, message: dict[str, Any]) -> None:
    async with fan.steady:
        fan.remove(message["job"])
        await answer(socket, message)


async def _cancel(socket: WebSocket, state: State, _fan: Fan, message: dict[str, Any]) -> None:
    if not is_job_id(message["job"]):
        raise JobNotFound(message["job"][:40])
    await state.store.cancel(message["job"])
    await answer(socket, message)


OPERATIONS: Final = {"subscribe": _subscribe, "unsubscribe": _unsubscribe, "cancel": _cancel}
_CODES: Final = {
    JobNotFound: "job_not_found",
    JobConflict: "job_conflict",
    InvalidCursor: "invalid_cursor",
    StoreUnavailable: "unavailable",
    OverflowError: "too_many_jobs",
}


async def answer(socket: WebSocket, message: dict[str, Any], error: Exception | None = None) -> None:
    """Answers an operation: which one, of which job, and what was wrong."""
    reply: dict[str, Any] = {"op": "ok" if error is None else "error", "of": message["op"], "job": message["job"]}
    if error is not None:
        reply |= {"code": _CODES[type(error)], "message": str(error)}
    await socket.send_text(encode_json(reply))
