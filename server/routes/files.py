"""Files: upload, look at, download, delete."""

from typing import Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

from progress.events import rfc3339
from progress.storage import Stored, delete_file
from server.auth import OwnerDep, same_origin
from server.downloads import download
from server.errors import Problem, responses
from server.state import StateDep
from server.uploads import FIELD, receive

router = APIRouter(prefix="/v1", tags=["files"])

PATH: Final = "/v1/files"
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "additionalProperties": False,
                    "properties": {FIELD: {"type": "string", "format": "binary"}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


class FileLinks(BaseModel):
    """Where to go from a file."""

    self: str
    content: str


class FileView(BaseModel):
    """An uploaded file."""

    id: str
    name: str
    media_type: str = Field(description="Told from its bytes")
    size: int = Field(description="In bytes")
    sha256: str
    created_at: str
    expires_at: str = Field(description="It is removed some time after this")
    links: FileLinks

    @classmethod
    def of(cls, file_id: str, stored: Stored, ttl_s: int) -> "FileView":
        """A record as clients see it."""
        path = f"{PATH}/{file_id}"
        return cls(
            id=file_id,
            name=stored.name,
            media_type=stored.media_type,
            size=stored.size,
            sha256=stored.sha256,
            created_at=rfc3339(stored.created_at),
            expires_at=rfc3339(stored.created_at + ttl_s * 1000),
            links=FileLinks(self=path, content=f"{path}/content"),
        )


@router.post(
    "/files",
    status_code=201,
    response_model=FileView,
    summary="Upload a file",
    openapi_extra=_BODY,
    responses=responses(400, 401, 403, 413, 422, 503),
)
async def upload(
    request: Request, state: StateDep, owner: OwnerDep, name: str = Query("", description="Of a body that is no form")
) -> Response:
    """Takes a form with the one field ``file``, or the bytes themselves; its ``id`` goes into a job's input."""
    if not same_origin(request) and "authorization" not in request.headers:
        # Another site's form is sent without asking first, though not with that header.
        raise Problem(403, "forbidden", "send it from a page of this server, or from no page at all")
    try:
        file_id, stored = await receive(request, state.files, owner, state.settings.max_file_bytes)
    except ClientDisconnect:
        return Response(status_code=400)  # which nobody reads
    view = FileView.of(file_id, stored, state.settings.files_ttl_s)
    return Response(view.model_dump_json(), 201, {"Location": view.links.self}, "application/json")


@router.get(
    "/files/{file_id}", response_model=FileView, summary="One file", responses=responses(401, 404, 503)
)  # fmt: skip
async def get_file(file_id: str, state: StateDep, _owner: OwnerDep) -> FileView:
    """What is known of it."""
    return FileView.of(file_id, await state.files.find(file_id), state.settings.files_ttl_s)


@router.head("/files/{file_id}/content", include_in_schema=False)
@router.get(
    "/files/{file_id}/content", response_class=Response, summary="Its bytes", responses=responses(401, 404, 416, 503)
)
async def get_content(file_id: str, request: Request, state: StateDep, _owner: OwnerDep) -> Response:
    """All of them, or a range."""
    return await download(request, state.files, await state.files.find(file_id))


@router.delete(
    "/files/{file_id}", status_code=204, response_class=Response, summary="Delete a file",
    responses=responses(401, 404, 503),
)  # fmt: skip
async def remove_file(file_id: str, state: StateDep, _owner: OwnerDep) -> None:
    """Jobs that name it and have not read it yet will fail."""
    await state.files.find(file_id)
    await state.files.run(delete_file, state.files.storage, file_id)
