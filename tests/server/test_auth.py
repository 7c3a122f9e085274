"""Who may use the API."""

import pytest
from starlette.requests import HTTPConnection

from server.auth import COOKIE, cookie_of, key_of, owner_of, same_origin
from tests.support.api import Api, api_with, settings
from tests.support.asgi import scope_of

KEYS = {"ann": "a-key", "bob": 'key with spaces;="ключ'}
SUBMISSION = {"kind": "echo", "input": {"text": "x"}}


def connection(**headers: str) -> HTTPConnection:
    return HTTPConnection(scope_of("http", "/", {name.replace("_", "-"): text for name, text in headers.items()}))


def test_a_key_has_an_owner() -> None:
    known = settings(api_keys=KEYS)
    assert owner_of("a-key", known) == "ann"
    for wrong in ("", "a-ke", "a-key ", "A-KEY", "\udc80"):
        assert owner_of(wrong, known) is None


@pytest.mark.parametrize(
    ("authorization", "key"),
    [
        ("Bearer a-key", "a-key"),
        ("bearer  a-key ", "a-key"),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic a-key", None),
        ("a-key", None),
        ("", None),
    ],
)
def test_a_program_sends_its_key_as_a_bearer(authorization: str, key: str | None) -> None:
    assert key_of(connection(authorization=authorization)) == key


@pytest.mark.parametrize("key", [*KEYS.values(), "%41", '"'])
def test_a_cookie_carries_any_key(key: str) -> None:
    assert key_of(connection(cookie=f"other=1; {COOKIE}={cookie_of(key)}")) == key


@pytest.mark.parametrize("other", ["a/b=1", "a,b=1", "x", '{"a":1}=x', "path=1", "\xff=\xfe", "(=)"])
def test_an_odd_cookie_of_another_program_spoils_no_other(other: str) -> None:
    assert key_of(connection(cookie=f"{other}; {COOKIE}=a-key")) == "a-key"


def test_a_bearer_wins_over_the_cookie() -> None:
    assert key_of(connection(authorization="Bearer a", cookie=f"{COOKIE}=b")) == "a"


@pytest.mark.parametrize("cookie", ["", "other=1", "a b=c; d", ";;;", f"{COOKIE}", '{"a":1}=x', "\xff=\xfe"])
def test_an_odd_cookie_is_no_key(cookie: str) -> None:
    assert not key_of(connection(cookie=cookie))


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({}, True),
        ({"origin": "http://jobcast.test"}, True),
        ({"origin": "https://jobcast.test"}, True),
        ({"origin": "http://jobcast.test:8000", "host": "jobcast.test:8000"}, True),
        ({"origin": "http://jobcast.test:8000"}, False),
        ({"origin": "http://jobcast.test.evil"}, False),
        ({"origin": "http://evil"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"origin": "http://["}, False),
    ],
)
def test_a_socket_comes_from_our_page_or_from_none(headers: dict[str, str], same: bool) -> None:
    assert same_origin(connection(**headers)) is same


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/jobs"),
        ("GET", "/v1/jobs"),
        ("GET", "/v1/jobs/a"),
        ("GET", "/v1/jobs/a/events"),
        ("POST", "/v1/jobs/a/cancel"),
        ("POST", "/v1/jobs/a/retry"),
        ("DELETE", "/v1/jobs/a"),
        ("GET", "/v1/events?job=a"),
        ("GET", "/v1/activity"),
        ("GET", "/v1/kinds"),
        ("GET", "/health"),
    ],
)
async def test_with_keys_every_route_wants_one(method: str, path: str) -> None:
    async with api_with(api_keys=KEYS) as api:
        body = SUBMISSION if path == "/v1/jobs" and method == "POST" else None
        for headers, part in (({}, "Authorization"), ({"authorization": "Bearer wrong"}, "not known")):
            response = await api.client.request(method, path, headers=headers, json=body)
            assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
            assert response.headers["www-authenticate"] == "Bearer"
            assert part in response.json()["detail"]


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/openapi.json"])
async def test_the_page_and_the_probes_want_none(path: str) -> None:
    async with api_with(api_keys=KEYS) as api:
        assert (await api.client.get(path)).status_code == 200


async def test_a_page_signs_in_with_a_cookie_that_its_scripts_cannot_read() -> None:
    async with api_with(api_keys=KEYS) as api:
        for key in KEYS.values():
            answer = await api.client.post("/v1/session", json={"key": key})
            assert answer.status_code == 204
            cookie = answer.headers["set-cookie"].lower()
            assert "httponly" in cookie
            assert "samesite=strict" in cookie
            assert "secure" not in cookie
            assert (await api.client.get("/v1/kinds")).status_code == 200
        await api.client.delete("/v1/session")
        assert (await api.client.get("/v1/kinds")).status_code == 401


async def test_over_https_the_cookie_stays_on_https() -> None:
    async with api_with(api_keys=KEYS) as api:
        answer = await api.client.post("https://jobcast.test/v1/session", json={"key": "a-key"})
        assert "secure" in answer.headers["set-cookie"].lower()


async def test_a_wrong_key_signs_nobody_in() -> None:
    async with api_with(api_keys=KEYS) as api:
        for body, status in (({"key": "wrong"}, 401), ({"key": ""}, 422), ({}, 422), ({"key": "x" * 1001}, 422)):
            answer = await api.client.post("/v1/session", json=body)
            assert answer.status_code == status
            assert "set-cookie" not in answer.headers


async def test_without_keys_anyone_may_do_anything(api: Api) -> None:
    assert (await api.client.post("/v1/session", json={"key": "any, ключ"})).status_code == 204
    assert (await api.client.post("/v1/jobs", json=SUBMISSION)).status_code == 202


async def test_one_owners_idempotency_keys_are_not_anothers() -> None:
    async with api_with(api_keys={"ann": "a", "bob": "b"}) as api:
        made = []
        for key in "aba":
            headers = {"authorization": f"Bearer {key}", "idempotency-key": "same"}
            answer = await api.client.post("/v1/jobs", json=SUBMISSION, headers=headers)
            made.append((answer.status_code, answer.json()["id"]))
        assert [status for status, _ in made] == [202, 202, 200]
        assert made[0][1] == made[2][1] != made[1][1]
