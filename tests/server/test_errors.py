"""Every error leaves as problem details that name what is wrong."""

from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response
from starlette.exceptions import HTTPException

from progress.commands import Command
from progress.errors import (
    IdempotencyConflict,
    InvalidCursor,
    JobConflict,
    JobNotFound,
    StoreUnavailable,
)
from server.errors import Problem, install, invalid, responses, unavailable
from tests.support.api import Api, api_with

FIELDS = {"type", "title", "status", "code", "detail"}


def assert_problem(response: Response, status: int, code: str, text: str = "") -> dict[str, Any]:
    problem: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert text in problem["detail"]
    assert FIELDS <= problem.keys() <= FIELDS | {"errors"}
    return problem


async def raised(error: Exception) -> Response:
    app = FastAPI()
    install(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    async with AsyncClient(transport=ASGITransport(app, raise_app_exceptions=False), base_url="http://t") as client:
        return await client.get("/")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Problem(409, "odd", "so it is"), 409, "odd"),
        (JobNotFound("x"), 404, "job_not_found"),
        (JobConflict("x", "running", "wait"), 409, "job_conflict"),
        (IdempotencyConflict("k", "x"), 422, "idempotency_conflict"),
        (InvalidCursor("x"), 422, "invalid_cursor"),
        (StoreUnavailable("away"), 503, "unavailable"),
        (HTTPException(400), 400, "invalid_json"),
        (HTTPException(403), 403, "forbidden"),
        (HTTPException(418), 418, "error"),
        (RuntimeError("secret"), 500, "internal_error"),
    ],
)
async def test_every_error_has_a_status_and_a_code(error: Exception, status: int, code: str) -> None:
    assert_problem(await raised(error), status, code)


async def test_an_unexpected_error_tells_nothing_of_its_cause() -> None:
    assert "secret" not in (await raised(RuntimeError("secret"))).text


async def test_what_is_away_says_when_to_come_back() -> None:
    assert int((await raised(StoreUnavailable("away"))).headers["retry-after"]) > 0
    assert (await raised(unavailable("away"))).headers["retry-after"]


async def test_a_problem_may_name_its_field() -> None:
    problem = assert_problem(await raised(invalid("priority", "too high")), 422, "invalid_request", "priority")
    assert problem["errors"] == [{"field": "priority", "message": "too high"}]
    assert problem["title"] == "Unprocessable Content"


async def post(api: Api, content: bytes | str) -> Response:
    return await api.client.post("/v1/jobs", content=content, headers={"content-type": "application/json"})


@pytest.mark.parametrize("content", [b"", b"{", b"nothing", b'{"kind": }'])
async def test_a_body_that_is_not_json_says_where(api: Api, content: bytes) -> None:
    response = await post(api, content)
    if content:
        assert_problem(response, 400, "invalid_json", "character")
    else:
        assert_problem(response, 422, "invalid_request", "body")


async def test_a_body_that_is_not_utf_8_is_refused(api: Api) -> None:
    assert_problem(await post(api, b'{"kind": "\xff"}'), 400, "invalid_json")


async def test_json_that_nests_too_deeply_is_refused(api: Api) -> None:
    assert_problem(await post(api, b"[" * 200_000 + b"]" * 200_000), 400, "invalid_json")
    deep = '{"kind":"echo","input":{"text":"x"},"metadata":{"a":' + "[" * 150 + "]" * 150 + "}}"
    assert_problem(await post(api, deep), 422, "invalid_request", "metadata: nests deeper")


async def test_every_wrong_field_is_named_by_its_path(api: Api) -> None:
    body = {"kind": "echo", "input": {"text": "x"}, "priority": 10, "colour": "red", "metadata": []}
    problem = assert_problem(await api.client.post("/v1/jobs", json=body), 422, "invalid_request")
    assert {error["field"] for error in problem["errors"]} == {"priority", "colour", "metadata"}
    (unknown,) = [error["message"] for error in problem["errors"] if error["field"] == "colour"]
    assert unknown == "there is no such field: take it out"


async def test_no_more_than_twenty_complaints_are_listed(api: Api) -> None:
    body = {f"field{n}": n for n in range(100)}
    problem = assert_problem(await api.client.post("/v1/jobs", json=body), 422, "invalid_request")
    assert len(problem["errors"]) == 20


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing/here", 404, "not_found"),
        ("GET", "/static/nothing.js", 404, "not_found"),
        ("GET", "/v1/jobs/", 404, "not_found"),
        ("PUT", "/v1/jobs", 405, "method_not_allowed"),
        ("POST", "/", 405, "method_not_allowed"),
        ("DELETE", "/v1/kinds", 405, "method_not_allowed"),
        ("GET", "/v1/jobs/%00", 404, "job_not_found"),
        ("GET", "/v1/jobs/ABCDEF", 404, "job_not_found"),
        ("GET", "/v1/jobs/" + "a" * 500, 404, "job_not_found"),
        ("GET", "/v1/jobs/%F0%9F%8E%89", 404, "job_not_found"),
        ("GET", "/v1/jobs/..%2F..%2Fetc", 404, "not_found"),
        ("GET", "/v1/jobs/00000000-0000-7000-8000-000000000000", 404, "job_not_found"),
    ],
)
async def test_what_is_not_there_is_a_problem_too(api: Api, method: str, path: str, status: int, code: str) -> None:
    assert_problem(await api.client.request(method, path), status, code)


async def test_a_wrong_method_says_which_there_are(api: Api) -> None:
    response = await api.client.head("/v1/kinds")
    assert (response.status_code, response.headers["allow"]) == (405, "GET")
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_redis_that_is_away_is_told_for_every_route() -> None:
    def away(_command: Command[Any]) -> None:
        raise StoreUnavailable("no connection")

    async with api_with() as api:
        job_id = api.job()
        api.memory.before = away
        for method, path in [
            ("GET", "/v1/jobs"),
            ("GET", f"/v1/jobs/{job_id}"),
            ("GET", f"/v1/jobs/{job_id}/events"),
            ("GET", f"/v1/events?job={job_id}"),
            ("POST", f"/v1/jobs/{job_id}/cancel"),
            ("DELETE", f"/v1/jobs/{job_id}"),
        ]:
            response = await api.client.request(method, path)
            assert_problem(response, 503, "unavailable", "no connection")
            assert response.headers["retry-after"]


def test_openapi_describes_each_error_that_a_route_names() -> None:
    described = responses(401, 503)
    assert described.keys() == {401, 503}
    for response in described.values():
        schema = response["content"]["application/problem+json"]["schema"]
        assert schema["properties"]["code"]["description"]
        assert "$defs" not in schema


async def test_the_openapi_document_is_served(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    assert {"/v1/jobs", "/v1/jobs/{job_id}/events", "/v1/events", "/v1/activity", "/v1/kinds"} <= document[
        "paths"
    ].keys()
