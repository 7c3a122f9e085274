"""The clients of PyPI. None of them re-connects by itself: each loop here is what their users write."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator

import httpx
import httpx_sse
import pytest
import sseclient
import websockets
import websockets.sync.client

from tests.clients.following import Event, Following, submit
from tests.support.live import Live

pytestmark = [pytest.mark.clients, pytest.mark.integration, pytest.mark.slow]

PAUSE_S = 0.1


def target(live: Live, job_id: str) -> str:
    """Where a job's events are."""
    return f"{live.url}/v1/jobs/{job_id}/events?exact=1"


def test_httpx_sse_follows_over_a_restart_and_stops_at_204(restartable: Live) -> None:
    address = target(restartable, submit(restartable))

    def read() -> Iterator[Event]:
        last = ""
        with httpx.Client(trust_env=False, timeout=30) as client:
            while True:
                headers = {"Last-Event-ID": last} if last else {}
                with (
                    contextlib.suppress(httpx.TransportError),
                    httpx_sse.connect_sse(client, "GET", address, headers=headers) as source,
                ):
                    if source.response.status_code == 204:
                        yield {"stopped": "204"}
                    for sse in source.iter_sse():
                        last = sse.id
                        yield sse.json()
                time.sleep(PAUSE_S)

    following = Following(read)
    following.over_a_restart(restartable)
    assert following.stopped == "204"


def test_sseclient_follows_over_a_restart_and_stops_at_204(restartable: Live) -> None:
    address = target(restartable, submit(restartable))

    def read() -> Iterator[Event]:
        last = ""
        with httpx.Client(trust_env=False, timeout=30) as client:
            while True:
                headers = {"Last-Event-ID": last} if last else {}
                with (
                    contextlib.suppress(httpx.TransportError),
                    client.stream("GET", address, headers=headers) as answer,
                ):
                    if answer.status_code == 204:
                        yield {"stopped": "204"}
                    for event in sseclient.SSEClient(answer.iter_bytes()).events():
                        last = event.id or ""
                        yield json.loads(event.data)
                time.sleep(PAUSE_S)

    following = Following(read)
    following.over_a_restart(restartable)
    assert following.stopped == "204"


def test_websockets_follows_over_a_restart_and_is_closed_with_1000(restartable: Live) -> None:
    address = f"{restartable.ws_url}/v1/jobs/{submit(restartable)}/ws?exact=1"

    def read() -> Iterator[Event]:
        after = 0
        while True:
            with (
                contextlib.suppress(OSError, websockets.ConnectionClosed, websockets.InvalidMessage),
                websockets.sync.client.connect(f"{address}&after={after}", proxy=None) as socket,
            ):
                # It ends without an error on 1000 and on 1001 alike.
                for message in socket:
                    event = json.loads(message)
                    after = event["seq"]
                    yield event
                if socket.close_code == 1000:
                    yield {"stopped": "1000"}
            time.sleep(PAUSE_S)

    following = Following(read)
    following.over_a_restart(restartable)
    assert following.stopped == "1000"


def test_the_asynchronous_websockets_follows_as_well(restartable: Live) -> None:
    address = f"{restartable.ws_url}/v1/jobs/{submit(restartable)}/ws?exact=1"
    seen: list[Event] = []

    async def follow() -> None:
        while not (seen and seen[-1]["type"] == "succeeded"):
            after = seen[-1]["seq"] if seen else 0
            with contextlib.suppress(OSError, websockets.ConnectionClosed, websockets.InvalidMessage):
                async with websockets.connect(f"{address}&after={after}", proxy=None) as socket:
                    async for message in socket:
                        seen.append(json.loads(message))
            await asyncio.sleep(PAUSE_S)

    def read() -> Iterator[Event]:
        runner = asyncio.Runner()
        with runner:
            task = runner.get_loop().create_task(follow())
            sent = 0
            while not task.done() or sent < len(seen):
                runner.run(asyncio.sleep(0.01))
                while sent < len(seen):
                    yield seen[sent]
                    sent += 1
            task.result()

    Following(read).over_a_restart(restartable)
