"""Many readers: flat memory, one connection to Redis, answers that stay fast, and nothing left behind."""

import asyncio
import json
import random
import statistics
import time
from functools import partial
from typing import Any

import httpx
import pytest
import websockets

from tests.integration.crowd import Spectator, all_ended, crowd
from tests.integration.inside import resident_kib, subscriptions
from tests.integration.wire import SseParser, Stream
from tests.support.live import Live
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

READERS = 1000
ROUNDS = 6
"""How often a time is measured, at most, that is to be short."""
FIRST_TOKEN_S = 0.15


def api_kib(live: Live) -> int:
    """The API's memory."""
    assert live.api
    return resident_kib(live.api.pid)


async def submit_all(live: Live, bodies: list[dict[str, Any]]) -> list[str]:
    """Submits many jobs, some at a time; their ids."""
    async with httpx.AsyncClient(base_url=live.url, trust_env=False, timeout=30) as client:

        async def one(body: dict[str, Any]) -> str:
            answer = await client.post("/v1/jobs", json=body)
            assert answer.status_code == 202, answer.text
            return str(answer.json()["id"])

        ids: list[str] = []
        for start in range(0, len(bodies), 20):
            ids += await asyncio.gather(*map(one, bodies[start : start + 20]))
        return ids


async def test_a_thousand_readers_of_one_job_hold_with_flat_memory(calm: Live) -> None:
    """400 events of 200 bytes, as of a minute, in a quarter of that time."""
    speech = {"pieces": ["x" * 200], "repeat": 400, "pause_s": 0.04}
    job_id = calm.submit("speak", speech, queue="all-have-come")
    async with crowd(calm, [f"/v1/jobs/{job_id}/events"] * READERS) as readers:
        await until(lambda: all(reader.received for reader in readers), 60)
        assert subscriptions(calm) == [1]
        worker = await asyncio.to_thread(calm.start_worker, "all-have-come")
        try:
            await until(lambda: all(reader.received > 10_000 for reader in readers), 60)
            early = api_kib(calm)
            await all_ended(readers, 60)
        finally:
            worker.stop()
        late = api_kib(calm)
        assert all(reader.complete for reader in readers)
    print(f"{READERS} readers: {early} KiB, later {late} KiB")
    assert late - early < 8 * 1024


async def test_five_hundred_jobs_with_a_reader_each_share_one_connection(calm: Live) -> None:
    body = {"kind": "speak", "input": {"pieces": ["word "], "repeat": 10, "pause_s": 0.02}, "queue": "crowd"}
    ids = await submit_all(calm, [body] * 500)
    async with crowd(calm, [f"/v1/jobs/{job_id}/events" for job_id in ids]) as readers:
        await until(lambda: subscriptions(calm) == [500])
        early = api_kib(calm)
        worker = await asyncio.to_thread(calm.start_worker, "crowd")
        try:
            await all_ended(readers, 60)
        finally:
            worker.stop()
        late = api_kib(calm)
        assert all(reader.complete for reader in readers)
    print(f"500 jobs: {early} KiB, later {late} KiB")
    assert late - early < 16 * 1024


async def test_readers_who_do_not_read_cost_bounded_memory_and_lose_nothing(calm: Live) -> None:
    said = 60 * 100_000
    job_id = calm.submit("speak", {"pieces": ["y" * 100_000], "repeat": 60, "pause_s": 0.02})
    targets = [f"/v1/jobs/{job_id}/events?format={form}" for form in ("sse", "ndjson", "text")]
    async with crowd(calm, targets * 17, window_bytes=16_384) as readers:
        for reader in readers:
            reader.transport.pause_reading()
        early = api_kib(calm)
        assert calm.job(job_id, wait_s=30)["status"] == "succeeded"
        late = api_kib(calm)
        # Fifty-one times 6 MB would be 300 MB.
        assert late - early < 40 * 1024
        for reader in readers:
            reader.transport.resume_reading()
        await all_ended(readers, 60)
        assert all(said < reader.received < said + 100_000 for reader in readers)
    print(f"51 readers who do not read: {early} KiB, later {late} KiB")


async def test_a_thousand_connects_and_disconnects_leave_nothing_behind(calm: Live) -> None:
    """``calm`` looks, afterwards, whether every map is empty."""
    job_ids = [calm.submit("silent", {"seconds": 60}) for _ in range(3)]
    chance = random.Random(5)
    targets = [f"/v1/jobs/{job_id}/events?format={form}" for job_id in job_ids for form in ("sse", "ndjson", "text")]
    targets += ["/v1/activity", "/v1/events?" + "&".join(f"job={job_id}" for job_id in job_ids)]
    targets += [f"/v1/jobs/{job_ids[0]}?wait=60"]
    for _ in range(9):
        async with crowd(calm, chance.choices(targets, k=100)) as readers:
            # Some are cut before they have got anything, some after.
            await until(partial(some_have_begun, readers, chance.randrange(60)))
    await asyncio.gather(*(socket_and_leave(calm, chance.choice(job_ids), number) for number in range(100)))
    with calm.client() as client:
        for job_id in job_ids:
            client.post(f"/v1/jobs/{job_id}/cancel")


def some_have_begun(readers: list[Spectator], wanted: int) -> bool:
    """Whether so many have got anything."""
    return sum(reader.received > 0 for reader in readers) >= wanted


async def socket_and_leave(live: Live, job_id: str, number: int) -> None:
    """Opens a socket, follows a job on it, and is gone."""
    path = "/v1/ws" if number % 2 else f"/v1/jobs/{job_id}/ws"
    async with websockets.connect(live.ws_url + path, proxy=None) as socket:
        if number % 2:
            await socket.send(json.dumps({"op": "subscribe", "job": job_id}))
        if number % 3:
            await socket.recv()
        socket.transport.abort()


async def test_submissions_are_answered_fast_while_two_hundred_streams_run(calm: Live) -> None:
    body = {"kind": "speak", "input": {"pieces": ["word "], "repeat": 1000, "pause_s": 0.05}}
    ids = await submit_all(calm, [body] * 40)
    async with crowd(calm, [f"/v1/jobs/{job_id}/events" for job_id in ids for _ in range(5)]) as readers:
        await until(lambda: all(reader.received > 1000 for reader in readers), 30)
        # The best of some: what else runs on this machine is none of our business.
        for _ in range(ROUNDS):
            median, p99 = quantiles(await asyncio.to_thread(time_submissions, calm))
            print(f"POST beside 200 streams: median {median * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms")
            if is_fast := median < 0.05 and p99 < 0.1:
                break
        assert not any(reader.ended.done() for reader in readers)
        for job_id in ids:
            await asyncio.to_thread(cancel, calm, job_id)
        await all_ended(readers, 30)
    assert is_fast


def quantiles(took: list[float]) -> tuple[float, float]:
    """The median and the 99th percentile."""
    return statistics.median(took), sorted(took)[int(len(took) * 0.99)]


def time_submissions(live: Live) -> list[float]:
    """Seconds that each of many submissions took."""
    took: list[float] = []
    with live.client() as client:
        for _ in range(200):
            started = time.perf_counter()
            answer = client.post("/v1/jobs", json={"kind": "count", "input": {"total": 0}})
            took.append(time.perf_counter() - started)
            assert answer.status_code == 202
    return took


def cancel(live: Live, job_id: str) -> None:
    """Asks a job to stop."""
    with live.client() as client:
        assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202


async def test_the_first_token_of_an_idle_system_comes_within_150_ms(calm: Live) -> None:
    body = json.dumps({"kind": "speak", "input": {"pieces": ["at once"]}}).encode()
    medians: list[float] = []
    while not medians or (medians[-1] >= FIRST_TOKEN_S and len(medians) < ROUNDS):
        took = [await first_token_s(calm, body) for _ in range(15)]
        medians.append(statistics.median(took))
        print(f"first token after {medians[-1] * 1000:.1f} ms, at worst {max(took) * 1000:.1f} ms")
    assert medians[-1] < FIRST_TOKEN_S


async def first_token_s(live: Live, body: bytes) -> float:
    """Seconds from a submission to the first token on the stream that answers it."""
    parser = SseParser()
    started = time.perf_counter()
    headers = {"Accept": "text/event-stream"}
    with await Stream.open(live.port, "/v1/jobs", headers, method="POST", body=body) as stream:
        async for piece in stream.pieces():
            if any(block.event == "token" for block in parser.feed(piece)):
                return time.perf_counter() - started
    raise AssertionError("no token came")
