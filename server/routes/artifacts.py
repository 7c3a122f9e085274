"""Artifacts: what jobs have made that is not JSON."""

from contextlib import suppress
from typing import Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from progress.errors import BlobGone
from progress.events import rfc3339
from progress.storage import Stored, artifact_url, artifacts, find_artifact
from server.auth import OwnerDep
from server.downloads import download
from server.errors import Problem, responses
from server.routes.jobs import JobDep, find_job
from server.schemas import is_job_id
from server.state import StateDep

router = APIRouter(prefix="/v1", tags=["files"])
TRIES: Final = 5


class ArtifactView(BaseModel):
    """What a job has made."""

    name: str
    media_type: str
    size: int = Field(description="In bytes")
    sha256: str
    created_at: str
    url: str

    @classmethod
    def of(cls, job_id: str, stored: Stored) -> "ArtifactView":
        """A record as clients see it."""
        return cls(
            name=stored.name,
            media_type=stored.media_type,
            size=stored.size,
            sha256=stored.sha256,
            created_at=rfc3339(stored.created_at),
            url=artifact_url(job_id, stored.name),
        )


class ArtifactList(BaseModel):
    """All that a job has made, in the order in which it did."""

    artifacts: list[ArtifactView]


@router.get(
    "/jobs/{job_id}/artifacts", response_model=ArtifactList, summary="Artifacts of a job",
    responses=responses(401, 404, 503),
)  # fmt: skip
async def list_artifacts(job: JobDep, state: StateDep, _owner: OwnerDep) -> ArtifactList:
    """Of each name the last one."""
    found = await state.files.run(lambda: list(artifacts(state.files.storage, job.id)))
    return ArtifactList(artifacts=[ArtifactView.of(job.id, stored) for stored in found])


@router.head("/jobs/{job_id}/artifacts/{name}", include_in_schema=False)
@router.get(
    "/jobs/{job_id}/artifacts/{name}", response_class=Response, summary="One artifact",
    responses=responses(401, 404, 416, 503),
)  # fmt: skip
async def get_artifact(job_id: str, name: str, request: Request, state: StateDep, owner: OwnerDep) -> Response:
    """Its bytes, or a range of them. Redis is not asked where there is one."""
    for _ in range(TRIES):
        found = None
        if is_job_id(job_id):
            found = await state.files.run(find_artifact, state.files.storage, job_id, name)
        if found is None:
            break
        # One that is replaced after its record was read is looked for once more.
        with suppress(BlobGone):
            return await download(request, state.files, found)
    await find_job(job_id, state, owner)
    raise Problem(404, "artifact_not_found", f"job {job_id} has made nothing of this name")
