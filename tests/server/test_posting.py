"""The short way of a submission: FastAPI's answers, without FastAPI where nothing is wrong."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from progress.jobs import MAX_LEVELS
from server.posting import Posting
from tests.support.api import Api, api_with

KIND = '{"kind":"echo",'
GOOD = KIND + '"input":{"text":"x"}}'
WHOLE = {
    "kind": "echo",
    "input": {"text": "ä", "times": 2},
    "queue": "other",
    "priority": 9,
    "delay_s": 0.5,
    "max_attempts": 2,
    "timeout_s": 10,
    "on_disconnect": {"cancel_after_s": 5},
    "metadata": {"n": 10**30, "f": 1e22, "deep": [[{"x": None}]], "text": "ä\u2028"},
}
JSON = {"content-type": "application/json"}
KEYS = {"ann": "secret"}
OURS = ("id", "created_at", "links", "queue_position", "hint")
"""What differs from job to job."""


def shown(answer: httpx.Response) -> tuple[int, dict[str, str], Any]:
    """An answer, without what differs from job to job."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("location", "content-length")}
    body = answer.json()
    return answer.status_code, headers, {name: value for name, value in body.items() if name not in OURS}


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (GOOD, {}, 202),
        (json.dumps(WHOLE), {}, 202),
        (json.dumps(WHOLE).encode("utf-16"), {}, 202),
        (GOOD, {"idempotency-key": "k" * 255}, 202),
        (GOOD, {"prefer": "respond-async"}, 202),
        (GOOD, {"content-type": "application/json; charset=utf-8"}, 202),
        (GOOD, {"content-type": "application/vnd.x+json"}, 202),
        (GOOD, {"content-type": "text/x+json"}, 422),
        (GOOD, {"content-type": "text/plain"}, 415),
        (GOOD, {"idempotency-key": "k" * 256}, 422),
        (GOOD, {"idempotency-key": ""}, 422),
        (GOOD, {"accept": "text/event-stream", "last-event-id": "x"}, 422),
        ("", {}, 422),
        ("[]", {}, 422),
        ('"echo"', {}, 422),
        ("{", {}, 400),
        (b'{"kind":"\xff"}', {}, 400),
        (KIND + '"input":' + "[" * 100_000, {}, 400),
        (KIND + '"input":' + '{"a":' * 101 + "1" + "}" * 102, {}, 422),
        (KIND + '"input":{"text":"\\ud800"}}', {}, 422),
        (KIND + '"input":{"text":"x","times":NaN}}', {}, 422),
        (KIND + '"input":{"text":"x","times":' + "9" * 5000 + "}}", {}, 400),
        (KIND + '"input":{"text":""}}', {}, 422),
        (KIND + '"input":{"text":"x"},"more":1}', {}, 422),
        (KIND + '"input":{"text":"x"},"priority":"5","delay_s":true}', {}, 422),
        ('{"kind":"none","input":{}}', {}, 422),
    ],
)
async def test_each_request_is_answered_as_fastapi_answers_it(
    monkeypatch: pytest.MonkeyPatch, content: str | bytes, headers: dict[str, str], status: int
) -> None:
    answers = []
    for path in ("/v1/jobs", "never"):
        async with api_with() as api:
            monkeypatch.setattr("server.posting.PATH", path)
            answers.append(await api.client.post("/v1/jobs", content=content, headers={**JSON, **headers}))
    assert shown(answers[0]) == shown(answers[1])
    assert answers[0].status_code == status


async def test_metadata_come_back_as_they_are(api: Api) -> None:
    deep: Any = None
    for _ in range(MAX_LEVELS - 1):
        deep = [deep]
    odd = {
        "n": 10**30,
        "small": 5e-324,
        "large": 1.7e308,
        "minus": -0.0,
        "text": "\x00\x7f\u2028\U0001f600",
        "deep": deep,
    }
    made = await api.client.post("/v1/jobs", json={"kind": "echo", "input": {"text": "x"}, "metadata": odd})
    assert made.headers["content-type"] == "application/json"
    assert json.dumps(made.json()["metadata"]) == json.dumps(odd)


@pytest.mark.parametrize("content", [GOOD, "{}", "{"])
async def test_who_may_not_is_told_what_fastapi_tells(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    async with api_with(api_keys=KEYS) as api:
        short = await api.client.post("/v1/jobs", content=content, headers=JSON)
        monkeypatch.setattr("server.posting.PATH", "never")
        long = await api.client.post("/v1/jobs", content=content, headers=JSON)
        assert shown(short) == shown(long)
        assert short.status_code == (400 if content == "{" else 401)


async def no_app(_scope: Scope, _receive: Receive, _send: Send) -> None:
    pytest.fail("FastAPI was asked")


async def test_a_good_one_needs_no_fastapi_though_it_comes_in_pieces(api: Api) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield GOOD[:9].encode()
        yield GOOD[9:].encode()

    short = httpx.ASGITransport(Posting(no_app, state=api.state))
    async with httpx.AsyncClient(transport=short, base_url="http://x") as client:
        answer = await client.post("/v1/jobs", content=pieces(), headers=JSON)
        assert answer.status_code == 202
        assert (await api.client.get(answer.headers["location"])).status_code == 200


@pytest.mark.parametrize("sent", [GOOD[:-1], GOOD])
async def test_a_client_that_leaves_in_the_middle_leaves_no_job(api: Api, sent: str) -> None:
    """Though what it has sent so far may be a job already."""
    messages: list[Message] = [
        {"type": "http.request", "body": sent.encode(), "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(_message: Message) -> None:
        """Nobody hears it."""

    scope = {"type": "http", "method": "POST", "path": "/v1/jobs", "headers": [(b"content-type", b"application/json")]}
    heard: list[Message] = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        heard.extend([await receive(), await receive()])
        raise ClientDisconnect

    with pytest.raises(ClientDisconnect):
        await Posting(app, state=api.state)(scope, receive, send)
    assert [message["type"] for message in heard] == ["http.request", "http.disconnect"]
    assert (await api.client.get("/v1/jobs")).json()["jobs"] == []
