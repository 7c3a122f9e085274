"""Readers that stay, whatever breaks: each comes back with its cursor until the job's end, and checks what it gets."""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import websockets

from tests.integration.wire import SseParser, Stream
from tests.support.live import ENDED, Live
from tests.support.waiting import wait_until

PAUSE_S: Final = 0.05
BROKEN: Final = (OSError, EOFError, websockets.WebSocketException)


def final_text(events: list[dict[str, Any]]) -> str:
    """What a reader holds who drops void text, as docs/api.md says."""
    held: list[tuple[int, str]] = []
    for event in events:
        if event["type"] == "started":
            held = [(seq, text) for seq, text in held if seq <= event["rollback_to"]]
        elif event["type"] == "token":
            held.append((event["seq"], event["text"]))
    return "".join(text for _, text in held)


def joined(events: list[dict[str, Any]]) -> dict[str, Any]:
    """One event for neighbouring ones; raises AssertionError where they cannot be one."""
    last = events[-1]
    if len(events) == 1:
        return last
    assert {(event["type"], event["attempt"], event.get("channel")) for event in events} == {
        ("token", last["attempt"], last.get("channel"))
    }, f"more than neighbouring tokens lies between two events: {events}"
    return {**last, "text": "".join(event["text"] for event in events)}


def follows(event: dict[str, Any]) -> int:
    """The ``seq`` of the event before: after a crash of Redis a log may leave room for what nobody knows any more."""
    return int(event.get("follows", event["seq"] - 1))


class Follower:
    """One reader of one job, by SSE; ``connections`` counts how often it had to come.

    Args:
        patience: asked before each connection after how many seconds the reader leaves it, if at all.
    """

    def __init__(
        self, live: Live, job_id: str, *, exact: bool, patience: Callable[[], float | None] = lambda: None
    ) -> None:
        self.job_id = job_id
        self.exact = exact
        self.events: list[dict[str, Any]] = []
        self.arrived: list[float] = []
        self.connections = 0
        self.status = 0
        self._live = live
        self._patience = patience

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.job_id}, {self.connections} connections, {self.status}, {self.events[-10:]})"
        )

    @property
    def cursor(self) -> int:
        """The position that it resumes from. A gap has none."""
        return next((int(event["seq"]) for event in reversed(self.events) if "seq" in event), 0)

    @property
    def ended(self) -> bool:
        """Whether nothing will come any more."""
        return self.status in (204, 404) or (bool(self.events) and self.events[-1]["type"] in ENDED)

    @property
    def text(self) -> str:
        """What it holds."""
        return final_text(self.events)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Its events of one type."""
        return [event for event in self.events if event["type"] == kind]

    def when(self, kind: str, attempt: int) -> float:
        """When the first event of a type of an attempt came."""
        pairs = zip(self.events, self.arrived, strict=False)
        return next(at for event, at in pairs if (event["type"], event["attempt"]) == (kind, attempt))

    def check(self, *, redis_crashed: bool = False) -> None:
        """Raises AssertionError where something came twice, was left out, or is of an attempt that was over.

        Args:
            redis_crashed: Redis may have lost what a worker wrote that died as well; readers are told so by a gap.
        """
        assert redis_crashed or not self.of("gap"), f"something is lost: {self}"
        positions = [event["seq"] for event in self.events if "seq" in event]
        assert positions == sorted(set(positions)), f"something came twice, or out of order: {self}"
        assert not self.exact or [follows(event) for event in self.events[:1]] == [0], f"not from the start: {self}"
        for events in self._pieces():
            if self.exact:
                before = [event["seq"] for event in events][:-1]
                assert [follows(event) for event in events[1:]] == before, f"something was left out: {self}"
            attempts = [event["attempt"] for event in events]
            assert attempts == sorted(attempts), f"an attempt wrote after the next one had begun: {self}"
            begun = [event["attempt"] for event in events if event["type"] == "started"]
            assert begun == sorted(set(begun)), f"an attempt began twice: {self}"
        ends = [event for event in self.events if event["type"] in ENDED]
        assert ends == self.events[-1:], f"a job ends once, and last: {self}"

    def _pieces(self) -> Iterator[list[dict[str, Any]]]:
        """Its events between gaps."""
        for is_gap, events in itertools.groupby(self.events, lambda event: bool(event["type"] == "gap")):
            if not is_gap:
                yield list(events)

    def check_against(self, log: list[dict[str, Any]]) -> None:
        """Raises AssertionError where an event is not what the log says at its place, or is not in the log.

        One that a crash of Redis has lost must lie where the log has left room for it.
        """
        before = 0
        for event in self.events:
            if event["type"] == "gap":
                continue
            there = [found for found in log if before < found["seq"] <= event["seq"]]
            if there and there[-1]["seq"] == event["seq"]:
                assert event == joined(there), f"one seq has two contents: {event}, {there}"
            else:
                room = [found for found in log if follows(found) < event["seq"] < found["seq"]]
                assert room, f"not in the log: {event}"
            before = event["seq"]
        assert self.text == final_text(log)

    async def follow(self) -> None:
        """Reads to the end, over as many connections as it takes."""
        while not self.ended:
            self.connections += 1
            with suppress(*BROKEN):
                async with asyncio.timeout(self._patience()):
                    await self.connect()
            await asyncio.sleep(PAUSE_S)

    async def connect(self) -> None:
        """One connection, to its end."""
        target = f"/v1/jobs/{self.job_id}/events?format=sse&exact={int(self.exact)}"
        headers = {"Last-Event-ID": str(self.cursor)} if self.cursor else {}
        parser = SseParser()
        with await Stream.open(self._live.port, target, headers) as stream:
            self.status = stream.status
            if stream.status == 200:
                async for piece in stream.pieces():
                    for block in parser.feed(piece):
                        self._take(block.json)

    def _take(self, event: dict[str, Any]) -> None:
        # In this order, since other threads look at events, and then for the time of each.
        self.arrived.append(time.monotonic())
        self.events.append(event)


class SocketFollower(Follower):
    """The same by WebSocket. ``code`` is what the last one was closed with."""

    code: int | None = None

    @property
    def ended(self) -> bool:
        return super().ended or self.code == 4404

    async def connect(self) -> None:
        address = f"{self._live.ws_url}/v1/jobs/{self.job_id}/ws?after={self.cursor}&exact={int(self.exact)}"
        async with websockets.connect(address, max_size=2**21, proxy=None, compression=None) as socket:
            try:
                async for message in socket:
                    self._take(json.loads(message))
            finally:
                self.code = socket.close_code
                # It leaves as a cut connection does. A goodbye takes time, and one that is cut short leaves it open.
                socket.transport.abort()


class TextFollower(Follower):
    """A reader of the plain text: what it has counts only if the server has ended it well, else it begins anew."""

    complete = False
    held = ""

    @property
    def ended(self) -> bool:
        return self.complete or self.status == 404

    @property
    def text(self) -> str:
        return self.held

    def check(self, *, redis_crashed: bool = False) -> None:
        """There is nothing to see in text alone."""

    async def connect(self) -> None:
        self.held, body = "", b""
        with await Stream.open(self._live.port, f"/v1/jobs/{self.job_id}/events?format=text") as stream:
            self.status = stream.status
            async for piece in stream.pieces():
                body += piece
                # What is incomplete at the end of a piece is there with the next one.
                self.held = body.decode(errors="ignore") if stream.status == 200 else ""
            self.complete = stream.complete and stream.status == 200


class Audience:
    """Readers in a thread of their own, so that a test can break things meanwhile. A context manager."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="audience", daemon=True)
        self._following: list[Future[None]] = []
        self.readers: list[Follower] = []

    def follow(
        self,
        job_id: str,
        *,
        exact: bool = True,
        sort: type[Follower] = Follower,
        patience: Callable[[], float | None] = lambda: None,
    ) -> Follower:
        """A reader of a job, from its start."""
        reader = sort(self._live, job_id, exact=exact, patience=patience)
        self.readers.append(reader)
        self._following.append(asyncio.run_coroutine_threadsafe(reader.follow(), self._loop))
        return reader

    def wait(self, timeout_s: float = 30) -> None:
        """Returns once every reader has its end. Raises TimeoutError, with those who have not."""
        deadline = time.monotonic() + timeout_s
        for reader, following in zip(self.readers, self._following, strict=True):
            try:
                following.result(max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                raise TimeoutError(f"not at its end: {reader}") from None

    def check(self, *, redis_crashed: bool = False) -> None:
        """Checks every reader, each by itself and those of one job against each other."""
        texts: dict[str, str] = {}
        contents: dict[tuple[str, int], dict[str, Any]] = {}
        for reader in self.readers:
            reader.check(redis_crashed=redis_crashed)
            text = texts.setdefault(reader.job_id, reader.text)
            assert reader.text == text, f"two readers have two texts: {reader}"
            for event in reader.events if reader.exact else ():
                if event["type"] != "gap":
                    known = contents.setdefault((reader.job_id, event["seq"]), event)
                    assert event == known, f"one seq has two contents: {event}, {known}"

    def check_against(self, log_of: Callable[[str], list[dict[str, Any]]], *, redis_crashed: bool = False) -> None:
        """Checks them against the logs of their jobs as well."""
        self.check(redis_crashed=redis_crashed)
        logs = {job_id: log_of(job_id) for job_id in {reader.job_id for reader in self.readers}}
        for reader in self.readers:
            reader.check_against(logs[reader.job_id])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _leave(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()


def spoken(reader: Follower, tokens: int, timeout_s: float = 20) -> None:
    """Returns once a reader has so many tokens of the newest attempt."""

    def enough() -> bool:
        newest = reader.events[-1]["attempt"] if reader.events else 0
        return [event["attempt"] for event in reader.of("token")].count(newest) >= tokens

    wait_until(enough, timeout_s)
