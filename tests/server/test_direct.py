"""The short way to a job's events: what FastAPI would answer, with less asked of Redis."""

import asyncio
import re
from collections import Counter
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from progress.commands import Command, ReadJob
from progress.errors import StoreUnavailable
from server.direct import LiveDoor
from server.handover import Outermost
from tests.support.api import Api, api_with
from tests.support.asgi import Exchange
from tests.support.backend import token
from tests.support.waiting import turns, until


def counting(api: Api) -> Counter[str]:
    """How often each script runs from now on."""
    ran: Counter[str] = Counter()

    def note(command: Command[Any]) -> None:
        ran[command.script] += 1

    api.memory.before = note
    return ran


async def test_readers_who_come_together_share_one_look_at_the_record(api: Api) -> None:
    job_id = api.worker.started()
    api.worker.finish(job_id, 1, "succeeded", "1")
    ran = counting(api)
    texts = await asyncio.gather(*(api.client.get(f"/v1/jobs/{job_id}/events") for _ in range(20)))
    assert {answer.status_code for answer in texts} == {200}
    assert len({answer.text for answer in texts}) == 1
    assert ran["read_job"] == 1


async def test_a_live_feed_says_that_its_job_is_there(api: Api) -> None:
    job_id = api.worker.started()
    async with api.exchange(f"/v1/jobs/{job_id}/events") as first:
        await first.until_body(b"event: started")
        ran = counting(api)
        async with api.exchange(f"/v1/jobs/{job_id}/events?format=ndjson") as second:
            await second.until_body(b"started")
            assert second.status == 200
        assert ran["read_job"] == 0
    await until(lambda: api.at_rest)


@pytest.mark.parametrize("query", ["", "?format=ndjson", "?exact=1&types=token"])
async def test_readers_of_a_live_feed_need_nothing_of_the_app(api: Api, query: str) -> None:
    job_id, asked = api.worker.started(), list[str]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])
        await api.app(scope, receive, send)

    front, target = Outermost(app, LiveDoor(api.state)), f"/v1/jobs/{job_id}/events"
    async with Exchange(front, target) as first:
        await first.until_body(b"event: started")
        api.worker.append(job_id, 1, token("t"))
        async with Exchange(front, target + query) as later, Exchange(api.app, target + query) as plain:
            for reader in (later, plain):
                await reader.until_body(b'"t"')
            assert (later.status, later.headers, later.body) == (200, plain.headers, plain.body)
        assert asked == [target]
    await until(lambda: api.at_rest)


async def test_a_reader_who_leaves_takes_no_look_from_the_others(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, go, get = api.job(), asyncio.Event(), api.state.store.get

    async def slow(wanted: str) -> Any:
        await go.wait()
        return await get(wanted)

    monkeypatch.setattr(api.state.store, "get", slow)
    address = f"/v1/jobs/{job_id}/events?format=json"
    leaving, staying = (asyncio.create_task(api.client.get(address)) for _ in range(2))
    await turns()
    leaving.cancel()
    go.set()
    assert (await staying).status_code == 200


async def test_a_look_that_fails_is_taken_anew(api: Api) -> None:
    job_id, refused = api.job(), 0

    def away(command: Command[Any]) -> None:
        nonlocal refused
        if isinstance(command, ReadJob) and not refused:
            refused += 1
            raise StoreUnavailable("away")

    api.memory.before = away
    address = f"/v1/jobs/{job_id}/events?format=json"
    first = await api.client.get(address)
    assert (first.status_code, first.json()["code"], first.headers["retry-after"]) == (503, "unavailable", "2")
    assert (await api.client.get(address)).status_code == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [("?after=x", "invalid_cursor"), ("?format=xml", "invalid_request"), ("?types=nonsense", "invalid_request")],
)
async def test_a_live_feed_is_no_reason_to_take_any_request(api: Api, query: str, code: str) -> None:
    job_id = api.worker.started()
    async with api.exchange(f"/v1/jobs/{job_id}/events") as first:
        await first.until_body(b"event: started")
        answer = await api.client.get(f"/v1/jobs/{job_id}/events{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_full_server_says_so_though_the_feed_is_live() -> None:
    async with api_with(max_streams=1) as api:
        job_id = api.worker.started()
        async with api.exchange(f"/v1/jobs/{job_id}/events") as first:
            await first.until_body(b"event: started")
            told = await api.client.get(f"/v1/jobs/{job_id}/events")
            refused = await api.client.get(f"/v1/jobs/{job_id}/events?format=ndjson")
            assert "event: overloaded" in told.text
            assert refused.status_code == 503


async def test_a_live_feed_is_for_those_with_a_key() -> None:
    async with api_with(api_keys={"ann": "secret"}) as api:
        target, key = f"/v1/jobs/{api.worker.started()}/events", {"Authorization": "Bearer secret"}
        async with api.exchange(target, headers=key) as first:
            await first.until_body(b"event: started")
            refused = await api.client.get(target)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            async with api.exchange(target, headers=key) as second:
                await second.until_body(b"event: started")


async def test_no_key_is_told_before_anything_about_the_job() -> None:
    async with api_with(api_keys={"ann": "secret"}) as api:
        for job_id in (api.job(), "nope"):
            refused = await api.client.get(f"/v1/jobs/{job_id}/events")
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        known = await api.client.get(
            f"/v1/jobs/{api.job()}/events?format=json", headers={"Authorization": "Bearer secret"}
        )
        assert known.status_code == 200


@pytest.mark.parametrize("job_id", ["nope", "00000000-0000-7000-8000-000000000000", "x" * 200])
async def test_what_is_no_job_is_not_found(api: Api, job_id: str) -> None:
    answer = await api.client.get(f"/v1/jobs/{job_id}/events")
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


async def test_an_address_that_goes_another_way_is_answered_as_well(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind a mount: FastAPI's own route takes what the short way does not know."""
    job_id = api.job()
    short = await api.client.get(f"/v1/jobs/{job_id}/events?format=json")
    monkeypatch.setattr("server.direct.PATH", re.compile("never"))
    ran = counting(api)
    long = await api.client.get(f"/v1/jobs/{job_id}/events?format=json")
    assert (long.status_code, long.json()) == (short.status_code, short.json())
    assert ran["read_job"] == 1
