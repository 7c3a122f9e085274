"""Every error that leaves the API: RFC 9457 problem details with a stable ``code``."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi import HTTPException as FastApiError
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from progress.errors import (
    BlobGone,
    IdempotencyConflict,
    InvalidCursor,
    JobConflict,
    JobNotFound,
    ScheduleConflict,
    ScheduleNotFound,
    StorageUnavailable,
    StoreUnavailable,
)

RETRY_AFTER_S: Final = 2
_CODES: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
}


_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class FieldError(BaseModel):
    """One thing that is wrong with a request."""

    field: str = Field(description="Where it is, as a dotted path")
    message: str


class ProblemDetails(BaseModel):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    code: str = Field(description="Stable, for programs")
    detail: str
    errors: list[FieldError] | None = None
    job_id: str | None = Field(None, description="The job that was made all the same: follow it, do not submit again")


class Problem(FastApiError):
    """An error to answer with. FastAPI's own kind, so that it lets it through while it reads a body."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: list[FieldError] | None = None,
        headers: Mapping[str, str] | None = None,
        job_id: str | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.code = code
        self.errors = errors
        self.job_id = job_id


def problem_response(problem: Problem) -> Response:
    """The response for a Problem."""
    titles = {422: "Unprocessable Content", 413: "Content Too Large"}
    details = ProblemDetails(
        title=titles.get(problem.status_code) or HTTPException(problem.status_code).detail,
        status=problem.status_code,
        code=problem.code,
        detail=problem.detail,
        errors=problem.errors,
        job_id=problem.job_id,
    )
    body = details.model_dump(exclude_none=True)
    return JSONResponse(body, problem.status_code, headers=problem.headers, media_type="application/problem+json")


def unavailable(detail: str) -> Problem:
    """503, to be tried again soon."""
    return Problem(503, "unavailable", detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def made_but_unavailable(job_id: str, headers: Mapping[str, str]) -> Problem:
    """503 to a submission whose job was made: submitted again, it would be paid for twice."""
    detail = f"job {job_id} was made, but cannot be followed just now: do not submit it again, follow it"
    headers = {**headers, "Retry-After": str(RETRY_AFTER_S)}
    return Problem(503, "unavailable", detail, headers=headers, job_id=job_id)


def invalid(field: str, message: str, code: str = "invalid_request") -> Problem:
    """422 that names a field."""
    return Problem(422, code, f"{field}: {message}", errors=[FieldError(field=field, message=message)])


def invalid_input(error: ValidationError, prefix: str = "") -> Problem:
    """422 from a model's complaints."""
    return _invalid_all(error.errors(include_url=False, include_context=False, include_input=False), prefix)


def _invalid_all(complaints: Any, prefix: str = "") -> Problem:
    errors = [FieldError(field=_field(c["loc"], prefix), message=_message(c)) for c in complaints][:20]
    first = errors[0]
    return Problem(422, "invalid_request", f"{first.field}: {first.message}", errors=errors)


def _field(loc: tuple[Any, ...], prefix: str) -> str:
    parts = [str(part) for part in loc if part not in ("body", "query", "header", "path")]
    return ".".join(filter(None, [prefix, *parts])) or "body"


def _message(complaint: Any) -> str:
    if complaint["type"] == "extra_forbidden":
        return "there is no such field: take it out"
    return str(complaint["msg"]).removeprefix("Value error, ")


def _known(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    made = (make(error) for kind, make in _PROBLEMS.items() if isinstance(error, kind))
    # Starlette raises an unknown one again once it is answered, and so the server logs it.
    return next(made, Problem(500, "internal_error", "something went wrong here; the server's log says what"))


def _from_starlette(error: HTTPException) -> Problem:
    if error.status_code == 400:
        return Problem(400, "invalid_json", "the body is not JSON in UTF-8")
    code = _CODES.get(error.status_code, "error")
    return Problem(error.status_code, code, str(error.detail), headers=error.headers)


def _from_fastapi(error: RequestValidationError) -> Problem:
    complaints = error.errors()
    if complaints[0]["type"] == "json_invalid":
        where = complaints[0]["loc"][-1]
        why = complaints[0].get("ctx", {}).get("error", "")
        return Problem(400, "invalid_json", f"the body is not JSON: {why} at character {where}")
    return _invalid_all(complaints)


_PROBLEMS: Final[dict[type[Exception], Callable[[Any], Problem]]] = {
    JobNotFound: lambda error: Problem(404, "job_not_found", str(error)),
    ScheduleNotFound: lambda error: Problem(404, "schedule_not_found", str(error)),
    ScheduleConflict: lambda error: Problem(409, "schedule_conflict", str(error)),
    JobConflict: lambda error: Problem(409, "job_conflict", str(error)),
    IdempotencyConflict: lambda error: invalid("Idempotency-Key", str(error), "idempotency_conflict"),
    InvalidCursor: lambda error: invalid("after", str(error), "invalid_cursor"),
    StoreUnavailable: lambda error: unavailable(f"Redis cannot be used just now: {error}"),
    BlobGone: lambda error: Problem(404, "file_not_found", "it was deleted just now"),
    StorageUnavailable: lambda error: unavailable(str(error)),
    RequestValidationError: _from_fastapi,
    HTTPException: _from_starlette,
}


FORESEEN: Final = tuple(kind for kind in _PROBLEMS if kind is not RequestValidationError)
"""What ``response_to`` has an answer for that tells more than a 500."""


def response_to(error: Exception) -> Response:
    """The answer to an error, where FastAPI does not give it."""
    return problem_response(_known(error))


async def _handle(request: Request, error: Exception) -> Response:
    problem = _known(error)
    if problem.status_code == 405 and (methods := _methods_of(request)):
        problem.headers = {**(problem.headers or {}), "Allow": ", ".join(methods)}
    return problem_response(problem)


def _methods_of(request: Request) -> list[str]:
    """What may be done with a path (RFC 9110 §10.2.1). Starlette names only the methods of the first of its routes."""
    scopes = {method: {**request.scope, "method": method} for method in _METHODS}
    routes = request.app.router.routes
    return [name for name, scope in scopes.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)]


def install(app: FastAPI) -> None:
    """Lets every error of an app leave as problem details."""
    for kind in (*_PROBLEMS, Exception):
        app.add_exception_handler(kind, _handle)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of the errors that a route may answer with."""
    content = {"application/problem+json": {"schema": ProblemDetails.model_json_schema()}}
    descriptions = {
        400: "The body is not JSON",
        401: "No key, or a wrong one",
        403: "Not from there",
        404: "There is no such thing",
        409: "The job's status does not allow this",
        413: "The body is too large",
        415: "The body is not declared as JSON",
        416: "Nothing of that range is there",
        422: "A field is wrong",
        503: "Redis or the broker cannot be used just now; try again",
    }
    inline = {**content["application/problem+json"]["schema"]}
    inline["properties"] = {**inline["properties"], "errors": {"type": "array", "items": {"type": "object"}}}
    inline.pop("$defs", None)
    return {
        status: {"description": descriptions[status], "content": {"application/problem+json": {"schema": inline}}}
        for status in statuses
    }
