"""Redis dies, freezes or fills up: what is asked gets a clear answer soon, and what streams goes on afterwards."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager

import httpx
import pytest

from tests.integration.readers import NdjsonReader, Reader, SseReader, TextReader, WebSocketReader
from tests.integration.test_refusals import problem
from tests.support.live import Live, running
from tests.support.waiting import until, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.slow]

WORDS = ["one ", "two ", "three "]
ANSWERED_S = 4
"""2 s, and what a busy machine adds. What waited for a frozen Redis would wait for ever."""


@pytest.fixture(scope="module")
def breakable() -> Iterator[Live]:
    """A Jobcast whose Redis may be broken: whoever does mends it, and it goes on."""
    with running(model=False, cpu=False) as live:
        yield live
        assert live.api
        assert "Traceback" not in live.api.output()


def pid(live: Live) -> int:
    """Of the Redis."""
    information = live.redis.command("INFO", "server")
    assert isinstance(information, dict)
    return int(information["process_id"])


def submit(live: Live) -> httpx.Response:
    """Tries to submit a job."""
    with live.client() as client:
        return client.post("/v1/jobs", json={"kind": "speak", "input": {"pieces": ["x"]}})


def refused_soon(live: Live) -> None:
    """A submission is answered soon, by 503; so is /readyz, while /livez is well."""
    with live.client() as client:
        for method, path in (("POST", "/v1/jobs"), ("GET", "/v1/jobs"), ("GET", "/readyz")):
            started = time.monotonic()
            answer = client.request(method, path, json={"kind": "speak", "input": {}} if method == "POST" else None)
            assert time.monotonic() - started < ANSWERED_S + live.stalls.since(started), f"{method} {path} hung"
            assert answer.status_code == 503
            if path != "/readyz":
                assert "Redis" in problem(answer, 503, "unavailable")["detail"]
                assert int(answer.headers["retry-after"]) > 0
        assert client.get("/livez").status_code == 200
        assert client.get("/health").json()["status"] == "unavailable"


def takes_jobs(live: Live) -> None:
    """A job that is submitted now runs."""
    answer = submit(live)
    assert answer.status_code == 202
    assert live.job(answer.json()["id"], wait_s=20)["status"] == "succeeded"


def ready(live: Live) -> bool:
    """Whether it takes jobs again."""
    with live.client() as client:
        return client.get("/readyz").status_code == 200


@asynccontextmanager
async def followed(live: Live) -> AsyncIterator[list[Reader]]:
    """Four readers of a running job, on one connection each; afterwards each must have got it all, over that one."""
    with ExitStack() as speaking:
        job_id = speaking.enter_context(live.under_way("speak", pieces=WORDS, pause_s=0.02))
        sorts: tuple[type[Reader], ...] = (SseReader, NdjsonReader, WebSocketReader, TextReader)
        group = [sort(live, job_id, exact=True, cuts=[]) for sort in sorts]
        following = [asyncio.create_task(reader.follow()) for reader in group]
        try:
            await until(lambda: all(reader.cursor > 5 for reader in group[:3]))
            yield group
            seen = max(reader.cursor for reader in group[:3])
            await until(lambda: all(reader.cursor > seen + 5 for reader in group[:3]))
            speaking.close()
            await asyncio.wait_for(asyncio.gather(*following), 30)
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
    said = live.said(job_id).encode()
    assert said.replace(b"one two three ", b"") == b""
    for reader in group:
        assert (reader.text, reader.connections) == (said, 1)
    for reader in group[:3]:
        assert reader.sequence == list(range(1, reader.cursor + 1))


async def test_streams_go_on_after_redis_was_killed_and_came_back(breakable: Live) -> None:
    async with followed(breakable):
        breakable.redis.kill()
        await asyncio.to_thread(refused_soon, breakable)
        breakable.redis.start()
        await asyncio.to_thread(wait_until, lambda: ready(breakable))
    takes_jobs(breakable)


async def test_streams_go_on_after_redis_was_frozen(breakable: Live) -> None:
    frozen = pid(breakable)
    async with followed(breakable):
        os.kill(frozen, signal.SIGSTOP)
        try:
            await asyncio.to_thread(refused_soon, breakable)
        finally:
            os.kill(frozen, signal.SIGCONT)
        await asyncio.to_thread(wait_until, lambda: ready(breakable))
    takes_jobs(breakable)


async def test_a_full_redis_refuses_by_name_and_disturbs_no_reader(breakable: Live) -> None:
    async with followed(breakable):
        breakable.redis.command("CONFIG", "SET", "maxmemory", "1")
        try:
            answer = await asyncio.to_thread(submit, breakable)
            details = problem(answer, 503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert "memory" in details["detail"]
            with breakable.client() as client:
                assert client.get("/v1/jobs").status_code == 200
        finally:
            breakable.redis.command("CONFIG", "SET", "maxmemory", "0")
    takes_jobs(breakable)
