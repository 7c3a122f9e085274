"""What every request passes first: a bound on bodies, and headers for the page."""

import json
from collections.abc import AsyncIterator

import pytest
from starlette.datastructures import Headers

from server.guard import BodyGuard
from tests.support.api import Api, api_with
from tests.support.asgi import Exchange

LIMIT = 2048
JSON = {"content-type": "application/json"}
GUARD = BodyGuard(lambda scope, receive, send: None, max_bytes=LIMIT)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, None),
        ({"content-length": "0"}, None),
        ({"content-length": "9"}, 415),
        ({"transfer-encoding": "chunked"}, 415),
        ({"content-length": "9", "content-type": "application/json"}, None),
        ({"content-length": "9", "content-type": "Application/JSON; charset=utf-8"}, None),
        ({"content-length": "9", "content-type": "application/merge-patch+json"}, None),
        ({"content-length": "9", "content-type": "text/plain"}, 415),
        ({"content-length": "9", "content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-length": "9", "content-type": "multipart/form-data; boundary=x"}, 415),
        ({"content-length": str(LIMIT), "content-type": "application/json"}, None),
        ({"content-length": str(LIMIT + 1), "content-type": "application/json"}, 413),
        ({"content-length": "²", "content-type": "application/json"}, None),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site", "content-length": "0"}, 403),
        ({"sec-fetch-site": "cross-site", "authorization": "Bearer key"}, None),
        ({"sec-fetch-site": "same-origin"}, None),
        ({"sec-fetch-site": "none"}, None),
    ],
)
def test_headers_show_what_is_wrong_with_a_body(headers: dict[str, str], status: int | None) -> None:
    problem = GUARD.refusal(Headers(headers))
    assert (problem.status_code if problem else None) == status


async def test_a_page_of_another_site_cannot_cancel_a_job() -> None:
    async with api_with() as api:
        job_id = api.job()
        for site, status in (("cross-site", 403), ("same-origin", 202)):
            answer = await api.client.post(f"/v1/jobs/{job_id}/cancel", headers={"sec-fetch-site": site})
            assert answer.status_code == status, answer.text


def submission(size: int) -> bytes:
    """A body of exactly this many bytes."""
    body = json.dumps({"kind": "echo", "input": {"text": "x"}}).encode()
    return body + b" " * (size - len(body))


async def chunked(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 500):
        yield body[start : start + 500]


async def test_a_body_up_to_the_limit_is_taken_and_a_larger_one_is_not() -> None:
    async with api_with(max_input_bytes=LIMIT) as api:
        for size, status in ((LIMIT, 202), (LIMIT + 1, 413)):
            # Once with its length told beforehand, once without.
            for content in (submission(size), chunked(submission(size))):
                answer = await api.client.post("/v1/jobs", content=content, headers=JSON)
                assert answer.status_code == status, answer.text
        assert answer.json()["code"] == "payload_too_large"
        assert "JOBCAST_MAX_INPUT_BYTES" in answer.json()["detail"]
        assert answer.headers["connection"] == "close"


async def test_a_form_of_another_site_is_refused(api: Api) -> None:
    answer = await api.client.post("/v1/jobs", content=submission(100), headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert api.queue.sent == []


async def test_a_client_that_leaves_while_it_sends_harms_nobody(api: Api) -> None:
    async with Exchange(api.app, "/v1/jobs", method="POST", body=b'{"kind":', headers=JSON, more_body=True) as sending:
        sending.leave()
        await sending.end()
    assert (await api.client.get("/v1/jobs")).json()["jobs"] == []


@pytest.mark.parametrize("path", ["/", "/static/jobcast.js", "/docs"])
async def test_the_page_runs_nothing_but_its_own_files(api: Api, path: str) -> None:
    headers = (await api.client.get(path)).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert headers["cache-control"] == "no-cache"


async def test_the_page_is_asked_for_again_and_answered_shortly(api: Api) -> None:
    first = await api.client.get("/")
    again = await api.client.get("/", headers={"if-none-match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
