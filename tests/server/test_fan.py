"""Several logs in one connection: what comes from any of them, and the cursor over all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from progress.commands import Command, ReadLog
from progress.errors import InvalidCursor, JobNotFound, StoreUnavailable
from progress.hub import Entry, Hub, HubClosing
from progress.jobs import uuid7
from server.fan import Fan, decode_cursor, encode_cursor
from tests.support.api import Api
from tests.support.backend import token
from tests.support.waiting import turns

Batches = AsyncIterator[tuple[str, Sequence[Entry]]]


@pytest.fixture
def hub(api: Api) -> Hub:
    return api.state.hub


@pytest.fixture
async def fan(hub: Hub) -> AsyncIterator[Fan]:
    fan = Fan(hub)
    yield fan
    fan.close()


async def following(batches: Batches) -> tuple[str, list[str]]:
    """The next batch: its job, and the types of what it brings."""
    async with asyncio.timeout(30):
        job_id, entries = await anext(batches)
    return job_id, [entry.type for entry in entries]


async def test_each_job_brings_its_own_events(api: Api, fan: Fan) -> None:
    one, other = api.job(), api.job()
    for job_id in (one, other):
        await fan.add(job_id, 0)
    batches = fan.batches(60)
    assert [await following(batches), await following(batches)] == [(one, ["queued"]), (other, ["queued"])]
    api.worker.begin(other)
    assert await following(batches) == (other, ["started"])


async def test_a_job_that_ends_is_left_and_says_so_once(api: Api, fan: Fan) -> None:
    job_id = api.worker.ended(kind="echo")
    await fan.add(job_id, 3)
    await fan.add(api.job(), 1)
    batches = fan.batches(0.01)
    assert await following(batches) == (job_id, [])
    assert await following(batches) == ("", [])
    assert job_id not in fan.subscriptions


async def test_silence_is_an_empty_batch_of_no_job(api: Api, fan: Fan) -> None:
    await fan.add(api.job(), 1)
    assert await following(fan.batches(0.01)) == ("", [])


async def test_a_fan_without_jobs_waits_for_some(api: Api, fan: Fan) -> None:
    batches = fan.batches(60)
    waiting = asyncio.ensure_future(following(batches))
    await turns()
    job_id = api.job()
    await fan.add(job_id, 0)
    assert await waiting == (job_id, ["queued"])


async def test_a_job_that_there_is_not_changes_nothing(api: Api, fan: Fan) -> None:
    with pytest.raises(JobNotFound):
        await fan.add("no-such-job", 0)
    assert fan.subscriptions == {}


async def test_a_job_that_is_followed_already_starts_anew(api: Api, fan: Fan) -> None:
    job_id = api.worker.started(kind="echo")
    await fan.add(job_id, 0)
    batches = fan.batches(60)
    assert await following(batches) == (job_id, ["queued", "started"])
    await fan.add(job_id, 1)
    assert await following(batches) == (job_id, ["started"])
    assert len(api.state.hub.feeds[job_id].readers) == 1


async def test_a_job_that_was_left_brings_nothing_more_even_in_the_same_round(api: Api, fan: Fan) -> None:
    one, other, third = api.job(), api.job(), api.job()
    for job_id in (one, other, third):
        await fan.add(job_id, 0)
    batches = fan.batches(60)
    assert await following(batches) == (one, ["queued"])
    assert fan.remove(other)
    assert not fan.remove(other)
    assert await following(batches) == (third, ["queued"])


async def test_who_holds_it_steady_sees_no_batch_begin(api: Api, fan: Fan) -> None:
    job_id = api.job()
    await fan.add(job_id, 0)
    batches = fan.batches(60)
    async with fan.steady:
        waiting = asyncio.ensure_future(following(batches))
        await turns(10)
        assert not waiting.done()
        fan.remove(job_id)
        await fan.add(job_id, -1)
    api.worker.begin(job_id)
    assert await waiting == (job_id, ["started"])


async def test_a_log_that_cannot_be_read_is_asked_for_again_soon(api: Api, fan: Fan) -> None:
    asked = 0

    def away(command: Command[Any]) -> None:
        nonlocal asked
        if isinstance(command, ReadLog) and command.limit:
            asked += 1
            if asked < 3:
                raise StoreUnavailable("away")

    one, other = api.job(), api.job()
    await fan.add(one, 0)
    await fan.add(other, 1)
    api.memory.before = away
    batches = fan.batches(60)
    waiting = asyncio.ensure_future(following(batches))
    # Meanwhile others go on.
    await turns()
    api.worker.begin(other)
    assert await waiting == (other, ["started"])
    assert await following(batches) == (one, ["queued"])


async def test_the_end_of_the_process_is_told(api: Api, fan: Fan) -> None:
    await fan.add(api.job(), 1)
    batches = fan.batches(60)
    waiting = asyncio.ensure_future(following(batches))
    await turns()
    api.state.hub.announce_close()
    with pytest.raises(HubClosing):
        await waiting


async def test_events_come_joined_unless_asked_for_exactly(api: Api, hub: Hub) -> None:
    job_id = api.worker.started(kind="echo")
    api.worker.append(job_id, 1, token("a"), token("b"))
    for exact, types in ((False, ["queued", "started", "token"]), (True, ["queued", "started", "token", "token"])):
        fan = Fan(hub)
        await fan.add(job_id, 0, exact=exact)
        assert await following(fan.batches(60)) == (job_id, types)
        fan.close()


def test_a_cursor_comes_back_as_it_went() -> None:
    positions = {uuid7(): 0, uuid7(): 7, uuid7(): 10**15 - 1}
    assert decode_cursor(encode_cursor(positions), positions) == positions
    assert "\n" not in encode_cursor(positions)


def test_a_cursor_knows_nothing_of_new_jobs_and_forgets_others() -> None:
    known, added, left = uuid7(), uuid7(), uuid7()
    assert decode_cursor(encode_cursor({known: 7, left: 9}), [known, added]) == {known: 7, added: 0}
    assert decode_cursor("", [known]) == {known: 0}


@pytest.mark.parametrize("text", ["0", "-1"])
def test_the_start_and_the_end_are_positions_in_all_of_them(text: str) -> None:
    one, other = uuid7(), uuid7()
    assert decode_cursor(text, [one, other]) == {one: int(text), other: int(text)}


@pytest.mark.parametrize(
    "text", ["7", "-2", "abc.7", "0123456789ab.", "0123456789ab.-1", "0123456789ab.٣", "0123456789ab.1,"]
)
def test_a_cursor_of_somebody_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(text, [uuid7()])


def test_an_absurd_cursor_is_refused() -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(f"0123456789ab.{'9' * 16}", [])
