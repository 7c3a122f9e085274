"""Many readers who open a stream together, on a real server: each has everything, and little is done for each."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from progress.commands import Command, Lifetimes
from server.direct import AT_ONCE, Turnstile
from server.relay import AT_ONCE_BYTES
from tests.server.test_relay import Writer, seqs, text_of
from tests.support.api import Api
from tests.support.serving import Running
from tests.support.waiting import turns, until

TOKENS = 1500
"""More than a Feed's tail holds, and than a page of the Log does."""


@pytest.fixture
def writer(api: Api) -> Writer:
    """A running job."""
    made = Writer(api, lifetimes=Lifetimes(60, 120, 10_000))
    made.begin()
    return made


@pytest.fixture
async def running(api: Api) -> AsyncIterator[Running]:
    """The API on a real uvicorn."""
    made = Running(api)
    serving = asyncio.create_task(made.serve())
    await until(lambda: made.server.started)
    yield made
    made.stop()
    await serving


class Client:
    """A connection that asks for a job's events, and what came."""

    def __init__(self, running: Running, target: str) -> None:
        self.body = b""
        self._address = running.netloc.split(":")
        self._target = target
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            writer.write(f"GET {self._target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            while size := int(await reader.readline(), 16):
                self.body += (await reader.readexactly(size + 2))[:-2]
        finally:
            writer.close()

    async def has(self, text: bytes) -> None:
        """Returns once this came."""
        await until(lambda: text in self.body or self._task.done())
        assert text in self.body

    async def ended(self) -> None:
        """Returns once the response is complete."""
        await self._task

    async def leave(self) -> None:
        """Cuts the connection."""
        self._task.cancel()
        with suppress(asyncio.CancelledError, asyncio.IncompleteReadError):
            await self._task


def ran(api: Api) -> Counter[str]:
    """How often each script runs from now on."""
    scripts: Counter[str] = Counter()

    def note(command: Command[Any]) -> None:
        scripts[command.script] += 1

    api.memory.before = note
    return scripts


def words(writer: Writer, count: int) -> str:
    """Writes so many tokens; their text."""
    texts = [f"w{number} " for number in range(count)]
    writer.say(*texts)
    return "".join(texts)


def in_step(api: Api, writer: Writer) -> int:
    """How many readers of a job have had everything."""
    feed = api.state.hub.feeds.get(writer.job_id)
    return len(feed.in_step) if feed else 0


async def test_all_of_a_long_log_is_read_once_for_those_who_come_together(
    api: Api, writer: Writer, running: Running
) -> None:
    text, scripts = words(writer, TOKENS), ran(api)
    clients = [Client(running, f"/v1/jobs/{writer.job_id}/events") for _ in range(40)]
    for client in clients:
        await client.has(b"w1499 ")
    # Its end, for the Feed; its pages, of which the last one may be the tail's.
    assert scripts["read_log"] <= 6
    writer.say("live")
    for client in clients:
        await client.has(b"live")
    writer.finish()
    for client in clients:
        await client.ended()
    assert {text_of(client.body) for client in clients} == {f"{text}live"}
    assert all(seqs(client.body) == sorted(set(seqs(client.body))) for client in clients)
    assert all(client.body.startswith(b"retry: ") and client.body.count(b"retry: ") == 1 for client in clients)
    await until(lambda: api.at_rest)


async def test_whoever_comes_later_gets_it_from_memory_and_keeps_step(
    api: Api, writer: Writer, running: Running
) -> None:
    text = words(writer, TOKENS)
    first = Client(running, f"/v1/jobs/{writer.job_id}/events")
    await first.has(b"w1499 ")
    scripts = ran(api)
    later = Client(running, f"/v1/jobs/{writer.job_id}/events")
    await later.has(b"w1499 ")
    assert not scripts
    await until(lambda: in_step(api, writer) == 2)
    assert seqs(later.body) == seqs(first.body)
    assert text_of(later.body) == text
    for client in (first, later):
        await client.leave()


async def test_a_job_that_has_ended_comes_from_memory_to_its_end(api: Api, running: Running, writer: Writer) -> None:
    writer.say("all of it")
    writer.finish()
    # As long as somebody is there, what the first one reads of the Log is kept for the next.
    with await api.state.hub.subscribe(writer.job_id, 0):
        for _ in range(3):
            client = Client(running, f"/v1/jobs/{writer.job_id}/events")
            await client.ended()
            assert text_of(client.body) == "all of it"
            assert b"event: succeeded" in client.body


@pytest.mark.parametrize("after", [0, 3, 700, TOKENS])
@pytest.mark.parametrize("exact", ["0", "1"])
async def test_the_way_through_memory_gives_what_the_way_through_the_log_gives(
    api: Api, writer: Writer, running: Running, after: int, exact: str
) -> None:
    words(writer, TOKENS)
    target = f"/v1/jobs/{writer.job_id}/events?after={after}&exact={exact}"
    clients: list[Client] = []
    for _ in range(3):
        # One after the other: the first reads the Log, the others what it has left.
        clients.append(Client(running, target))
        await until(lambda: in_step(api, writer) == len(clients))
    writer.finish()
    for client in clients:
        await client.ended()
    assert len({client.body for client in clients}) == 1
    (last,) = {seqs(client.body)[-1] for client in clients}
    assert last == TOKENS + 3
    if exact == "1":
        assert seqs(clients[0].body) == list(range(after + 1, TOKENS + 4))


async def test_what_a_log_has_lost_is_told_to_those_who_come_later_too(api: Api, running: Running) -> None:
    writer = Writer(api, lifetimes=Lifetimes(60, 120, 1000))
    writer.begin()
    words(writer, TOKENS)
    clients = [Client(running, f"/v1/jobs/{writer.job_id}/events?after=100")]
    await clients[0].has(b"w1499 ")
    clients.append(Client(running, f"/v1/jobs/{writer.job_id}/events?after=100"))
    await clients[1].has(b"w1499 ")
    told = [re.findall(rb"event: gap\ndata: (.*)\n", client.body) for client in clients]
    assert told[0] == told[1]
    assert len(told[0]) == 1
    assert b'"lost_from":101,"lost_to":502' in told[0][0]
    for client in clients:
        await client.leave()


async def test_a_long_log_comes_in_pieces_that_let_others_in_between(
    api: Api, writer: Writer, running: Running
) -> None:
    size = 20_000
    for letter in "abcdefghij":
        writer.say(letter * size)
    first = Client(running, f"/v1/jobs/{writer.job_id}/events")
    await first.has(b"j" * size)
    assert len(first.body) > 2 * AT_ONCE_BYTES
    later = Client(running, f"/v1/jobs/{writer.job_id}/events")
    await later.has(b"j" * size)
    assert text_of(later.body) == text_of(first.body) == "".join(letter * size for letter in "abcdefghij")
    for client in (first, later):
        await client.leave()


async def test_only_so_many_pass_in_one_turn_of_the_loop_and_in_order() -> None:
    turnstile, passed = Turnstile(3), list[int]()

    async def enter(number: int) -> None:
        await turnstile.enter()
        passed.append(number)

    tasks = [asyncio.create_task(enter(number)) for number in range(8)]
    counts = []
    while len(passed) < 8:
        before = len(passed)
        await turns()
        counts.append(len(passed) - before)
    assert max(counts) <= 3
    assert passed == list(range(8))
    await asyncio.gather(*tasks)


async def test_whoever_leaves_while_waiting_takes_nobodys_turn() -> None:
    turnstile = Turnstile(1)
    tasks = [asyncio.create_task(turnstile.enter()) for _ in range(4)]
    await turns()
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [task.cancelled() for task in tasks] == [False, True, False, False]
    # Nobody waits, so nothing turns: the loop may sleep.
    await until(lambda: not turnstile._turning)
    await turnstile.enter()
    assert AT_ONCE > 1
