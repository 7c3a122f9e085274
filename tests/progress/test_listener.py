"""The Listener: confirmed subscriptions, batches, and a new connection for every one that breaks."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest

from progress.address import Dial, dialer
from progress.errors import StoreUnavailable
from progress.listener import Batch, RedisListener
from tests.support.machine import Stalls
from tests.support.redis_server import RedisServer
from tests.support.waiting import turns, until

Reply = Callable[[bytes], bytes]
PONG: Final = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"


class Heard:
    """What a listener has handed over."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.connected = 0

    @property
    def messages(self) -> Batch:
        return [message for batch in self.batches for message in batch]

    def on_connected(self) -> None:
        self.connected += 1


@asynccontextmanager
async def listening(dial: Dial, *, silence_s: float = 60) -> AsyncIterator[tuple[RedisListener, Heard]]:
    listener, heard = RedisListener(dial, silence_s=silence_s), Heard()
    listener.start(heard.batches.append, heard.on_connected)
    try:
        yield listener, heard
    finally:
        await listener.close()


@pytest.fixture
async def pair(redis_url: str) -> AsyncIterator[tuple[RedisListener, Heard]]:
    async with listening(dialer(redis_url)) as pair:
        yield pair


class Scripted:
    """A server that speaks RESP as badly as it is told to."""

    def __init__(self, reply: Reply) -> None:
        self.connections = 0
        self.asked: list[bytes] = []
        self._reply = reply
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Scripted":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._server
        self._server.close()
        for writer in tuple(self._writers):
            writer.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while data := await reader.read(4096):
                self.asked.append(data)
                writer.write(self._reply(data))
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


async def test_messages_come_in_the_order_in_which_they_were_published(
    pair: tuple[RedisListener, Heard], redis_server: RedisServer
) -> None:
    listener, heard = pair
    await listener.subscribe("a")
    await listener.subscribe("b")
    with redis_server.client() as client:
        for n in range(100):
            client.publish("ab"[n % 2], str(n))
        client.publish("c", "nobody asked for this")
        client.publish("a", "end")
    await until(lambda: len(heard.messages) == 101)
    assert heard.messages[:2] == [(b"a", b"0"), (b"b", b"1")]
    assert [payload for _, payload in heard.messages] == [*(b"%d" % n for n in range(100)), b"end"]


async def test_what_one_read_brings_is_one_batch() -> None:
    message = b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\n1\r\n"
    async with Scripted(lambda _data: message * 3) as server, listening(dialer(server.url)) as (_, heard):
        await until(lambda: bool(heard.batches))
        assert heard.batches[0] == [(b"a", b"1")] * 3


async def test_a_confirmed_channel_is_confirmed_at_once_to_the_next_who_asks(
    pair: tuple[RedisListener, Heard],
) -> None:
    listener, _ = pair
    await asyncio.gather(*(listener.subscribe("a") for _ in range(5)))
    await listener.subscribe("a")
    assert listener.connected


async def test_a_channel_asked_for_before_there_is_a_connection_is_confirmed_later(
    redis_url: str, redis_server: RedisServer
) -> None:
    ready = asyncio.Event()
    dial = dialer(redis_url)

    async def late(factory: Callable[[], asyncio.Protocol]) -> list[tuple[str, ...]]:
        await ready.wait()
        return await dial(factory)

    async with listening(late) as (listener, heard):
        asking = asyncio.create_task(listener.subscribe("a"))
        await turns()
        assert not listener.connected
        ready.set()
        await asking
        redis_server.command("PUBLISH", "a", "1")
        await until(lambda: heard.messages == [(b"a", b"1")])


async def test_a_channel_given_up_is_heard_no_more(
    pair: tuple[RedisListener, Heard], redis_server: RedisServer
) -> None:
    listener, heard = pair
    await listener.subscribe("a")
    listener.unsubscribe("a")
    listener.unsubscribe("a")
    await listener.subscribe("b")
    redis_server.command("PUBLISH", "a", "1")
    redis_server.command("PUBLISH", "b", "2")
    await until(lambda: bool(heard.messages))
    assert heard.messages == [(b"b", b"2")]


async def test_an_answer_to_a_question_taken_back_confirms_nothing(
    pair: tuple[RedisListener, Heard], redis_server: RedisServer
) -> None:
    listener, heard = pair
    await listener.subscribe("other")
    first = asyncio.create_task(listener.subscribe("a"))
    await turns()
    first.cancel()
    listener.unsubscribe("a")
    await listener.subscribe("a")
    redis_server.command("PUBLISH", "a", "1")
    await until(lambda: heard.messages == [(b"a", b"1")])


async def test_a_channel_given_up_as_the_connection_breaks_is_not_asked_for_again() -> None:
    async with Scripted(lambda _data: b"") as server, listening(dialer(server.url)) as (listener, _):
        await until(lambda: bool(server.asked))
        asking = asyncio.create_task(listener.subscribe("a"))
        await until(lambda: b"SUBSCRIBE" in server.asked[-1])
        asking.cancel()
        listener._connection.abort(OSError("cut"))  # type: ignore[union-attr]  # it is there, and cut this moment
        listener.unsubscribe("a")
        await until(lambda: server.connections == 2 and b"PING" in server.asked[-1])
        assert sum(b"SUBSCRIBE" in data for data in server.asked) == 1


async def test_after_a_broken_connection_all_channels_are_asked_for_again(
    pair: tuple[RedisListener, Heard], redis_server: RedisServer
) -> None:
    listener, heard = pair
    for channel in "abc":
        await listener.subscribe(channel)
    before = heard.connected
    redis_server.command("CLIENT", "KILL", "TYPE", "PUBSUB")
    await until(lambda: heard.connected > before)
    for channel in "abc":
        redis_server.command("PUBLISH", channel, "1")
    await until(lambda: {channel for channel, _ in heard.messages} == {b"a", b"b", b"c"})


@pytest.mark.slow
async def test_without_a_server_a_subscription_is_refused_in_time(stalls: Stalls) -> None:
    async def refuse(_factory: Callable[[], asyncio.Protocol]) -> list[tuple[str, ...]]:
        raise StoreUnavailable("no master")

    async with listening(refuse) as (listener, _):
        before = time.monotonic()
        with pytest.raises(StoreUnavailable, match="SUBSCRIBE"):
            await listener.subscribe("a")
        assert time.monotonic() - before < 5 + stalls.since(before)


async def test_a_server_that_comes_later_is_found(redis_url: str) -> None:
    refusals = [OSError("refused"), OSError()]
    dial = dialer(redis_url)

    async def refuse_first(factory: Callable[[], asyncio.Protocol]) -> list[tuple[str, ...]]:
        if refusals:
            raise refusals.pop()
        return await dial(factory)

    async with listening(refuse_first) as (listener, _):
        await listener.subscribe("a")
        assert refusals == []


async def test_a_silent_connection_is_asked_and_then_given_up() -> None:
    def only_once(data: bytes) -> bytes:
        return PONG if server.connections == 1 and data.count(b"PING") and len(server.asked) == 1 else b""

    async with Scripted(only_once) as server, listening(dialer(server.url), silence_s=0.05):
        await until(lambda: server.connections >= 2)
    assert server.asked[1] == b"*1\r\n$4\r\nPING\r\n"


async def test_a_connection_that_answers_is_kept() -> None:
    async with Scripted(lambda _data: PONG) as server, listening(dialer(server.url), silence_s=0.01):
        await until(lambda: len(server.asked) > 5)
        assert server.connections == 1


@pytest.mark.parametrize("reply", [b"-NOAUTH Authentication required.\r\n", b"?what\r\n"])
async def test_a_server_that_refuses_is_asked_again_with_growing_pauses(reply: bytes) -> None:
    async with Scripted(lambda _data: reply) as server, listening(dialer(server.url)) as (_, heard):
        await until(lambda: server.connections >= 3)
        loop = asyncio.get_running_loop()
        before, seen = loop.time(), server.connections
        await until(lambda: server.connections > seen)
        assert loop.time() - before > 0.05
        assert heard.batches == []


async def test_a_login_is_sent_before_anything_else() -> None:
    async with Scripted(lambda _data: b"+OK\r\n" + PONG) as server:
        url = server.url.replace("redis://", "redis://me:secret@")
        async with listening(dialer(url)):
            await until(lambda: bool(server.asked))
        assert server.asked[0].startswith(b"*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$6\r\nsecret\r\n")


async def test_a_listener_that_never_started_can_be_closed(redis_url: str) -> None:
    await RedisListener(dialer(redis_url)).close()


async def test_a_connection_is_told_of_although_nothing_is_subscribed_to(pair: tuple[RedisListener, Heard]) -> None:
    listener, heard = pair
    await until(lambda: heard.connected == 1)
    assert listener.connected
