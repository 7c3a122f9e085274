"""Jobs: submit, look at, list, cancel, try again, delete."""

import asyncio
import contextlib
import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response
from starlette.requests import Request

from progress.errors import JobConflict, JobNotFound, StorageUnavailable, StoreUnavailable
from progress.hub import RETRY_S, HubClosing
from progress.jobs import Job, Status
from progress.storage import delete_artifacts
from server.auth import OwnerDep
from server.errors import invalid, made_but_unavailable, responses
from server.handover import open_stream
from server.negotiation import StreamRequest, asked_format
from server.schemas import JOB_ID, JobList, JobRequest, JobView, is_job_id
from server.state import State, StateDep
from server.streams import no_room

router = APIRouter(prefix="/v1", tags=["jobs"])

MAX_WAIT_S = 120
MAX_KEY = 255
KEY_PATTERN = r"^[ -~]*[!-~][ -~]*$"
CURSOR_PATTERN = rf"^({JOB_ID.pattern})?$"
KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=MAX_KEY,
        description="The same key and body make nothing new: the answer is that of the first time",
        json_schema_extra={"pattern": KEY_PATTERN},
    ),
]
Wait = Annotated[float, Query(ge=0, le=MAX_WAIT_S, description="Answer when the job ends, or after this many seconds")]


def checked_key(idempotency_key: str | None) -> str:
    """An idempotency key, empty for none. Raises Problem (422)."""
    if idempotency_key is not None and not re.fullmatch(KEY_PATTERN, idempotency_key):
        raise invalid("Idempotency-Key", "give 1 to 255 printable characters of ASCII")
    return idempotency_key or ""


async def find_job(job_id: str, state: StateDep, _owner: OwnerDep) -> Job:
    """The job that a path names, for those who may know whether there is one. Raises JobNotFound."""
    if not is_job_id(job_id):
        raise JobNotFound(job_id[:40])
    return await state.store.get(job_id)


JobDep = Annotated[Job, Depends(find_job)]


def view(job: Job, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A job as a response."""
    # Not a JSONResponse, for which pydantic would make a dict first: it writes JSON itself in less than half the time.
    return Response(JobView.of(job).model_dump_json(), status, headers, "application/json")


@router.post(
    "/jobs",
    status_code=202,
    response_model=JobView,
    summary="Submit a job",
    responses={
        200: {"model": JobView, "description": "It was submitted before, or has ended while you waited"},
        **responses(400, 401, 413, 415, 422, 503),
    },
)
async def submit(
    body: JobRequest,
    request: Request,
    state: StateDep,
    owner: OwnerDep,
    idempotency_key: KeyHeader = None,
    prefer: Annotated[str | None, Header(description="`wait=N`: answer when it ends, or after N seconds")] = None,
) -> Response:
    """Makes a job and answers at once, with its id; see the other routes for what becomes of it.

    With ``Accept: text/event-stream`` the answer is the job's event stream itself; with ``text/plain`` its text, and
    with ``application/x-ndjson`` its events, one a line.
    """
    key = checked_key(idempotency_key)
    wait_s = preferred_wait(prefer or "")
    # Before anything is made: whoever is refused may not be left with a job that he knows nothing of.
    asked = asked_stream(request)
    if asked and not state.has_room():
        return no_room(asked.format)
    made = await state.submissions.submit(body, idempotency_key=key, owner=owner)
    headers = {"Location": f"/v1/jobs/{made.job.id}"}
    job = made.job
    if asked:
        try:
            return await open_stream(state, job.id, asked, job=job, headers=headers)
        except StoreUnavailable:
            raise made_but_unavailable(job.id, headers) from None
    if wait_s:
        headers["Preference-Applied"] = f"wait={wait_s:g}"
        job = await wait_for_end(state, job, wait_s)
    return view(job, 202 if made.created and not (wait_s and job.ended) else 200, headers)


def asked_stream(request: Request) -> StreamRequest | None:
    """How a submission wants the job's events; None where it asks for the job.

    Raises:
        InvalidCursor, Problem: see ``StreamRequest.read``.
    """
    if asked_format(request.headers.get("accept", ""), "", default="json") == "json":
        return None
    asked = StreamRequest.read(request.headers, request.query_params)
    return None if asked.format == "json" else asked


def preferred_wait(prefer: str) -> float:
    """Seconds of ``Prefer: wait=N`` (RFC 7240 §4.3), 0 without. A preference that makes no sense is ignored, as the
    RFC wants."""
    for preference in prefer.split(","):
        name, _, value = preference.partition(";")[0].strip().partition("=")
        seconds = value.strip().strip('"')
        if name.strip().lower() == "wait" and seconds.isdecimal():
            return min(float(seconds), MAX_WAIT_S)
    return 0.0


async def wait_for_end(state: State, job: Job, wait_s: float) -> Job:
    """The job when it has ended, or after ``wait_s``, or when this process goes away; as it was if Redis is away."""
    with contextlib.suppress(TimeoutError, HubClosing):
        async with asyncio.timeout(wait_s):
            while not state.hub.closing:
                if await _followed_to_its_end(state, job, wait_s):
                    break
                await asyncio.sleep(RETRY_S)
    try:
        return await state.store.get(job.id)
    except StoreUnavailable:
        # A 503 would say that the job was not accepted, and it would be submitted once more.
        return job


async def _followed_to_its_end(state: State, job: Job, wait_s: float) -> bool:
    """False where Redis cannot be asked just now."""
    try:
        with await state.hub.subscribe(job.id, job.last_seq) as subscription:
            async for _ in subscription.batches(wait_s):
                pass
    except StoreUnavailable:
        return False
    return True


@router.get("/jobs", response_model=JobList, summary="List jobs", responses=responses(401, 422, 503))
async def list_jobs(
    state: StateDep,
    _owner: OwnerDep,
    status: Annotated[Status | None, Query()] = None,
    kind: Annotated[str, Query(max_length=64)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[
        str, Query(description="`next` of the page before", json_schema_extra={"pattern": CURSOR_PATTERN})
    ] = "",
) -> Any:
    """Newest first. Inputs are left out."""
    if cursor and not is_job_id(cursor):
        raise invalid("cursor", "take it from `next` of the page before", "invalid_cursor")
    jobs = await state.store.list(kind=kind, status=status or "", cursor=cursor, limit=limit + 1)
    page = jobs[:limit]
    return JobList(jobs=[JobView.of(job) for job in page], next=page[-1].id if len(jobs) > limit else None)


@router.get("/jobs/{job_id}", response_model=JobView, summary="One job", responses=responses(401, 404, 422, 503))
async def get_job(job: JobDep, state: StateDep, _owner: OwnerDep, wait: Wait = 0) -> Response:
    """The job as it is now, or with ``wait`` when it has ended."""
    return view(await wait_for_end(state, job, wait) if wait and not job.ended else job)


@router.post(
    "/jobs/{job_id}/cancel",
    status_code=202,
    response_model=JobView,
    summary="Cancel a job",
    responses={200: {"model": JobView, "description": "That was asked before"}, **responses(401, 404, 409, 503)},
)
async def cancel(job: JobDep, state: StateDep, _owner: OwnerDep) -> Response:
    """A job that waits never starts; one that runs stops at its next publish or within 2 s, and keeps what it made."""
    first = await state.store.cancel(job.id)
    return view(await state.store.get(job.id), 202 if first else 200)


@router.post(
    "/jobs/{job_id}/retry",
    status_code=202,
    response_model=JobView,
    summary="Run a finished job again",
    responses=responses(401, 404, 409, 503),
)
async def retry(job: JobDep, state: StateDep, _owner: OwnerDep) -> Response:
    """A new job with the same input; its ``retry_of`` names this one."""
    if not job.ended:
        raise JobConflict(job.id, job.status, "only a finished job can be run again")
    made = await state.submissions.retry(job)
    return view(made.job, 202, {"Location": f"/v1/jobs/{made.job.id}"})


@router.delete(
    "/jobs/{job_id}", status_code=204, response_class=Response, summary="Delete a job",
    responses=responses(401, 404, 409, 503),
)  # fmt: skip
async def delete(job_id: str, state: StateDep, _owner: OwnerDep) -> None:
    """Its record, log and artifacts go. One that still waits is cancelled first; one that runs cannot be deleted."""
    if not is_job_id(job_id):
        raise JobNotFound(job_id[:40])
    await state.store.delete(job_id)
    # What cannot be removed just now the janitor will: the job is gone.
    with contextlib.suppress(StorageUnavailable):
        await state.files.run(delete_artifacts, state.files.storage, job_id)
