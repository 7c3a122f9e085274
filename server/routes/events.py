"""Event streams over HTTP: of one job, of several, and the activity of all."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.requests import Request

from progress.errors import JobNotFound
from progress.events import EVENT_TYPES, Event, encode_json
from progress.feed import gap_before
from progress.hub import ActivityReader, Entry, HubClosing
from progress.jobs import Job
from server.auth import OwnerDep
from server.encoding import IDLE_S, PING, RETRY_MS, goodbye, with_job
from server.errors import responses
from server.fan import MAX_JOBS, Fan, Positions, decode_cursor, encode_cursor
from server.handover import open_stream
from server.negotiation import MEDIA_TYPES, StreamRequest
from server.routes.jobs import JobDep
from server.schemas import EventPage, is_job_id
from server.state import State, StateDep
from server.streams import StreamResponse, no_room, overloaded

router = APIRouter(prefix="/v1", tags=["events"])
SSE = MEDIA_TYPES["sse"]
_STREAM: dict[str, Any] = {"schema": {"type": "string"}}
# A schema here would be one of each event, of which OpenAPI 3.1 knows nothing.
_EVENTS: dict[str, Any] = {}

# What StreamRequest takes, for those who read the document.
POSITION = r"^(-1|\d{1,15})?$"
POSITIONS = r"^(-1|0|[^.,]{12}\.\d{1,15}(,[^.,]{12}\.\d{1,15})*)?$"
FLAG = r"^(0|1|[tT][rR][uU][eE]|[fF][aA][lL][sS][eE])?$"
TYPES = r"^((T)(,(T))*)?$".replace("T", "|".join(sorted(EVENT_TYPES)))


def text(description: str, pattern: str, default: str = "", *, alias: str | None = None) -> Any:
    """A parameter that a StreamRequest reads and checks; the pattern is documentation."""
    extra: dict[str, Any] = {"pattern": pattern} if pattern else {}
    return Field(default=default, alias=alias, description=description, json_schema_extra=extra)


class LogQuery(BaseModel):
    """The query of one job's stream, as the document shows it."""

    after: str = text("A `seq`; 0: from the start; -1: from now", POSITION)
    last_event_id: str = text("The same as `after`; the header of this name wins", POSITION)
    types: str = text("Only these, comma-separated; the last event always comes", TYPES)
    exact: str = text("1: neighbouring tokens are never joined", FLAG)
    channel: str = text("Of plain text: which output", "", "main")
    limit: str = text("Of a page of JSON: most events", r"^([1-9]\d{0,2}|1000)?$")
    form: str = text("Wins over Accept", r"^(sse|ndjson|text|json)?$", alias="format")


class FanQuery(BaseModel):
    """The query of a stream of several jobs."""

    job: list[str] = Field(description="Ids", min_length=1, max_length=MAX_JOBS)
    after: str = text("The `id:` received last", POSITIONS)
    last_event_id: str = text("The same as `after`; the header of this name wins", POSITIONS)
    types: str = text("Only these, comma-separated; the last event always comes", TYPES)
    exact: str = text("1: neighbouring tokens are never joined", FLAG)


def last_seen(pattern: str) -> Any:
    """The header with which an EventSource comes back; documentation as well."""
    extra = {"pattern": pattern}
    return Header(
        alias="Last-Event-ID", description="The `id:` received last: wins over the query", json_schema_extra=extra
    )


@router.get(
    "/jobs/{job_id}/events",
    summary="A job's events",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events, NDJSON, plain text, or a page of JSON",
            "content": {
                SSE: _EVENTS,
                "application/x-ndjson": _STREAM,
                "text/plain": _STREAM,
                "application/json": {"schema": EventPage.model_json_schema()},
            },
        },
        204: {"description": "The log has ended at or before this position: an EventSource stops"},
        **responses(401, 404, 422, 503),
    },
)
async def job_events(
    job: JobDep,
    request: Request,
    state: StateDep,
    _owner: OwnerDep,
    _query: Annotated[LogQuery, Query()],
    _last_seen: Annotated[str, last_seen(POSITION)] = "",
) -> Response:
    """Everything after a position, then live, until the job's last event."""
    return await answer_events(state, job, request)


async def answer_events(state: State, job: Job, request: Request) -> Response:
    """The response to a request for a job's events.

    Raises:
        InvalidCursor, Problem: see ``StreamRequest.read``; 503 where no more streams may be open.
        JobNotFound, StoreUnavailable: see ``open_stream``.
    """
    asked = StreamRequest.read(request.headers, request.query_params)
    if asked.format == "json":
        return await page(state, job, asked)
    if asked.format == "sse" and job.ended and not 0 <= asked.after < job.last_seq:
        return Response(status_code=204)
    if not state.has_room():
        return no_room(asked.format)
    return await open_stream(state, job.id, asked, job=job)


async def page(state: State, job: Job, asked: StreamRequest) -> Response:
    """A page of events, at once."""
    after = job.last_seq if asked.after < 0 else asked.after
    found = await state.store.read_log(job.id, after, asked.limit)
    events = [event for event in found.events if asked.wants(event.type)]
    end = found.events[-1].seq if found.events else max(after, found.last_seq or 0)
    done = found.ended and end >= (found.last_seq or 0)
    gap = gap_before(after, found.events[0] if found.events else None, end, job.id)
    shown = [json.loads(gap.raw)] if gap else []
    return JSONResponse({"events": [*shown, *(event.data for event in events)], "next": end, "done": done})


@router.get(
    "/events",
    summary="Several jobs in one connection",
    response_class=Response,
    responses={
        200: {"description": "Server-sent events, each with `job`", "content": {SSE: _EVENTS}},
        204: {"description": "All of them have ended at or before this position"},
        **responses(401, 404, 422, 503),
    },
)
async def several_jobs(
    request: Request,
    state: StateDep,
    _owner: OwnerDep,
    query: Annotated[FanQuery, Query()],
    _last_seen: Annotated[str, last_seen(POSITIONS)] = "",
) -> Response:
    """The ``id:`` of each event is one cursor over all of them."""
    asked = StreamRequest.filters(request.query_params)
    given = [text for text in (request.headers.get("last-event-id"), query.last_event_id, query.after) if text]
    # All of them are looked at: one that is wrong is refused, also where another one counts.
    positions, *_ = [decode_cursor(text, dict.fromkeys(query.job)) for text in given or [""]]
    jobs = [await state.store.get(job_id) if is_job_id(job_id) else _missing(job_id) for job_id in positions]
    # From now on: as a number, since the cursor of the first event tells where all of them are.
    positions |= {found.id: found.last_seq for found in jobs if positions[found.id] < 0}
    if all(found.ended and positions[found.id] >= found.last_seq for found in jobs):
        return Response(status_code=204)
    if not state.has_room():
        return overloaded()
    return await open_fan(state, positions, asked)


def _missing(job_id: str) -> Job:
    raise JobNotFound(job_id[:40])


async def open_fan(state: State, positions: Positions, asked: StreamRequest) -> StreamResponse:
    """The live stream of several jobs."""
    stack = AsyncExitStack()
    async with stack:
        fan = Fan(state.hub)
        stack.callback(fan.close)
        for job_id, after in positions.items():
            await fan.add(job_id, after, exact=asked.exact)
        stack.enter_context(state.counted())
        return StreamResponse(fan_chunks(fan, positions, asked), SSE, stack=stack.pop_all())
    raise AssertionError("unreachable")


async def fan_chunks(fan: Fan, positions: Positions, asked: StreamRequest) -> AsyncIterator[bytes]:
    """The bytes of a stream of several jobs; it ends when all of them have."""
    first = b"retry: %d\n" % RETRY_MS
    try:
        async for job_id, batch in fan.batches(IDLE_S):
            body = b"".join([fan_block(entry, job_id, positions) for entry in batch if asked.wants(entry.type)])
            if body:
                yield first + body
                first = b""
            elif not batch and fan.subscriptions:
                yield PING
            if not fan.subscriptions:
                return
    except HubClosing:
        yield goodbye()


def fan_block(entry: Entry, job_id: str, positions: Positions) -> bytes:
    """An SSE block with ``job`` added and the cursor over all as its ``id``."""
    if isinstance(entry, Event):
        positions[job_id] = entry.seq
    data = with_job(entry, job_id)
    return f"id: {encode_cursor(positions)}\nevent: {entry.type}\ndata: ".encode() + data + b"\n\n"


@router.get(
    "/activity",
    summary="State changes and progress of all jobs",
    response_class=Response,
    responses={
        200: {"description": "Server-sent events, each with `job` and `kind`", "content": {SSE: _EVENTS}},
        **responses(401, 422, 503),
    },
)
async def activity(state: StateDep, _owner: OwnerDep) -> Response:
    """For lists: no tokens, no results, no history. A ``gap`` says that the list is to be fetched anew."""
    if not state.has_room():
        return overloaded()
    async with AsyncExitStack() as stack:
        stack.enter_context(state.counted())
        reader = await state.hub.follow_activity(stack)
        return StreamResponse(activity_chunks(reader), SSE, stack=stack.pop_all())
    raise AssertionError("unreachable")


async def activity_chunks(reader: ActivityReader) -> AsyncIterator[bytes]:
    """The bytes of an activity stream. The first block tells that it is open."""
    yield b"retry: %d\nevent: open\ndata: {}\n\n" % RETRY_MS
    try:
        while True:
            events = await reader.next(IDLE_S)
            if reader.overflowed:
                reader.overflowed = False
                data = encode_json({"type": "gap", "lost_from": None, "lost_to": None, "job": None}).encode()
                yield b"event: gap\ndata: %b\n\n" % data
            body = b"".join([b"event: %b\ndata: %b\n\n" % (event.type.encode(), event.raw) for event in events])
            yield body or PING
    except HubClosing:
        yield goodbye()
