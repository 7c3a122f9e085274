"""What requests and responses look like."""

import time
from typing import Any

import pytest
from pydantic import ValidationError

from progress.jobs import MAX_LEVELS, Job
from server.schemas import (
    HINT_AFTER_MS,
    MAX_METADATA_BYTES,
    JobRequest,
    JobView,
    KindView,
    ProgressView,
    hint,
    is_job_id,
)
from tests.support.api import BOUNDED, KIND, settings


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def job_of(**fields: Any) -> Job:
    values: dict[str, Any] = {"status": "queued", "attempt": 0, "last_seq": 1, "created_at": now_ms(), **fields}
    return Job("id", "echo", queue="llm", priority=5, max_attempts=3, input={}, metadata={"m": 1}, **values)


def request_of(**fields: Any) -> JobRequest:
    return JobRequest.model_validate({"kind": "echo", "input": {}, **fields})


def test_a_request_has_defaults() -> None:
    made = request_of()
    assert (made.priority, made.delay_s, made.queue, made.timeout_s, made.metadata) == (5, 0, None, None, {})


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("priority", [0, 9]),
        ("delay_s", [0, 0.5, 31_536_000]),
        ("max_attempts", [1, 100]),
        ("timeout_s", [0.1, 86_400]),
        ("queue", ["llm", "a.b_c-9", "x" * 64]),
        ("metadata", [{}, {"a": "x" * (MAX_METADATA_BYTES - 8)}]),
    ],
)
def test_bounds_are_allowed(field: str, values: list[Any]) -> None:
    assert [getattr(request_of(**{field: value}), field) for value in values] == values


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("priority", [-1, 10, 5.5, "high", None]),
        ("delay_s", [-1, 31_536_001, float("nan"), float("inf")]),
        ("max_attempts", [0, 101]),
        ("timeout_s", [0, 86_401, float("nan")]),
        ("queue", ["", "a b", "x" * 65, "a\n", "ä", "a:b", "\ud800"]),
        ("kind", ["", "x" * 65]),
        ("metadata", [[], "text", {"a": "x" * MAX_METADATA_BYTES}, {"a": float("nan")}]),
        ("input", [[], None, {"a": float("inf")}]),
        ("webhok", ["http://example.org"]),
    ],
)
def test_beyond_them_is_refused(field: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValidationError) as caught:
            request_of(**{field: value})
        assert caught.value.errors()[0]["loc"][0] == field


def test_a_value_that_nests_too_deeply_is_refused_and_does_no_harm() -> None:
    nest: list[Any] = []
    for _ in range(100_000):
        nest = [nest]
    with pytest.raises(ValidationError):
        request_of(metadata={"a": nest})


def test_a_value_may_nest_as_deeply_as_everyone_can_read_it() -> None:
    nest: Any = "leaf"
    for _ in range(MAX_LEVELS - 1):
        nest = [nest]
    JobView.of(job_of(result=nest)).model_dump(mode="json")
    assert request_of(input={"a": nest}).input == {"a": nest}
    with pytest.raises(ValidationError, match="deeper than 100 levels"):
        request_of(input={"a": [nest]})


def test_half_a_surrogate_pair_is_refused_and_not_mended() -> None:
    with pytest.raises(ValidationError, match="surrogate"):
        request_of(input={"a": "\ud800"})


def test_times_are_rfc_3339_in_utc() -> None:
    view = JobView.of(job_of(created_at=1_767_322_983_045, started_at=1_767_322_984_000))
    assert (view.created_at, view.started_at) == ("2026-01-02T03:03:03.045Z", "2026-01-02T03:03:04.000Z")
    assert view.finished_at is None


def test_a_job_says_where_to_go_from_it() -> None:
    links = JobView.of(job_of()).links.model_dump()
    assert links == {
        "self": "/v1/jobs/id",
        "events": "/v1/jobs/id/events",
        "websocket": "/v1/jobs/id/ws",
        "cancel": "/v1/jobs/id/cancel",
    }


def test_progress_and_error_are_there_once_they_are_known() -> None:
    view = JobView.of(job_of())
    assert (view.progress, view.error, view.result) == (None, None, None)
    error = {"code": "c", "message": "m", "retryable": True}
    view = JobView.of(job_of(status="failed", progress={"fraction": 0.5}, error=error))
    assert view.progress
    assert view.error
    assert (view.progress.fraction, view.progress.step, view.error.model_dump()) == (0.5, None, error)


LONG_AGO = 0
UNSERVED: dict[str, Any] = {"queue_served": False}


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"created_at": LONG_AGO, **UNSERVED}, "jobcast worker --queues llm"),
        ({"status": "queued", "due_at": 9_999_999_999_999}, "it waits until 2286-11-20T17:46:39.999Z"),
        ({"status": "retrying", "due_at": 9_999_999_999_999}, "it waits until"),
        ({"status": "running", "cancel_requested": True}, "being cancelled"),
    ],
)
def test_a_job_that_does_not_get_on_says_why(fields: dict[str, Any], part: str) -> None:
    found = hint(job_of(**fields))
    assert found
    assert part in found


@pytest.mark.parametrize(
    "fields",
    [
        {"created_at": LONG_AGO},
        {"status": "running", "created_at": LONG_AGO, **UNSERVED},
        {"status": "queued", "due_at": 1},
        {"status": "cancelled", "cancel_requested": True},
        UNSERVED,
    ],
)
def test_a_job_that_gets_on_needs_no_hint(fields: dict[str, Any]) -> None:
    assert hint(job_of(**fields)) is None


def test_a_job_that_became_due_just_now_is_not_overdue() -> None:
    assert hint(job_of(created_at=LONG_AGO, due_at=now_ms() - HINT_AFTER_MS // 2, **UNSERVED)) is None


def test_a_kind_shows_its_own_limits_or_those_of_the_settings() -> None:
    chosen = settings(max_input_bytes=2048, running_limits={"bounded": 4})
    own = KindView.of(BOUNDED, chosen).limits
    assert (own.max_attempts, own.timeout_s, own.max_input_bytes, own.running) == (7, 9.0, 2048, 4)
    view = KindView.of(KIND, chosen)
    assert (view.limits.max_attempts, view.limits.timeout_s, view.limits.running) == (3, None, None)
    assert view.input_schema["properties"].keys() == {"text", "times"}


def test_only_what_can_be_an_id_is_looked_up() -> None:
    assert is_job_id("01a1fe52-191b-7c06-b98c-f7a87b3df1f6")
    for text in ("", "A", "x", "a" * 37, "a\n", "ａ"):
        assert not is_job_id(text)


def test_whole_numbers_of_a_progress_stay_whole() -> None:
    told = {"current": 3, "total": 2.5}
    shown = ProgressView.model_validate(told).model_dump_json(exclude_none=True)
    assert shown == '{"current":3,"total":2.5}'
