"""What is refused, and how clearly: each in problem details, and nothing else is disturbed."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import websockets

from tests.support.live import NO_TLS, Live, running

pytestmark = pytest.mark.integration

JSON = {"Content-Type": "application/json"}
UNKNOWN = "01a00000-0000-7000-8000-000000000000"


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The details of an expected problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    details: dict[str, Any] = answer.json()
    assert (details["status"], details["code"]) == (status, code)
    assert details["title"]
    assert details["detail"]
    return details


@pytest.fixture
def client(calm: Live) -> Iterator[httpx.Client]:
    with calm.client() as opened:
        yield opened


async def test_twenty_clients_with_the_same_idempotency_key_make_one_job(calm: Live) -> None:
    body = {"kind": "speak", "input": {"pieces": ["once "]}}
    headers = {"Idempotency-Key": "the same key"}

    async def submit() -> httpx.Response:
        async with httpx.AsyncClient(base_url=calm.url, trust_env=False, verify=NO_TLS) as one:
            return await one.post("/v1/jobs", json=body, headers=headers)

    answers = await asyncio.gather(*(submit() for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [202]
    (job_id,) = {answer.json()["id"] for answer in answers}
    assert calm.job(job_id, wait_s=10)["result"] == {"characters": 5}
    assert sum(event["type"] == "queued" for event in calm.events(job_id)) == 1
    with calm.client() as client:
        other = client.post("/v1/jobs", json={**body, "priority": 9}, headers=headers)
    problem(other, 422, "idempotency_conflict")


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
def test_a_body_of_two_mebibytes_is_refused(client: httpx.Client, declared: bool) -> None:
    body = b'{"kind":"speak","input":{"pieces":["' + b"x" * 2**21 + b'"]}}'
    content = body if declared else iter([body[start : start + 65536] for start in range(0, len(body), 65536)])
    problem(client.post("/v1/jobs", content=content, headers=JSON), 413, "payload_too_large")


@pytest.mark.parametrize(
    "body",
    [
        b'{"kind":"speak","input":{"pieces":["\xff\xfe"]}}',
        b'{"kind":"speak","input":{"pieces":["\xed\xa0\x80"]}}',
        b"",
        b"{",
        b"\x00",
        b'{"kind":"speak","input":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=["not UTF-8", "a surrogate in UTF-8", "empty", "cut", "NUL", "deep"],
)
def test_a_body_that_is_no_json_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v1/jobs", content=body, headers=JSON)
    assert answer.status_code in (400, 422)
    problem(answer, answer.status_code, "invalid_json" if answer.status_code == 400 else "invalid_request")


def test_invalid_utf_8_is_a_bad_request(client: httpx.Client) -> None:
    answer = client.post("/v1/jobs", content=b'{"kind":"\xff","input":{}}', headers=JSON)
    problem(answer, 400, "invalid_json")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", r'"\ud800"', r'{"\udfff": 1}', "1e999"])
@pytest.mark.parametrize("name", ["input", "metadata"])
def test_what_json_in_utf_8_cannot_carry_is_refused_by_name(client: httpx.Client, name: str, value: str) -> None:
    fields = {"kind": '"speak"', "input": "{}", name: f'{{"x": {value}}}'}
    body = "{" + ",".join(f'"{key}": {text}' for key, text in fields.items()) + "}"
    details = problem(client.post("/v1/jobs", content=body, headers=JSON), 422, "invalid_request")
    assert details["errors"][0]["field"] == name


def test_json_nested_ten_thousand_deep_is_refused(client: httpx.Client) -> None:
    nested = b'{"kind":"speak","input":{},"metadata":{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}}"
    answer = client.post("/v1/jobs", content=nested, headers=JSON)
    assert answer.status_code in (400, 422)


def test_a_prompt_of_a_million_characters_is_refused_by_name(client: httpx.Client) -> None:
    answer = client.post("/v1/jobs", json={"kind": "generate", "input": {"prompt": "x" * 1_000_000}})
    details = problem(answer, 422, "invalid_request")
    assert details["errors"][0]["field"] == "input.prompt"
    assert len(answer.content) < 2000


@pytest.mark.parametrize(
    "media_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""]
)
def test_a_body_that_a_form_could_send_is_refused(client: httpx.Client, media_type: str) -> None:
    answer = client.post(
        "/v1/jobs", content=b'{"kind":"speak","input":{}}', headers={"Content-Type": media_type} if media_type else {}
    )
    problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing/here", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/static/nothing.js", 404, "not_found"),
        ("GET", "/static/../pyproject.toml", 404, "not_found"),
        ("GET", "/static/%2e%2e/pyproject.toml", 404, "not_found"),
        ("GET", f"/v1/jobs/{UNKNOWN}", 404, "job_not_found"),
        ("GET", "/v1/jobs/x", 404, "job_not_found"),
        ("GET", "/v1/jobs/%00", 404, "job_not_found"),
        ("GET", f"/v1/jobs/{UNKNOWN}/events", 404, "job_not_found"),
        ("GET", f"/v1/events?job={UNKNOWN}", 404, "job_not_found"),
        ("POST", f"/v1/jobs/{UNKNOWN}/cancel", 404, "job_not_found"),
        ("POST", f"/v1/jobs/{UNKNOWN}/retry", 404, "job_not_found"),
        ("DELETE", f"/v1/jobs/{UNKNOWN}", 404, "job_not_found"),
        ("PUT", "/v1/jobs", 405, "method_not_allowed"),
        ("POST", "/livez", 405, "method_not_allowed"),
        ("GET", f"/v1/jobs/{UNKNOWN}/cancel", 405, "method_not_allowed"),
        ("GET", "/v1/jobs?limit=0", 422, "invalid_request"),
        ("GET", "/v1/jobs?status=asleep", 422, "invalid_request"),
        ("GET", "/v1/jobs?cursor=x", 422, "invalid_cursor"),
        ("GET", "/v1/events", 422, "invalid_request"),
    ],
)
def test_every_refusal_is_a_problem(client: httpx.Client, method: str, path: str, status: int, code: str) -> None:
    problem(client.request(method, path), status, code)


def test_unknown_fields_and_kinds_are_named(client: httpx.Client) -> None:
    extra = client.post("/v1/jobs", json={"kind": "speak", "input": {}, "prio": 1})
    assert problem(extra, 422, "invalid_request")["errors"][0]["field"] == "prio"
    inner = client.post("/v1/jobs", json={"kind": "speak", "input": {"pieces": "x"}})
    assert problem(inner, 422, "invalid_request")["errors"][0]["field"] == "input.pieces"
    kind = client.post("/v1/jobs", json={"kind": "speek", "input": {}})
    assert "speak" in problem(kind, 422, "unknown_kind")["detail"]


def test_a_finished_job_is_not_cancelled_and_one_that_runs_not_deleted(calm: Live, client: httpx.Client) -> None:
    done = calm.submit("speak", {"pieces": ["x"]})
    assert calm.job(done, wait_s=10)["status"] == "succeeded"
    problem(client.post(f"/v1/jobs/{done}/cancel"), 409, "job_conflict")
    runs = calm.submit("silent", {"seconds": 30})
    with client.stream("GET", f"/v1/jobs/{runs}/events?format=ndjson") as stream:
        assert any('"started"' in line for line in stream.iter_lines())
    problem(client.delete(f"/v1/jobs/{runs}"), 409, "job_conflict")
    problem(client.post(f"/v1/jobs/{runs}/retry"), 409, "job_conflict")
    assert client.post(f"/v1/jobs/{runs}/cancel").status_code == 202
    assert calm.job(runs, wait_s=10)["status"] == "cancelled"


async def close_of(address: str, **options: Any) -> tuple[int | None, str | None]:
    """How a socket ends that is opened and only listened to."""
    async with websockets.connect(address, proxy=None, **options) as socket:
        with contextlib.suppress(websockets.ConnectionClosedError):
            async for _ in socket:
                pass
    return socket.close_code, socket.close_reason


async def test_a_socket_for_no_job_closes_with_4404(calm: Live) -> None:
    for job_id in (UNKNOWN, "x"):
        code, reason = await close_of(f"{calm.ws_url}/v1/jobs/{job_id}/ws")
        assert code == 4404
        assert reason


async def test_a_socket_from_another_origin_closes_with_4403(calm: Live) -> None:
    for path in ("/v1/ws", f"/v1/jobs/{UNKNOWN}/ws"):
        assert (await close_of(calm.ws_url + path, origin="https://elsewhere.example"))[0] == 4403


@pytest.fixture(scope="module")
def guarded() -> Iterator[Live]:
    """A Jobcast with a key."""
    with running(model=False, cpu=False, API_KEYS="alice:secret-of-alice") as live:
        yield live


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic c2VjcmV0"},
                                     {"Cookie": "jobcast_key=wrong"}, {"Authorization": "Bearer \xff"}])  # fmt: skip
def test_without_a_known_key_nothing_is_open(guarded: Live, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    with guarded.client(headers=raw) as client:
        posted = client.post("/v1/jobs", json={"kind": "speak", "input": {}})
        assert posted.headers["www-authenticate"] == "Bearer"
        problem(posted, 401, "unauthorized")
        for path in ("/v1/jobs", f"/v1/jobs/{UNKNOWN}", f"/v1/jobs/{UNKNOWN}/events", "/v1/activity", "/v1/kinds",
                     f"/v1/events?job={UNKNOWN}"):  # fmt: skip
            problem(client.get(path), 401, "unauthorized")
        assert client.get("/livez").status_code == 200


def test_a_known_key_opens_by_header_and_by_cookie(guarded: Live) -> None:
    with guarded.client(headers={"Authorization": "Bearer secret-of-alice"}) as client:
        assert client.post("/v1/jobs", json={"kind": "speak", "input": {}}).status_code == 202
    with guarded.client() as client:
        problem(client.post("/v1/session", json={"key": "wrong"}), 401, "unauthorized")
        assert client.post("/v1/session", json={"key": "secret-of-alice"}).status_code == 204
        assert client.get("/v1/jobs").status_code == 200
        assert client.delete("/v1/session").status_code == 204
        problem(client.get("/v1/jobs"), 401, "unauthorized")


async def test_a_socket_without_a_key_closes_with_4401(guarded: Live) -> None:
    for path in ("/v1/ws", f"/v1/jobs/{UNKNOWN}/ws"):
        assert (await close_of(guarded.ws_url + path))[0] == 4401
    headers = {"Authorization": "Bearer secret-of-alice"}
    async with websockets.connect(guarded.ws_url + "/v1/ws", proxy=None, additional_headers=headers) as socket:
        await socket.send(json.dumps({"op": "subscribe", "job": UNKNOWN}))
        assert json.loads(await socket.recv())["code"] == "job_not_found"
