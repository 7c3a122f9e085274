"""Schedules: work that is submitted again and again. Made, looked at, paused, resumed, run now, deleted."""

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, BeforeValidator, Field

from progress.errors import ScheduleNotFound
from progress.events import rfc3339
from progress.jobs import Json, uuid7
from progress.schedules import LONGEST_S, InvalidTiming, Schedule, Timing
from server.auth import OwnerDep
from server.errors import invalid, responses
from server.routes.jobs import view
from server.schemas import JobView, Work, no_stand_in
from server.state import StateDep

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])
_ID: Final = re.compile(r"[0-9a-z_-]{1,64}")


class ScheduleRequest(Work):
    """Work, and when it is due: by cron or every so many seconds."""

    cron: Annotated[
        str | None,
        Field(max_length=200, description="Minute, hour, day, month, weekday; or @daily", examples=["0 3 * * *"]),
    ] = None
    every_s: Annotated[
        float | None,
        Field(ge=1, le=LONGEST_S, description="Seconds from run to run"),
        BeforeValidator(no_stand_in),
    ] = None
    timezone: Annotated[str, Field(max_length=64, description="Of cron: a name of IANA's")] = "UTC"
    name: Annotated[str | None, Field(min_length=1, max_length=100, description="For people")] = None
    catch_up: Annotated[bool, Field(strict=True, description="Runs that were missed are made up for, by one")] = True
    paused: Annotated[bool, Field(strict=True)] = False


class ScheduleLinks(BaseModel):
    """Where to go from a schedule."""

    self: str
    pause: str
    resume: str
    run: str


class ScheduleView(BaseModel):
    """A schedule."""

    id: str
    name: str | None
    kind: str
    input: Json
    queue: str
    priority: int
    max_attempts: int
    timeout_s: float | None
    webhook: str | None
    metadata: Json
    cron: str | None
    every_s: float | None
    timezone: str
    catch_up: bool
    paused: bool
    built_in: bool = Field(description="It comes with its kind, and cannot be deleted")
    created_at: str
    next_run_at: str | None = Field(description="null while it is paused")
    last_run_at: str | None
    last_job: str | None = Field(description="The job of the last run")
    links: ScheduleLinks

    @classmethod
    def of(cls, schedule: Schedule) -> "ScheduleView":
        """A schedule as clients see it."""
        path, timing = f"/v1/schedules/{schedule.id}", schedule.timing
        work = ("kind", "input", "queue", "priority", "max_attempts", "timeout_s", "webhook", "metadata")
        own = ("id", "name", "catch_up", "paused", "built_in", "last_job")
        times = ("created_at", "next_run_at", "last_run_at")
        return cls(
            **{name: schedule.work[name] for name in work},
            **{name: getattr(schedule, name) for name in own},
            **{name: _moment(getattr(schedule, name)) for name in times},
            cron=timing.cron,
            every_s=timing.every_s,
            timezone=timing.timezone,
            links=ScheduleLinks(self=path, **{name: f"{path}/{name}" for name in ("pause", "resume", "run")}),
        )


class ScheduleList(BaseModel):
    """All schedules, the next one first."""

    schedules: list[ScheduleView]


def _moment(epoch_ms: int | None) -> Any:
    return None if epoch_ms is None else rfc3339(epoch_ms)


async def schedule_id(schedule_id: str, _owner: OwnerDep) -> str:
    """The id in a path, where it can be one. Raises ScheduleNotFound."""
    if not _ID.fullmatch(schedule_id):
        raise ScheduleNotFound(schedule_id[:40])
    return schedule_id


IdDep = Annotated[str, Depends(schedule_id)]


@router.post(
    "", status_code=201, response_model=ScheduleView, summary="Make a schedule",
    responses=responses(400, 401, 409, 413, 415, 422, 503),
)  # fmt: skip
async def create(body: ScheduleRequest, state: StateDep, owner: OwnerDep, response: Response) -> Any:
    """Each run is a job like any other, made at its time by `jobcast beat`."""
    timing = Timing(body.cron, body.every_s, body.timezone)
    try:
        timing.check()
    except InvalidTiming as error:
        raise invalid(error.field, str(error)) from None
    new = await state.submissions.again_and_again(body, owner)
    made = await state.store.schedules.create(new, timing, name=body.name, catch_up=body.catch_up, paused=body.paused)
    response.headers["Location"] = f"/v1/schedules/{made.id}"
    return ScheduleView.of(made)


@router.get("", response_model=ScheduleList, summary="List schedules", responses=responses(401, 503))
async def list_schedules(state: StateDep, _owner: OwnerDep) -> Any:
    """The next one first, those that are paused last."""
    return ScheduleList(schedules=[ScheduleView.of(one) for one in await state.store.schedules.all()])


@router.get("/{schedule_id}", response_model=ScheduleView, summary="One schedule", responses=responses(401, 404, 503))
async def get_schedule(found: IdDep, state: StateDep) -> Any:
    """With its last run and the next one."""
    return ScheduleView.of(await state.store.schedules.get(found))


@router.post(
    "/{schedule_id}/pause", response_model=ScheduleView, summary="Pause a schedule", responses=responses(401, 404, 503)
)
async def pause(found: IdDep, state: StateDep) -> Any:
    """It makes no jobs until it is resumed. Those that it has made go on."""
    return ScheduleView.of(await state.store.schedules.pause(found))


@router.post(
    "/{schedule_id}/resume", response_model=ScheduleView, summary="Resume a schedule",
    responses=responses(401, 404, 503),
)  # fmt: skip
async def resume(found: IdDep, state: StateDep) -> Any:
    """It goes on from now: what would have run while it was paused does not."""
    return ScheduleView.of(await state.store.schedules.resume(found))


@router.post(
    "/{schedule_id}/run", status_code=202, response_model=JobView, summary="Run a schedule now",
    responses=responses(401, 404, 503),
)  # fmt: skip
async def run(found: IdDep, state: StateDep) -> Response:
    """Makes a job at once, also while it is paused. The next run stays when it is."""
    schedule = await state.store.schedules.get(found)
    job = (await state.submissions.make(schedule.job(uuid7()), [])).job
    await state.store.schedules.ran(schedule.id, job.id)
    return view(job, 202, {"Location": f"/v1/jobs/{job.id}"})


@router.delete(
    "/{schedule_id}", status_code=204, response_class=Response, summary="Delete a schedule",
    responses=responses(401, 404, 409, 503),
)  # fmt: skip
async def delete(found: IdDep, state: StateDep) -> None:
    """The jobs that it has made stay. One that comes with its kind can only be paused."""
    await state.store.schedules.delete(found)
