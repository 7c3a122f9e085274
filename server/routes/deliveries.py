"""Deliveries to webhooks: what a job's receiver was told, and once more on demand."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from progress.commands import DeliveryLog
from progress.errors import JobConflict, JobNotFound
from progress.events import rfc3339
from progress.jobs import Job
from server.auth import OwnerDep
from server.errors import responses
from server.routes.jobs import JobDep
from server.state import StateDep

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])
State = Literal["none", "waiting", "pending", "delivered", "given_up"]


class DeliveryView(BaseModel):
    """One try."""

    at: str
    status: int | None = Field(description="Of the receiver's answer; null where none came")
    error: str | None = Field(description="What kept an answer from coming")
    duration_ms: int
    next_at: str | None = Field(description="When the next try was to be")


class DeliveriesView(BaseModel):
    """What a job's webhook was told."""

    url: str | None
    state: State = Field(description="none: no webhook, or none that wants this end; waiting: the job goes on")
    next_at: str | None = Field(description="When the next try is, or the one that is under way counts as lost")
    deliveries: list[DeliveryView] = Field(description="Oldest first")

    @classmethod
    def of(cls, job: Job, log: DeliveryLog) -> "DeliveriesView":
        """A log as clients see it."""
        tries = [DeliveryView.model_validate(one) for one in log.tries]
        next_at = None if log.next_at is None else rfc3339(log.next_at)
        return cls(url=job.webhook, state=_state(job, tries, next_at), next_at=next_at, deliveries=tries)


def _state(job: Job, tries: list[DeliveryView], next_at: str | None) -> State:
    if job.webhook is None:
        return "none"
    if not job.ended:
        return "waiting"
    if next_at:
        return "pending"
    if not tries:
        return "none"
    status = tries[-1].status
    return "delivered" if status and 200 <= status < 300 else "given_up"


@router.get(
    "/deliveries",
    response_model=DeliveriesView,
    summary="What its webhook was told",
    responses=responses(401, 404, 503),
)
async def deliveries(job: JobDep, state: StateDep, _owner: OwnerDep) -> Any:
    """Each try of the job's webhook, the last 50 of them."""
    return DeliveriesView.of(job, await state.store.deliveries.log(job.id))


@router.post(
    "/deliveries", status_code=202, response_model=DeliveriesView, summary="Tell its webhook once more",
    responses=responses(401, 404, 409, 503),
)  # fmt: skip
async def deliver_again(job: JobDep, state: StateDep, _owner: OwnerDep) -> Any:
    """The same message, with the same id, and with all the tries of a new one."""
    if job.webhook is None:
        raise JobConflict(job.id, job.status, "it was submitted without a webhook")
    if not job.ended:
        raise JobConflict(job.id, job.status, "its webhook is told when it has ended")
    if not await state.store.deliveries.again(job.id):
        raise JobNotFound(job.id)
    return DeliveriesView.of(job, await state.store.deliveries.log(job.id))
