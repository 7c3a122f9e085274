"""Batches: many jobs in one submission, counted as one; and the children of a job."""

import time
from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from progress.commands import Group
from progress.events import rfc3339
from progress.jobs import Json, group_id
from server.auth import OwnerDep
from server.batches import batch_chunks, counts, position
from server.errors import Problem, responses
from server.making import batch_of
from server.negotiation import MEDIA_TYPES
from server.routes.jobs import JobDep, KeyHeader, checked_key
from server.schemas import JOB_ID, JobRequest, JobView, is_job_id
from server.state import State, StateDep
from server.streams import StreamResponse, overloaded
from server.submission import fingerprint_of

router = APIRouter(prefix="/v1", tags=["batches"])
MAX_JOBS = 1_000
SSE = MEDIA_TYPES["sse"]


class BatchRequest(BaseModel):
    """Jobs to be counted together. With ``batch`` they join one that there is."""

    model_config = ConfigDict(extra="forbid")

    jobs: Annotated[list[JobRequest], Field(min_length=1, max_length=MAX_JOBS)]
    batch: Annotated[str | None, Field(pattern=f"^{JOB_ID.pattern}$", description="Its id, to add to it")] = None


class BatchLinks(BaseModel):
    """Where to go from a batch."""

    self: str
    events: str


class BatchMade(BaseModel):
    """What a submission has made."""

    batch: str = Field(description="The batch's id")
    jobs: list[JobView]
    links: BatchLinks


class Counts(BaseModel):
    """Jobs by status."""

    total: int
    queued: int
    running: int
    retrying: int
    succeeded: int
    failed: int
    cancelled: int
    ended: int
    fraction: float
    rate: float | None = Field(description="Jobs that end in a second")
    eta_s: float | None
    done: bool


class BatchView(Counts):
    """A batch."""

    id: str
    created_at: str
    finished_at: str | None
    failures: list[Json] = Field(description="The first 100 of the jobs that have failed: `{job, kind, error}`")
    links: BatchLinks


class ChildList(BaseModel):
    """Children of a job, in their order."""

    step: str | None = Field(description="The step whose children they are; null where there are none")
    counts: Counts | None
    jobs: list[JobView]
    next: int | None = Field(description="`after` of the next page; null on the last one")


def links_of(batch: str) -> BatchLinks:
    """Where to go from a batch."""
    return BatchLinks(self=f"/v1/batches/{batch}", events=f"/v1/batches/{batch}/events")


async def find_batch(batch: str, state: State, known: int = 0) -> Group:
    """A batch. Raises Problem: 404."""
    group = await state.store.group(batch, known) if is_job_id(batch) else None
    if group is None:
        raise Problem(404, "not_found", f"no batch {batch[:40]}")
    return group


@router.post(
    "/batches",
    status_code=202,
    response_model=BatchMade,
    summary="Submit many jobs",
    responses={
        200: {"model": BatchMade, "description": "It was submitted before"},
        **responses(400, 401, 404, 413, 415, 422, 503),
    },
)
async def submit_batch(
    body: BatchRequest,
    state: StateDep,
    owner: OwnerDep,
    idempotency_key: KeyHeader = None,
) -> Response:
    """All of them are made, or none. A batch of more than 1,000 is submitted in parts: ``batch`` names the first's."""
    key = checked_key(idempotency_key)
    wanted = []
    for number, request in enumerate(body.jobs):
        try:
            wanted.append(await state.submissions.validated(request, owner))
        except Problem as problem:
            raise placed(problem, f"jobs.{number}") from None
    batch = body.batch or batch_of(key, owner)
    if body.batch:
        await find_batch(batch, state)
    jobs, fresh = await state.batches.submit(batch, wanted, key, fingerprint_of(body))
    made = BatchMade(batch=batch, jobs=[JobView.of(job) for job in jobs], links=links_of(batch))
    headers = {"Location": f"/v1/batches/{batch}"}
    return Response(made.model_dump_json(), 202 if fresh else 200, headers, "application/json")


def placed(problem: Problem, where: str) -> Problem:
    """What is wrong with one job, said of the whole request."""
    errors = [error.model_copy(update={"field": f"{where}.{error.field}"}) for error in problem.errors or ()]
    return Problem(problem.status_code, problem.code, f"{where}.{problem.detail}", errors=errors)


@router.get("/batches/{batch}", response_model=BatchView, summary="One batch", responses=responses(401, 404, 503))
async def get_batch(batch: str, state: StateDep, _owner: OwnerDep) -> Any:
    """Its jobs by status, and some of those that have failed."""
    group = await find_batch(batch, state)
    until = group.finished_at or time.time() * 1000
    seconds = (until - group.created_at) / 1000
    return BatchView(
        id=batch,
        created_at=rfc3339(group.created_at),
        finished_at=rfc3339(group.finished_at) if group.finished_at else None,
        failures=list(group.failures),
        links=links_of(batch),
        **counts(group, group.ended / seconds if seconds > 0 else None),
    )


@router.get(
    "/batches/{batch}/events",
    summary="Follow a batch",
    response_class=Response,
    responses={
        200: {"description": "Server-sent events: `progress`, `failure`, `done`", "content": {SSE: {}}},
        204: {"description": "It has ended, and this was said before"},
        **responses(401, 404, 422, 503),
    },
)
async def batch_events(
    batch: str,
    state: StateDep,
    _owner: OwnerDep,
    last_event_id: Annotated[
        str, Header(alias="Last-Event-ID", description="The `id:` received last", max_length=100)
    ] = "",
) -> Response:
    """Counts, rate and ETA at each change, four times a second at most, and each failure; ``done`` comes last."""
    revision, failures = position(last_event_id)
    group = await find_batch(batch, state)
    if group.revision == revision and group.ended >= group.expected:
        return Response(status_code=204)
    if not state.has_room():
        return overloaded()
    async with AsyncExitStack() as stack:
        stack.enter_context(state.counted())
        return StreamResponse(batch_chunks(state, batch, revision, failures), SSE, stack=stack.pop_all())
    raise AssertionError("unreachable")


@router.get("/jobs/{job_id}/children", response_model=ChildList, summary="Children of a job",
            responses=responses(401, 404, 422, 503))  # fmt: skip
async def children(
    job: JobDep,
    state: StateDep,
    _owner: OwnerDep,
    step: Annotated[str, Query(max_length=64, description="The one that it is in, or was last, where absent")] = "",
    after: Annotated[int, Query(ge=0, le=1_000_000, description="So many are passed over")] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Any:
    """The jobs that a job has asked for in one of its steps; inputs and results are left out."""
    group_name = group_id(job.id, step) if step else job.opened or ""
    group = await state.store.group(group_name, beside=job.id) if group_name else None
    if group is None:
        return ChildList(step=None, counts=None, jobs=[], next=None)
    page = await state.store.members(group_name, after, limit, beside=job.id)
    jobs = [JobView.of(child) for _, child in page if child]
    more = after + len(page) if len(page) == limit else None
    found: Any = counts(group, None)
    return ChildList(step=group_name.partition(".")[2], counts=Counts(**found), jobs=jobs, next=more)
