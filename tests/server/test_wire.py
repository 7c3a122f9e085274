"""Wires: the fast way to a client's socket carries what the plain one does, and steps aside where it cannot."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Frame, Opcode

from progress.commands import Lifetimes
from progress.events import sse_block
from server import wire
from server.relay import Relay
from server.wire import MOST_BYTES, Chunks, Wire, chunk, messages, messages_with_job, sse_chunk, text_message
from tests.server.test_relay import Writer, seqs, text_of
from tests.support.api import Api
from tests.support.asgi import Exchange
from tests.support.serving import Running
from tests.support.waiting import turns, until

BIG = "x" * 30_000
"""A token: a few of them fill every buffer between server and client."""


class Cycle:
    """What uvicorn's ``send`` belongs to, as far as a Wire knows it."""

    def __init__(self, **parts: Any) -> None:
        self.written: list[bytes] = []
        self.closing, self.unsent = False, 0
        self.transport = SimpleNamespace(
            write=self.written.append,
            is_closing=lambda: self.closing,
            get_write_buffer_size=lambda: self.unsent,
        )
        self.response_complete = False
        self.chunked_encoding = self.response_started = True
        vars(self).update(parts)

    async def send(self, message: Any) -> None:
        """Never called: the Wire takes its place."""


@pytest.mark.parametrize(
    "parts", [{"chunked_encoding": False}, {"response_started": False}, {"response_complete": True}]
)
def test_there_is_no_wire_where_it_could_not_write_a_chunk(parts: dict[str, Any]) -> None:
    assert Wire.of(Cycle(**parts).send) is None


def test_there_is_no_wire_under_another_server() -> None:
    async def send(_message: Any) -> None: ...

    assert (Wire.of(send), Wire.of_socket(None, messages), Wire.of_socket(send, messages)) == (None, None, None)


def test_a_body_is_framed_once_for_all_who_send_it_one_after_another() -> None:
    body = b"a" * 20
    chunks = Chunks()
    assert chunks.of(body) == chunk(body) == b"14\r\n" + body + b"\r\n"
    assert chunks.of(body) is chunks.of(body)
    assert chunks.of(b"b") == b"1\r\nb\r\n"
    assert Chunks(b"line\n").of(b"b") == chunk(b"line\nb")


@pytest.mark.parametrize("kinds", [["token"], ["token", "token"], ["progress"], ["token", "succeeded"]])
def test_events_are_framed_as_each_of_them_is(kinds: list[str]) -> None:
    raws = [b'{"seq":%d,"type":"%b","attempt":1}' % (seq, kind.encode()) for seq, kind in enumerate(kinds, 9)]
    blocks = b"".join(map(sse_block, raws))
    assert sse_chunk("j", 9, raws, set(kinds) == {"token"}) == chunk(blocks)
    assert messages("j", 9, raws, False) == b"".join(map(text_message, raws))
    assert messages_with_job("j", 9, raws, False) == b"".join(text_message(raw[:-1] + b',"job":"j"}') for raw in raws)


@pytest.mark.parametrize(
    ("closing", "unsent", "taken"), [(False, MOST_BYTES, True), (False, MOST_BYTES + 1, False), (True, 0, False)]
)
def test_nothing_is_written_to_a_client_that_is_slow_or_has_left(closing: bool, unsent: int, taken: bool) -> None:
    cycle = Cycle(closing=closing, unsent=unsent)
    made = Wire.of(cycle.send)
    assert made
    assert made.write(b"a") is taken
    assert cycle.written == [b"a"] * taken


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_messages_are_framed_as_websockets_does_it(size: int) -> None:
    text = b"t" * size
    assert text_message(text) == Frame(Opcode.TEXT, text).serialize(mask=False)


@pytest.fixture
def writer(api: Api) -> Writer:
    """A running job."""
    made = Writer(api, lifetimes=Lifetimes(60, 120, 10_000))
    made.begin()
    return made


def in_step(api: Api, writer: Writer) -> int:
    """How many readers of a job are written to directly."""
    feed = api.state.hub.feeds.get(writer.job_id)
    return len(feed.in_step) if feed else 0


class Client:
    """A reader over a real socket that may stop reading."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self.body = bytearray()

    async def get(self, target: str, version: str = "1.1") -> None:
        host, port = self._running.netloc.split(":")
        self.reader, self.writer = await asyncio.open_connection(host, int(port), limit=1024)
        self.writer.write(f"GET {target} HTTP/{version}\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n".encode())

    async def upgrade(self, target: str) -> None:
        """Asks for a WebSocket, and reads no more than the answer's head."""
        host, port = self._running.netloc.split(":")
        self.reader, self.writer = await asyncio.open_connection(host, int(port), limit=1024)
        more = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        self.writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n{more}{key}\r\n".encode())
        await self.reader.readuntil(b"\r\n\r\n")

    async def read_to_end(self) -> None:
        async with asyncio.timeout(10):
            while piece := await self.reader.read(65_536):
                self.body += piece

    async def read_until(self, mark: bytes) -> None:
        # What was looked through is not looked through again: pieces are small, and some bodies large.
        seen = 0
        async with asyncio.timeout(30):
            while self.body.find(mark, seen) < 0:
                seen = max(0, len(self.body) - len(mark))
                piece = await self.reader.read(65_536)
                assert piece, self.body[-200:]
                self.body += piece

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    def unchunked(self) -> bytes:
        """The body without the frames of the transfer encoding."""
        rest, found = bytes(self.body).partition(b"\r\n\r\n")[2], b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            found += rest[: int(size, 16)]
            assert rest[int(size, 16) :][:2] == b"\r\n"
            rest = rest[int(size, 16) + 2 :]
        return found


@pytest.fixture
async def client(running: Running) -> AsyncIterator[Client]:
    """A reader that leaves after the test."""
    made = Client(running)
    yield made
    await made.close()


@pytest.fixture
async def slow(running: Running) -> AsyncIterator[Client]:
    """Another one."""
    made = Client(running)
    yield made
    await made.close()


async def test_readers_who_keep_up_are_written_to_directly(
    api: Api, running: Running, client: Client, writer: Writer
) -> None:
    await client.get(f"/v1/jobs/{writer.job_id}/events")
    async with connect(f"ws://{running.netloc}/v1/jobs/{writer.job_id}/ws", proxy=None, compression=None) as socket:
        await until(lambda: in_step(api, writer) == 2)
        for text in ("a", "b\u2028ä", "c" * 70_000):
            writer.say(text)
        writer.finish()
        await client.read_until(b"\r\n0\r\n\r\n")
        frames = [json.loads(frame) async for frame in socket]
    body = client.unchunked()
    assert seqs(body) == [1, 2, 3, 4, 5, 6] == [frame["seq"] for frame in frames]
    assert text_of(body) == "ab\u2028ä" + "c" * 70_000
    assert api.state.hub.feeds == {}


async def test_sockets_of_many_jobs_are_written_to_directly(
    api: Api, running: Running, client: Client, writer: Writer
) -> None:
    other = Writer(api, lifetimes=Lifetimes(60, 120, 10_000))
    other.begin()
    one_more = partial(connect, f"ws://{running.netloc}/v1/ws", proxy=None, compression=None)
    async with one_more() as one, one_more() as two:
        for socket in (one, two):
            for job in (writer, other):
                await socket.send(json.dumps({"op": "subscribe", "job": job.job_id}))
        await client.get(f"/v1/jobs/{writer.job_id}/events")
        await until(lambda: (in_step(api, writer), in_step(api, other)) == (3, 2))
        for number in range(3):
            writer.say(f"a{number}")
            other.say(f"b{number}")
        await until(lambda: (in_step(api, writer), in_step(api, other)) == (3, 2))
        writer.say("c")
        for socket in (one, two):
            found = [event for event in await heard(socket, b'"c"') if "seq" in event]
            for job, texts in ((writer, "a0a1a2c"), (other, "b0b1b2")):
                told = [event for event in found if event["job"] == job.job_id]
                assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
                assert "".join(event.get("text", "") for event in told) == texts
        other.finish()
        for socket in (one, two):
            assert (await heard(socket, b"succeeded"))[-1]["job"] == other.job_id
        await one.send(json.dumps({"op": "unsubscribe", "job": writer.job_id}))
        await until(lambda: in_step(api, writer) == 2)


async def heard(socket: ClientConnection, mark: bytes) -> list[dict[str, Any]]:
    """The messages of a socket up to one with a mark."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        async for frame in socket:
            assert isinstance(frame, str)
            found.append(json.loads(frame))
            if mark.decode() in frame:
                break
    return found


@pytest.mark.slow
async def test_a_client_that_stops_reading_goes_on_by_its_cursor(
    api: Api, client: Client, slow: Client, writer: Writer
) -> None:
    for one in (slow, client):
        await one.get(f"/v1/jobs/{writer.job_id}/events?exact=1")
        await one.read_until(b"started")
    await until(lambda: in_step(api, writer) == 2)
    for number in range(400):
        writer.say(f"{number} {BIG}")
        await client.read_until(b'"text":"%d x' % number)
    await until(lambda: in_step(api, writer) == 1)
    writer.say("last")
    await slow.read_until(b'"last"')
    assert seqs(slow.unchunked()) == list(range(1, 404))
    await until(lambda: in_step(api, writer) == 2)
    for one in (slow, client):
        await one.close()
    await until(lambda: not api.state.hub.feeds)


async def test_a_socket_that_stops_reading_goes_on_by_its_cursor(api: Api, running: Running, writer: Writer) -> None:
    address = f"ws://{running.netloc}/v1/jobs/{writer.job_id}/ws"
    async with connect(address, proxy=None, compression=None, max_queue=1) as socket:
        await until(lambda: in_step(api, writer) == 1)
        said = 0
        while in_step(api, writer):
            writer.say(f"{said} {BIG}")
            said += 1
            await turns()
            assert said < 5000
        writer.finish()
        found = [json.loads(frame)["seq"] async for frame in socket]
    assert found == list(range(1, said + 4))


async def test_nothing_follows_a_closing_frame(api: Api, client: Client, writer: Writer) -> None:
    """Though what was written before it is still on its way to a client that reads nothing."""
    await client.upgrade(f"/v1/jobs/{writer.job_id}/ws")
    await until(lambda: in_step(api, writer) == 1)
    ((made, _),) = api.state.hub.feeds[writer.job_id].in_step.items()
    assert isinstance(made, Wire)
    transport, said = made._transport, 0
    while not transport.get_write_buffer_size():
        writer.say(f"{said} {BIG}")
        said += 1
        await turns()
        assert said < 5000
    client.writer.write(Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True))
    await until(transport.is_closing)
    assert transport.get_write_buffer_size()
    assert not made.write(text_message(b"late"))
    await client.read_to_end()
    assert client.body.endswith(Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=False))


async def test_clients_of_http_1_0_are_served_the_plain_way(client: Client, writer: Writer) -> None:
    await client.get(f"/v1/jobs/{writer.job_id}/events", "1.0")
    await client.read_until(b"started")
    writer.say("a")
    await client.read_until(b'"a"')


@pytest.mark.parametrize("way", ["wire", "step", "wait"])
async def test_each_way_carries_the_same(
    api: Api, client: Client, writer: Writer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way != "wire":
        monkeypatch.setattr(wire, "HTTP_PARTS", ("no such part",))
    if way == "wait":
        monkeypatch.setattr("server.relay.Relay._drive", lambda _relay: False)
    await client.get(f"/v1/jobs/{writer.job_id}/events")
    await client.read_until(b"started")
    await until(lambda: in_step(api, writer) == (way == "wire"))
    for text in "abc":
        writer.say(text)
        await client.read_until(b'"%b"' % text.encode())
    writer.finish()
    await client.read_until(b"\r\n0\r\n\r\n")
    body = client.unchunked()
    assert (seqs(body), text_of(body)) == ([1, 2, 3, 4, 5, 6], "abc")


async def test_signs_of_life_come_where_nothing_else_does(api: Api, client: Client, writer: Writer) -> None:
    await client.get(f"/v1/jobs/{writer.job_id}/events")
    await until(lambda: in_step(api, writer) == 1)
    (relay,) = api.state.relays
    for moved in (False, True, False, False):
        if moved:
            writer.say("t")
            await client.read_until(b'"t"')
        relay.tick()
    await client.read_until(b"\n: ping\n\r\n")
    await client.read_until(b"")
    writer.say("u")
    await client.read_until(b'"u"')
    assert len(re.findall(rb": ping\n", client.body)) in (2, 3)


async def test_a_relay_is_served_outside_of_the_app_that_made_it(api: Api, writer: Writer) -> None:
    async with Exchange(api.front, f"/v1/jobs/{writer.job_id}/events") as reader:
        await reader.until_body(b"started")
        assert reader.task
        frame = reader.task.get_coro().cr_await.cr_frame  # type: ignore[union-attr]
        assert frame.f_code.co_qualname.startswith("Outermost.")
        assert {"relay", "head", "scope"}.isdisjoint(frame.f_locals)
        assert frame.f_locals["handed"] == reader.scope["headers"] == []
        assert reader.scope["path"], "another server than uvicorn may look at it again"


async def test_nothing_of_a_request_is_kept_under_uvicorn(api: Api, client: Client, writer: Writer) -> None:
    await client.get(f"/v1/jobs/{writer.job_id}/events")
    await until(lambda: in_step(api, writer) == 1)
    (relay,) = api.state.relays
    assert isinstance(relay, Relay)
    assert relay._send.__self__.scope == {"method": "GET"}  # type: ignore[attr-defined]
