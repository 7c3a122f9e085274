"""The API as a process: in which order it stops, on a real uvicorn in this event loop."""

import asyncio
import logging
import time

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from server.main import GRACE_S, WithoutTracebacks
from tests.support.api import Api
from tests.support.machine import Stalls
from tests.support.serving import Running, streaming
from tests.support.waiting import until

LIMIT_S = GRACE_S / 2
"""From the signal to the clean end of every stream, none of which may wait for uvicorn's time of grace. How fast it
really is, tests/integration/test_going.py measures."""


async def test_streams_end_cleanly_and_soon(api: Api, running: Running, stalls: Stalls) -> None:
    body = b""
    async with streaming(running, api.job()) as response:
        chunks = response.aiter_raw()
        body += await anext(chunks)
        stopped = running.stop()
        # A cut connection would raise here: the end is that of the chunked encoding.
        async for chunk in chunks:
            body += chunk
        assert time.monotonic() - stopped < LIMIT_S + stalls.since(stopped)
    assert body.rstrip().splitlines()[-1].startswith(b"retry: ")


async def test_sockets_are_told_that_the_server_will_be_back(api: Api, running: Running, stalls: Stalls) -> None:
    one = connect(f"ws://{running.netloc}/v1/jobs/{api.job()}/ws", proxy=None)
    many = connect(f"ws://{running.netloc}/v1/ws", proxy=None)
    async with one as first, many as second:
        await first.recv()
        stopped = running.stop()
        assert [await closed(first), await closed(second)] == [1001, 1001]
        assert time.monotonic() - stopped < LIMIT_S + stalls.since(stopped)


async def closed(client: ClientConnection) -> int:
    """The code that a socket is closed with."""
    with pytest.raises(ConnectionClosed) as caught:
        await client.recv()
    assert caught.value.rcvd
    return caught.value.rcvd.code


async def test_nobody_new_is_let_in_meanwhile(api: Api, running: Running) -> None:
    async with streaming(running, api.job()) as response:
        chunks = response.aiter_raw()
        await anext(chunks)
        running.stop()
        await until(lambda: not api.state.relays)
        with pytest.raises(httpx.ConnectError):
            async with streaming(running, api.job()):
                pass


async def test_a_request_under_way_is_answered(api: Api, running: Running) -> None:
    url = f"http://{running.netloc}/v1/jobs/{api.job()}?wait=60"
    async with httpx.AsyncClient(trust_env=False) as client:
        waiting = asyncio.create_task(client.get(url))
        await until(lambda: bool(api.state.hub.waiting))
        running.stop()
        assert (await waiting).json()["status"] == "queued"


def record(error: BaseException | None) -> logging.LogRecord:
    found = (type(error), error, None) if error else None
    return logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "m", None, found)


def test_a_clients_text_that_is_no_utf_8_is_one_line_in_the_log() -> None:
    shown = record(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"))
    assert WithoutTracebacks().filter(shown)
    assert (shown.exc_info, shown.levelname) == (None, "INFO")


@pytest.mark.parametrize("error", [None, RuntimeError("boom")])
def test_other_errors_keep_their_traceback(error: BaseException | None) -> None:
    shown = record(error)
    assert WithoutTracebacks().filter(shown)
    assert (bool(shown.exc_info), shown.levelname) == (bool(error), "ERROR")
