"""One reader's stream of one job, driven by hand: slow readers, those who leave, and every kind of end."""

import asyncio
import json
import re
from typing import Any

import pytest

from progress.commands import Command, DeleteJob, Lifetimes, ReadLog
from progress.errors import StoreUnavailable
from server.encoding import PING
from server.state import keep_awake
from tests.support.api import Api
from tests.support.asgi import Exchange
from tests.support.backend import checkpoint, token
from tests.support.waiting import turns, until

ENDED = b"event: succeeded"


def seqs(body: bytes) -> list[int]:
    """Positions of the SSE blocks so far."""
    return [int(seq) for seq in re.findall(rb"^id: (\d+)$", body, re.MULTILINE)]


def text_of(body: bytes) -> str:
    """Texts of the SSE blocks so far."""
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: ")]
    return "".join(event["text"] for event in events if event["type"] == "token")


def path(job_id: str, query: str = "") -> str:
    return f"/v1/jobs/{job_id}/events{query and '?'}{query}"


class Writer:
    """A worker that writes to one job."""

    def __init__(self, api: Api, **fields: Any) -> None:
        self.api = api
        self.job_id = api.job(**fields)
        self.number = 0
        self.attempt = 0

    def begin(self) -> None:
        assert self.api.worker.begin(self.job_id).answer == "ok"
        self.attempt, self.number = self.attempt + 1, 0

    def say(self, *texts: str) -> None:
        self.number += 1
        self.api.worker.append(self.job_id, self.number, *map(token, texts), attempt=self.attempt)

    def finish(self, outcome: Any = "succeeded", value: str = "null") -> None:
        self.number += 1
        self.api.worker.finish(self.job_id, self.number, outcome, value, attempt=self.attempt)


@pytest.fixture
def writer(api: Api) -> Writer:
    """A running job."""
    made = Writer(api, lifetimes=Lifetimes(60, 120, 10_000))
    made.begin()
    return made


async def test_a_reader_gets_what_was_then_what_comes_then_the_end(api: Api, writer: Writer) -> None:
    writer.say("before ")
    async with api.exchange(path(writer.job_id)) as reader:
        await reader.until_body(b"before")
        writer.say("after ")
        await reader.until_body(b"after")
        writer.say("last")
        writer.finish()
        await reader.end()
    assert reader.complete
    assert seqs(reader.body) == [1, 2, 3, 4, 5, 6]
    assert text_of(reader.body) == "before after last"


async def test_the_headers_keep_proxies_and_caches_out_of_the_way(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id)) as reader:
        await reader.until_body(b"started")
    assert reader.status == 200
    assert reader.headers["content-type"].startswith("text/event-stream")
    assert (reader.headers["cache-control"], reader.headers["x-accel-buffering"]) == ("no-store", "no")


async def test_the_pause_before_a_reconnect_is_in_the_first_block_alone(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id, "after=2")) as reader:
        writer.say("a")
        await reader.until_body(b'"a"')
        writer.say("b")
        await reader.until_body(b'"b"')
    assert reader.body.startswith(b"retry: 1000\nid: 3\nevent: token\ndata: {")
    assert reader.body.count(b"retry:") == 1
    assert reader.body.endswith(b"\n\n")


async def test_a_reader_from_now_on_gets_nothing_older(api: Api, writer: Writer) -> None:
    writer.say("old")
    async with api.exchange(path(writer.job_id, "after=-1")) as reader:
        await until(lambda: bool(api.state.relays))
        writer.say("new")
        writer.finish()
        await reader.end()
    assert seqs(reader.body) == [4, 5]


async def test_readers_who_keep_up_share_the_bytes(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id)) as one, api.exchange(path(writer.job_id)) as other:
        await one.until_body(b"started")
        await other.until_body(b"started")
        writer.say("a")
        await one.until_body(b'"a"')
        await other.until_body(b'"a"')
    assert one.sent[-1]["body"] is other.sent[-1]["body"]


async def test_a_reader_slower_than_the_log_is_long_is_told_what_it_lost(api: Api) -> None:
    writer = Writer(api, lifetimes=Lifetimes(60, 120, 100))
    writer.begin()
    async with api.exchange(path(writer.job_id, "exact=1")) as slow:
        await slow.until_body(b"started")
        slow.stop_reading()
        for _ in range(1000):
            writer.say(".")
        writer.finish()
        await until(lambda: api.state.hub.feeds[writer.job_id].head == 1003)
        slow.read_on()
        await slow.end()
    (gap,) = re.findall(rb"event: gap\ndata: (.*)\n\n", slow.body)
    assert gap.endswith(b'"job":"' + writer.job_id.encode() + b'"}')
    lost = json.loads(gap)
    found = seqs(slow.body)
    assert (lost["lost_from"] - 1 in found, lost["lost_to"] + 1 in found) == (True, True)
    assert found == [*range(1, lost["lost_from"]), *range(lost["lost_to"] + 1, 1004)]


async def test_a_slow_reader_loses_nothing_and_gets_it_in_few_pieces(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id)) as slow, api.exchange(path(writer.job_id)) as quick:
        await slow.until_body(b"started")
        slow.stop_reading()
        for number in range(2000):
            writer.say(f"{number} ")
        writer.finish()
        await quick.end()
        pieces = len(slow.sent)
        slow.read_on()
        await slow.end()
    assert text_of(slow.body) == text_of(quick.body) == "".join(f"{number} " for number in range(2000))
    assert seqs(slow.body) == sorted(set(seqs(slow.body)))
    assert seqs(slow.body)[-1] == 2003
    assert len(slow.sent) - pieces < 20


async def test_an_exact_reader_gets_every_event_even_when_slow(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id, "exact=1")) as slow:
        await slow.until_body(b"started")
        slow.stop_reading()
        for _ in range(1500):
            writer.say(".")
        writer.finish()
        await until(lambda: api.state.hub.feeds[writer.job_id].head == 1503)
        slow.read_on()
        await slow.end()
    assert seqs(slow.body) == list(range(1, 1504))


async def test_a_reader_whose_first_byte_waits_gets_the_same(api: Api, writer: Writer) -> None:
    async with Exchange(api.front, path(writer.job_id)) as slow:
        slow.stop_reading()
        await until(lambda: bool(api.state.relays))
        for _ in range(10):
            writer.say("x")
            await turns()
        writer.finish()
        await turns()
        slow.read_on()
        await slow.end()
    assert slow.sent[0]["type"] == "http.response.start"
    assert text_of(slow.body) == "x" * 10
    assert slow.body.count(ENDED) == 1


async def test_a_reader_who_leaves_takes_everything_along(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id)) as reader:
        await reader.until_body(b"started")
        assert (api.state.streams, len(api.state.hub.feeds)) == (1, 1)
        reader.leave()
        await reader.end()
    assert not reader.complete
    assert api.at_rest


async def test_a_slow_reader_who_leaves_takes_everything_along(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id)) as reader:
        await reader.until_body(b"started")
        reader.stop_reading()
        writer.say("never read")
        await turns()
        reader.leave()
        await reader.end()
    assert b"never read" not in reader.body
    assert api.at_rest


async def test_a_request_that_the_server_cancels_takes_everything_along(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id)) as reader:
        await reader.until_body(b"started")
        assert reader.task
        reader.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader.end()
    assert api.at_rest


@pytest.mark.parametrize("form", ["sse", "ndjson", "text"])
async def test_a_planned_shutdown_ends_every_stream_at_an_event(api: Api, writer: Writer, form: str) -> None:
    async with api.exchange(path(writer.job_id, f"format={form}")) as reader:
        writer.say("said")
        await reader.until_body(b"said")
        api.state.hub.announce_close()
        await reader.end()
    assert reader.complete == (form != "text"), "text has no other way to say that it is not the whole"
    goodbye = re.search(rb"\n\nretry: (\d+)\n$", reader.body)
    if form == "sse":
        assert goodbye
        assert 100 <= int(goodbye[1]) <= 1000
    else:
        assert b"retry" not in reader.body


async def test_a_stream_stays_open_while_redis_is_away(api: Api, writer: Writer) -> None:
    asked = 0

    def away(command: Command[Any]) -> None:
        nonlocal asked
        if isinstance(command, ReadLog) and command.limit:
            asked += 1
            if asked < 3:
                raise StoreUnavailable("away")

    writer.say("kept")
    api.memory.before = away
    async with api.exchange(path(writer.job_id)) as reader:
        await reader.until_body(b"kept")
    assert asked == 3


@pytest.mark.parametrize("form", ["sse", "text"])
async def test_a_job_that_is_deleted_under_a_reader_ends_its_stream(api: Api, writer: Writer, form: str) -> None:
    writer.say("gone")
    writer.finish()

    def delete(command: Command[Any]) -> None:
        if isinstance(command, ReadLog) and command.limit:
            api.memory.before = lambda _command: None
            api.worker.run(DeleteJob(writer.job_id))

    api.memory.before = delete
    async with api.exchange(path(writer.job_id, f"format={form}")) as reader:
        await reader.end()
    assert reader.complete == (form == "sse")
    assert (b'"type":"gap","lost_from":1,"lost_to":4' in reader.body) == (form == "sse")


async def test_plain_text_of_a_job_whose_record_goes_is_cut_and_not_ended(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id, "format=text")) as reader:
        writer.say("half")
        await reader.until_body(b"half")
        feed = api.state.hub.feeds[writer.job_id]
        feed.end(lost=True)
        feed.wake()
        await reader.end()
    assert not reader.complete


async def test_silence_is_broken_by_a_comment_without_a_blank_line(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id)) as reader, api.exchange(path(writer.job_id, "format=ndjson")) as other:
        await reader.until_body(b"started")
        await other.until_body(b"started")
        ticking = asyncio.create_task(keep_awake(api.state.relays, 0.001))
        try:
            await reader.until(lambda: reader.body.count(PING) >= 2)
        finally:
            ticking.cancel()
        assert PING not in other.body
        writer.say("a")
        await reader.until_body(b'"a"')
    assert b": ping\n\n" not in reader.body


async def test_a_stream_that_speaks_gets_no_comment(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id)) as reader:
        await reader.until_body(b"started")
        (relay,) = api.state.relays
        for text in "ab":
            writer.say(text)
            await reader.until_body(f'"{text}"'.encode())
            relay.tick()
        assert PING not in reader.body
        relay.tick()
        assert reader.body.endswith(PING)


async def test_a_comment_is_left_out_where_it_would_have_to_wait(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id)) as reader:
        await reader.until_body(b"started")
        (relay,) = api.state.relays
        relay.tick()
        reader.stop_reading()
        relay.tick()
        reader.read_on()
        writer.say("a")
        await reader.until_body(b'"a"')
    assert PING not in reader.body


class Broken(Exchange):
    """A server whose ``send`` raises once so many chunks have gone through."""

    def __init__(self, api: Api, target: str, error: Exception, after: int) -> None:
        super().__init__(api.front, target)
        self._error = error
        self._left = after

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            self._left -= 1
            if self._left < 0:
                raise self._error
        await super()._send(message)


@pytest.mark.parametrize("after", [0, 1])
async def test_a_client_that_left_without_a_word_is_no_error(api: Api, writer: Writer, after: int) -> None:
    async with Broken(api, path(writer.job_id), OSError("connection lost"), after) as reader:
        await until(lambda: bool(api.state.relays) and reader._left < 1)
        for seq, text in enumerate("abc", 3):
            writer.say(text)
            await until(lambda seq=seq: api.state.hub.feeds[writer.job_id].head == seq)  # type: ignore[misc]
        reader.leave()
        await reader.end()
    assert seqs(reader.body) == [1, 2][: 2 * after]
    assert api.at_rest


async def test_an_error_of_the_server_itself_is_not_hidden(api: Api, writer: Writer) -> None:
    async with Broken(api, path(writer.job_id), ValueError("broken"), 0) as reader:
        with pytest.raises(ValueError, match="broken"):
            await reader.end()
    assert api.at_rest


async def test_a_filtered_stream_sends_what_was_asked_for_and_the_end(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id, "types=progress")) as reader:
        await until(lambda: bool(api.state.relays))
        writer.say("not asked for")
        writer.finish()
        await reader.end()
    assert seqs(reader.body) == [4]


async def test_ndjson_is_one_event_a_line(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id, "format=ndjson")) as reader:
        await reader.until_body(b"started")
        writer.say("a\n\u2028b")
        writer.finish()
        await reader.end()
    assert reader.headers["content-type"].startswith("application/x-ndjson")
    events = [json.loads(line) for line in reader.body.decode().splitlines()]
    assert [event["seq"] for event in events] == [1, 2, 3, 4]
    assert events[2]["text"] == "a\n\u2028b"


async def test_plain_text_is_the_text_and_nothing_else(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id, "format=text")) as reader:
        writer.say("a\r\n", "b")
        await reader.until_body(b"b")
        writer.say("🎉")
        writer.finish()
        await reader.end()
    assert reader.complete
    assert reader.headers["content-type"].startswith("text/plain")
    assert reader.body.decode() == "a\r\nb🎉"


def try_again(writer: Writer) -> None:
    writer.finish("retrying", '{"code":"e","message":"m","retryable":true}')
    writer.begin()


async def test_plain_text_leaves_out_what_an_earlier_attempt_wrote_in_vain(api: Api, writer: Writer) -> None:
    writer.say("void ")
    try_again(writer)
    async with api.exchange(path(writer.job_id, "format=text")) as reader:
        writer.say("counts")
        writer.finish()
        await reader.end()
    assert reader.complete
    assert reader.body == b"counts"


async def test_plain_text_that_becomes_void_is_cut_and_not_ended(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id, "format=text")) as reader:
        writer.say("will be void")
        await reader.until_body(b"void")
        try_again(writer)
        await reader.end()
    assert not reader.complete


async def test_plain_text_goes_on_over_an_attempt_that_kept_it(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id, "format=text")) as reader:
        writer.say("kept ")
        writer.number += 1
        api.worker.append(writer.job_id, writer.number, checkpoint({}), attempt=1)
        await reader.until_body(b"kept")
        try_again(writer)
        writer.say("and more")
        writer.finish()
        await reader.end()
    assert reader.complete
    assert reader.body == b"kept and more"


async def test_a_slow_reader_of_plain_text_gets_it_once(api: Api, writer: Writer) -> None:
    async with api.exchange(path(writer.job_id, "format=text")) as reader:
        writer.say("one ")
        await reader.until_body(b"one")
        reader.stop_reading()
        writer.say("two ")
        await until(lambda: api.state.hub.feeds[writer.job_id].head == 4)
        writer.say("three")
        writer.finish()
        await until(lambda: api.state.hub.feeds[writer.job_id].head == 6)
        reader.read_on()
        await reader.end()
    assert reader.body == b"one two three"
