"""The response that sends what an iterator yields, driven by hand."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from starlette.types import Receive, Scope, Send

from server.errors import Problem
from server.streams import StreamResponse, no_room, overloaded
from tests.support.asgi import Exchange
from tests.support.waiting import turns


class App:
    """One StreamResponse over a queue of chunks; None ends it."""

    def __init__(self) -> None:
        self.chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.left = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stack = AsyncExitStack()
        stack.callback(self._leave)
        await StreamResponse(self._chunks(), "text/event-stream", stack=stack)(scope, receive, send)

    def _leave(self) -> None:
        self.left += 1

    async def _chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self.chunks.get()) is not None:
            if chunk == b"fail":
                raise RuntimeError("told to fail")
            yield chunk


@pytest.fixture
def app() -> App:
    return App()


async def test_chunks_are_sent_as_they_come_and_the_end_is_an_end(app: App) -> None:
    async with Exchange(app, "/") as reader:
        app.chunks.put_nowait(b"a")
        await reader.until_body(b"a")
        app.chunks.put_nowait(b"b")
        app.chunks.put_nowait(None)
        await reader.end()
    assert (reader.body, reader.complete, app.left) == (b"ab", True, 1)
    assert reader.headers["cache-control"] == "no-store"


async def test_a_client_who_leaves_ends_it_at_once(app: App) -> None:
    async with Exchange(app, "/") as reader:
        app.chunks.put_nowait(b"a")
        await reader.until_body(b"a")
        reader.leave()
        await reader.end()
    assert (reader.complete, app.left) == (False, 1)


async def test_a_client_who_leaves_while_it_does_not_read_ends_it_too(app: App) -> None:
    async with Exchange(app, "/") as reader:
        app.chunks.put_nowait(b"a")
        await reader.until_body(b"a")
        reader.stop_reading()
        app.chunks.put_nowait(b"b")
        await turns()
        reader.leave()
        await reader.end()
    assert (reader.body, app.left) == (b"a", 1)


async def test_a_server_that_cancels_is_obeyed(app: App) -> None:
    async with Exchange(app, "/") as reader:
        app.chunks.put_nowait(b"a")
        await reader.until_body(b"a")
        assert reader.task
        reader.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader.end()
    assert app.left == 1


async def test_an_error_in_the_middle_is_no_end(app: App) -> None:
    async with Exchange(app, "/") as reader:
        app.chunks.put_nowait(b"a")
        app.chunks.put_nowait(b"fail")
        with pytest.raises(RuntimeError, match="told to fail"):
            await reader.end()
    assert (reader.complete, app.left) == (False, 1)


async def test_an_overloaded_server_answers_what_an_event_source_can_read() -> None:
    async with Exchange(overloaded(), "/") as reader:
        await reader.end()
    assert reader.status == 200
    match = re.fullmatch(rb"retry: (\d+)\nevent: overloaded\ndata: (.+)\n\n", reader.body)
    assert match
    assert 3000 <= int(match[1]) <= 8000
    assert json.loads(match[2]) == {"code": "overloaded", "retry_after_s": int(match[1]) / 1000}


async def test_other_clients_get_a_status_that_they_can_read() -> None:
    assert isinstance(no_room("sse"), StreamResponse)
    for form in ("ndjson", "text"):
        with pytest.raises(Problem) as caught:
            no_room(form)
        assert caught.value.status_code == 503
