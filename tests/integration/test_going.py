"""The API goes: every stream ends within half a second, between two events, and says that there is more to come."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import websockets

from tests.integration.inside import health
from tests.integration.wire import LineParser, SseParser, Stream
from tests.support.live import Live, running
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

EACH = 15
GOODBYE_S = 0.5
ROUNDS = 4
Ending = Callable[[Live, str], Awaitable[float]]


@pytest.fixture
def leaving() -> Iterator[Live]:
    """A Jobcast whose API may be stopped."""
    with running(model=False, cpu=False) as live:
        yield live


async def body_of(live: Live, target: str) -> bytes:
    """The whole body of a stream that must end well."""
    with await Stream.open(live.port, target) as stream:
        assert stream.status == 200
        body = await stream.body()
        assert stream.complete, f"{target} was cut off"
        return body


async def sse(live: Live, target: str) -> None:
    """A stream of server-sent events: it ends between two of them, with a time to come back after."""
    parser = SseParser()
    parser.feed(await body_of(live, target))
    assert parser.at_boundary
    assert parser.retry_ms is not None
    assert 100 <= parser.retry_ms <= 1000


async def ndjson(live: Live, target: str) -> None:
    """A stream of lines: the last one is whole."""
    parser = LineParser()
    assert parser.feed(await body_of(live, target))
    assert parser.rest == b""


async def text(live: Live, target: str) -> None:
    """A stream of text: whole words, and cut, since a clean end would say that these are all."""
    with await Stream.open(live.port, target) as stream:
        body = await stream.body()
        assert not stream.complete
    assert body
    assert body == b"word " * (len(body) // 5)


async def waits(live: Live, target: str) -> None:
    """A request that waits for a job's end gets the job as it is."""
    assert b'"running"' in await body_of(live, target)


async def submits_and_waits(live: Live, _target: str) -> None:
    """A submission that waits as well."""
    body = b'{"kind":"silent","input":{"seconds":60}}'
    headers = {"Prefer": "wait=60"}
    with await Stream.open(live.port, "/v1/jobs", headers, method="POST", body=body) as stream:
        assert stream.status in (200, 202)
        assert b'"id"' in await stream.body()


async def socket(live: Live, target: str) -> None:
    """A socket: code 1001, after whole frames."""
    async with websockets.connect(live.ws_url + target, proxy=None) as opened:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for frame in opened:
                assert str(frame).endswith("}")
    assert opened.close_code == 1001


async def many_socket(live: Live, job_id: str) -> None:
    """The same over the socket of many jobs."""
    async with websockets.connect(live.ws_url + "/v1/ws", proxy=None) as opened:
        with contextlib.suppress(websockets.ConnectionClosed):
            await opened.send(f'{{"op":"subscribe","job":"{job_id}"}}')
            async for frame in opened:
                assert str(frame).endswith("}")
    assert opened.close_code == 1001


@contextlib.asynccontextmanager
async def readers(live: Live, job_id: str) -> AsyncIterator[list["asyncio.Task[float]"]]:
    """Readers of every sort, each a task that gives the time at which it ended."""
    events = f"/v1/jobs/{job_id}/events"
    sorts = [
        (sse, events),
        (sse, f"/v1/events?job={job_id}"),
        (sse, "/v1/activity"),
        (ndjson, f"{events}?format=ndjson"),
        (text, f"{events}?format=text"),
        (socket, f"/v1/jobs/{job_id}/ws"),
        (many_socket, job_id),
        (waits, f"/v1/jobs/{job_id}?wait=60"),
    ]

    async def timed(read: Callable[[Live, str], Awaitable[None]], target: str) -> float:
        await read(live, target)
        return time.monotonic()

    tasks = [asyncio.create_task(timed(read, target)) for read, target in sorts for _ in range(EACH)]
    tasks.append(asyncio.create_task(timed(submits_and_waits, "")))
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_every_stream_ends_within_half_a_second_of_sigterm(leaving: Live) -> None:
    # What else runs on this machine is none of our business: it is what a stop can do that counts.
    for _ in range(ROUNDS):
        if await longest_goodbye_s(leaving) < GOODBYE_S:
            return
        await asyncio.to_thread(leaving.start_api)
    raise AssertionError(f"never within {GOODBYE_S} s")


async def longest_goodbye_s(leaving: Live) -> float:
    """Tells the API to stop; after how many seconds the last stream has ended, as all must end."""
    assert leaving.api
    job_id = leaving.submit("speak", {"pieces": ["word "], "repeat": 10_000, "pause_s": 0.01})
    async with readers(leaving, job_id) as tasks:
        await until(lambda: health(leaving)["streams"] >= 7 * EACH)
        await until(lambda: leaving.job(job_id)["last_seq"] > 20)
        started = time.monotonic()
        leaving.api.kill(15)
        ended = await asyncio.wait_for(asyncio.gather(*tasks), 30)
        await until(lambda: leaving.api is None or leaving.api.process.poll() is not None)
        gone = time.monotonic() - started
    print(f"{len(tasks)} streams ended after {max(ended) - started:.3f} s, the API after {gone:.3f} s")
    assert gone < 6 + leaving.stalls.since(started)
    assert leaving.api.process.returncode in (0, -15)
    assert "Traceback" not in leaving.api.output()
    return max(ended) - started


async def test_a_reader_who_does_not_read_holds_nobody_up(leaving: Live) -> None:
    """Its connection is cut after the time of grace."""
    job_id = leaving.submit("speak", {"pieces": ["z" * 100_000], "repeat": 100, "pause_s": 0.01})
    reader, writer = await asyncio.open_connection("127.0.0.1", leaving.port, limit=1024)
    writer.write(f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    assert leaving.job(job_id, wait_s=30)["status"] == "succeeded"
    asked = time.monotonic()
    assert leaving.stop_api() < 6 + leaving.stalls.since(asked)
    writer.transport.abort()
