"""An ASGI app driven by hand: a client that leaves, one that does not read, and a WebSocket."""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Scope

from tests.support.waiting import turns

WAIT_S = 30.0
"""What never comes fails no sooner: a machine that stands still for some seconds only makes things late."""
HOST = "jobcast.test"


def scope_of(kind: str, target: str, headers: Mapping[str, str], **more: Any) -> Scope:
    """The scope of a request to ``target``, a path with its query."""
    url = urlsplit(target)
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in {"host": HOST, **headers}.items()]
    return {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "path": url.path,
        "raw_path": url.path.encode(),
        "query_string": url.query.encode(),
        "root_path": "",
        "headers": pairs,
        "client": ("127.0.0.1", 50000),
        "server": (HOST, 80),
        **more,
    }


class Driven:
    """One run of the app. An async context manager: what still runs is cancelled when it is left."""

    def __init__(self, app: ASGIApp, scope: Scope) -> None:
        self.sent: list[Message] = []
        self._app = app
        self.scope = scope
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._news = asyncio.Condition()
        self._reading = asyncio.Event()
        self._reading.set()
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.task
        self.task.cancel()
        # What the app raised is the test's to ask for, with ``end``.
        await asyncio.wait([self.task])

    async def _run(self) -> None:
        try:
            await self._app(self.scope, self._inbox.get, self._send)
        finally:
            async with self._news:
                self._news.notify_all()

    async def _send(self, message: Message) -> None:
        await self._reading.wait()
        self.sent.append(message)
        async with self._news:
            self._news.notify_all()

    def tell(self, message: Message) -> None:
        """What the app receives next."""
        self._inbox.put_nowait(message)

    @property
    def unread(self) -> int:
        """Messages that the app has not received yet."""
        return self._inbox.qsize()

    def stop_reading(self) -> None:
        """From now on every ``send`` of the app waits, as it does when a client's buffers are full."""
        self._reading.clear()

    def read_on(self) -> None:
        """Reads again."""
        self._reading.set()

    async def until(self, condition: Any) -> None:
        """Returns once the condition holds, seen after each message. Raises TimeoutError, and what the app raised."""
        async with asyncio.timeout(WAIT_S), self._news:
            while not condition():
                assert self.task
                if self.task.done():
                    self.task.result()
                    raise AssertionError(f"the app has ended after {self.sent!r}")
                await self._news.wait()

    async def end(self) -> None:
        """Returns once the app has returned. Raises what it raised."""
        assert self.task
        async with asyncio.timeout(WAIT_S):
            await asyncio.wait([self.task])
        self.task.result()


class Exchange(Driven):
    """One HTTP request. As with a real server, ``receive`` tells of a disconnect once the response is complete.

    With ``more_body`` the client goes on sending: what is told next.
    """

    def __init__(
        self,
        app: ASGIApp,
        target: str,
        *,
        method: str = "GET",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        more_body: bool = False,
    ) -> None:
        super().__init__(app, scope_of("http", target, headers or {}, method=method))
        self.tell({"type": "http.request", "body": body, "more_body": more_body})

    async def _send(self, message: Message) -> None:
        assert not self.complete, f"sent after the end: {message!r}"
        await super()._send(message)
        if self.complete:
            self.leave()

    def leave(self) -> None:
        """The client goes away."""
        self.tell({"type": "http.disconnect"})

    @property
    def complete(self) -> bool:
        """Whether the response has had its last chunk."""
        return any(m["type"] == "http.response.body" and not m.get("more_body") for m in self.sent)

    @property
    def status(self) -> int:
        """Of the response."""
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> Headers:
        """Of the response."""
        return Headers(raw=self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        """What has come so far."""
        return b"".join(m["body"] for m in self.sent if m["type"] == "http.response.body")

    async def until_body(self, part: bytes) -> None:
        """Returns once the body so far holds ``part``."""
        await self.until(lambda: part in self.body)


class Socket(Driven):
    """One WebSocket, as its client sees it."""

    def __init__(
        self, app: ASGIApp, target: str, *, headers: Mapping[str, str] | None = None, subprotocols: tuple[str, ...] = ()
    ) -> None:
        super().__init__(
            app, scope_of("websocket", target, headers or {}, scheme="ws", subprotocols=list(subprotocols))
        )
        self._taken = 0
        self.tell({"type": "websocket.connect"})

    async def _send(self, message: Message) -> None:
        await super()._send(message)
        # Others may come in between, as with a real socket.
        await turns()

    def say(self, message: Any) -> None:
        """Sends a message as JSON."""
        self.say_text(json.dumps(message))

    def say_text(self, text: str) -> None:
        """Sends a text frame."""
        self.tell({"type": "websocket.receive", "text": text})

    def say_bytes(self, data: bytes) -> None:
        """Sends a binary frame."""
        self.tell({"type": "websocket.receive", "bytes": data})

    def leave(self, code: int = 1001) -> None:
        """The client goes away."""
        self.tell({"type": "websocket.disconnect", "code": code})

    @property
    def frames(self) -> list[dict[str, Any]]:
        """Everything received."""
        return [json.loads(m["text"]) for m in self.sent if m["type"] == "websocket.send"]

    async def hear(self) -> dict[str, Any]:
        """The next frame."""
        await self.until(lambda: len(self.frames) > self._taken)
        self._taken += 1
        return self.frames[self._taken - 1]

    async def closed(self) -> tuple[int, str]:
        """Code and reason, once the server has closed it."""
        with contextlib.suppress(AssertionError):
            await self.until(lambda: self.sent and self.sent[-1]["type"] == "websocket.close")
        await self.end()
        last = self.sent[-1]
        assert last["type"] == "websocket.close", last
        return last["code"], last["reason"]
