"""What schemathesis is told here: nobody guesses a kind of job, and nobody waits two minutes for an answer."""

import contextlib
import re
import uuid
from typing import Any, Final

import schemathesis
from pydantic import TypeAdapter, ValidationError
from schemathesis import Case, HookContext

from server.routes.jobs import KEY_PATTERN
from server.routes.schedules import ScheduleRequest
from server.schemas import Url, Webhook

WEBHOOK: Final[TypeAdapter[Any]] = TypeAdapter(Webhook | Url | None)


@schemathesis.hook
def before_call(_context: HookContext, case: "Case[Any]", _options: dict[str, Any]) -> None:
    """Replaces what is valid by something that is valid too, and of use."""
    if isinstance(case.body, dict):
        label, jobs = case.operation.label, case.body.get("jobs")
        if label in ("POST /v1/jobs", "POST /v1/schedules"):
            _mend(case.body)
        elif label == "POST /v1/batches" and isinstance(jobs, list):
            for job in jobs:
                _mend(job)
        if label == "POST /v1/schedules":
            _set_times(case.body)
    # The same key with another body is refused, which the document cannot say.
    if case.headers and re.fullmatch(KEY_PATTERN, str(case.headers.get("idempotency-key", ""))):
        case.headers["idempotency-key"] = uuid.uuid4().hex
    # What a server answers that has no room left: see test_openapi.py.
    if case.query and case.query.get("format") in ("ndjson", "text"):
        case.query["format"] = "json"
    if case.query and "wait" in case.query:
        with contextlib.suppress(TypeError, ValueError):
            if 0 < float(case.query["wait"]) <= 120:
                case.query["wait"] = 0.1


def _mend(body: Any) -> None:
    """Gives a submission work that there is, and no webhook, for which there is no secret here."""
    if not isinstance(body, dict):
        return
    kind, task_input = body.get("kind"), body.get("input")
    if isinstance(kind, str) and 1 <= len(kind) <= 64 and isinstance(task_input, dict):
        body |= {"kind": "speak", "input": {"pieces": ["x"]}}
    with contextlib.suppress(ValidationError):
        if WEBHOOK.validate_python(body.get("webhook")):
            body["webhook"] = None


def _set_times(body: dict[str, Any]) -> None:
    """Gives a schedule times that can be, where what it has is of the right type."""
    with contextlib.suppress(ValidationError):
        ScheduleRequest.model_validate(body)
        body |= {"cron": "0 3 * * *", "every_s": None, "timezone": "UTC"}
