"""The Hub: replay and live joined without loss, one connection for all, and nothing left when readers leave."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from progress import keys
from progress.commands import Append, Command, CreateJob, Lifetimes, ReadHeads, ReadLog, Sweep, Watched
from progress.connect import AsyncRedisExecutor, RedisExecutor, dialer
from progress.errors import JobNotFound, StoreUnavailable
from progress.events import Draft, Event, Gap
from progress.feed import TAIL_EVENTS
from progress.hub import ActivityReader, Entry, Hub, HubClosing, Subscription, Waker
from progress.jobs import NewJob
from progress.listener import RedisListener
from progress.store import Store
from progress.testing import Memory, MemoryListener
from tests.support.backend import LIFETIMES, Backend, on_memory, on_redis, token
from tests.support.redis_server import RedisServer
from tests.support.waiting import turns, until

FEW = Lifetimes(60, 60, max_events=10)
QUICK_S = 0.02
"""How often a test's Hub looks whether it has missed something."""


class Bench:
    """A Hub on a Memory whose messages can be lost."""

    def __init__(self, audit_s: float = 60) -> None:
        self.memory = Memory()
        self.listener = self.memory.listener()
        self.store = on_memory(self.memory)
        self.hub = Hub(Store(self.memory.async_executor, LIFETIMES), self.listener, audit_s=audit_s)
        self.number = 0

    def start(self) -> str:
        """Makes a job that runs."""
        return self.store.started()

    def tell(self, job_id: str, *texts: str) -> None:
        """Publishes tokens."""
        self.number += 1
        self.store.append(job_id, self.number, *map(token, texts))

    def end(self, job_id: str) -> None:
        """Publishes the last event."""
        self.number += 1
        self.store.finish(job_id, self.number, "succeeded", "1")


async def opened(bench: Bench) -> AsyncIterator[Bench]:
    bench.hub.start()
    yield bench
    await bench.hub.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async for one in opened(Bench()):
        yield one


@pytest.fixture
async def auditing() -> AsyncIterator[Bench]:
    async for one in opened(Bench(QUICK_S)):
        yield one


def texts(entries: list[Entry]) -> str:
    return "".join(str(entry.data["text"]) for entry in entries if isinstance(entry, Event) and entry.type == "token")


def seqs(entries: list[Entry]) -> list[int]:
    return [entry.seq for entry in entries if isinstance(entry, Event)]


async def read_all(subscription: Subscription, slow: Callable[[], Any] | None = None) -> list[Entry]:
    found: list[Entry] = []
    with subscription:
        async for batch in subscription.batches(5):
            found += batch
            if slow:
                await slow()
    return found


async def follow(hub: Hub, job_id: str, after: int = 0, *, exact: bool = True) -> list[Entry]:
    return await asyncio.wait_for(read_all(await hub.subscribe(job_id, after, exact=exact)), 30)


async def settle() -> None:
    """Lets every task run that can."""
    await turns(20)


def assert_empty(bench: Bench) -> None:
    assert (bench.hub.feeds, bench.hub.waiting, bench.listener.subscribed) == ({}, set(), set())


async def test_an_ended_job_is_read_from_its_beginning(bench: Bench) -> None:
    job_id = bench.start()
    bench.tell(job_id, "a", "b")
    bench.end(job_id)
    entries = await follow(bench.hub, job_id)
    assert seqs(entries) == [1, 2, 3, 4, 5]
    assert isinstance(entries[-1], Event)
    assert entries[-1].is_terminal
    assert_empty(bench)


async def test_a_reader_resumes_after_its_cursor(bench: Bench) -> None:
    job_id = bench.start()
    bench.tell(job_id, "a", "b")
    bench.end(job_id)
    assert seqs(await follow(bench.hub, job_id, 3)) == [4, 5]


@pytest.mark.parametrize("after", [5, 99])
async def test_a_reader_at_or_past_the_end_gets_nothing(bench: Bench, after: int) -> None:
    job_id = bench.start()
    bench.tell(job_id, "a", "b")
    bench.end(job_id)
    with await bench.hub.subscribe(job_id, after) as subscription:
        assert subscription.ended
        assert await subscription.poll() == []


async def test_from_now_on_leaves_out_what_was_before(bench: Bench) -> None:
    job_id = bench.start()
    bench.tell(job_id, "before")
    with await bench.hub.subscribe(job_id, -1) as subscription:
        bench.tell(job_id, "after")
        await settle()
        assert texts([*await subscription.poll()]) == "after"


async def test_there_is_nothing_to_follow_without_a_job(bench: Bench) -> None:
    for _ in range(2):
        with pytest.raises(JobNotFound):
            await bench.hub.subscribe("nope", 0)
    assert_empty(bench)


async def test_what_is_published_while_a_feed_opens_is_neither_lost_nor_late(bench: Bench) -> None:
    job_id = bench.start()
    done: list[str] = []

    def publish_at_the_worst_moment(command: Command[Any]) -> None:
        # The answer is on its way: the Log has been read, and no Feed is there to take the message.
        if isinstance(command, ReadLog) and not done:
            done.append("x")
            bench.tell(job_id, "in between")

    bench.memory.after = publish_at_the_worst_moment
    with await bench.hub.subscribe(job_id, 0) as subscription:
        found: list[Entry] = []
        async for batch in subscription.batches(30):
            assert batch, "an audit, a minute away, would be the next to notice"
            found += batch
            if texts(found):
                break
    assert texts(found) == "in between"


async def test_a_lost_message_is_made_up_for_by_the_next_one(bench: Bench) -> None:
    job_id = bench.start()
    with await bench.hub.subscribe(job_id, -1) as subscription:
        bench.listener.deaf = True
        bench.tell(job_id, "lost")
        bench.listener.deaf = False
        bench.tell(job_id, "heard")
        bench.end(job_id)
        assert texts(await read_all(subscription)) == "lostheard"


async def test_a_lost_message_that_nothing_follows_is_found_by_the_audit(auditing: Bench) -> None:
    job_id = auditing.start()
    with await auditing.hub.subscribe(job_id, -1) as subscription:
        auditing.listener.deaf = True
        auditing.tell(job_id, "lost")
        auditing.end(job_id)
        assert texts(await read_all(subscription)) == "lost"


@pytest.mark.parametrize("comes", [True, False])
async def test_the_audit_gives_a_message_the_time_to_come(
    auditing: Bench, monkeypatch: pytest.MonkeyPatch, comes: bool
) -> None:
    monkeypatch.setattr("progress.audit.ON_ITS_WAY_S", 60 if comes else 2 * QUICK_S)
    job_id, compared = auditing.start(), asyncio.Event()
    on_their_way: list[Any] = []
    asked: list[Command[Any]] = []

    def note(command: Command[Any]) -> None:
        asked.append(command)
        if isinstance(command, ReadHeads):
            compared.set()

    with await auditing.hub.subscribe(job_id, -1) as subscription, monkeypatch.context() as slow:
        slow.setattr(auditing.listener, "hear", on_their_way.append)
        auditing.memory.before = note
        auditing.tell(job_id, "late")
        auditing.end(job_id)
        await compared.wait()
        slow.undo()
        for batch in on_their_way if comes else ():
            auditing.listener.hear(batch)
        assert texts(await read_all(subscription)) == "late"
    assert any(isinstance(command, ReadLog) for command in asked) != comes


async def test_after_a_reconnect_what_was_missed_is_read(bench: Bench) -> None:
    job_id = bench.start()
    with await bench.hub.subscribe(job_id, -1) as subscription:
        bench.listener.deaf = True
        bench.tell(job_id, "missed")
        bench.end(job_id)
        bench.listener.reconnect()
        assert texts(await read_all(subscription)) == "missed"


async def test_after_a_reconnect_what_redis_has_lost_is_submitted_again_and_its_readers_stay(bench: Bench) -> None:
    crash = bench.store.save()
    api = Store(bench.memory.async_executor, LIFETIMES)
    hub = Hub(api, bench.memory.listener(), audit_s=60)
    hub.start()
    job = (await api.create(NewJob("generate", {}, "llm"))).job
    with await bench.hub.subscribe(job.id, 0) as subscription:
        assert seqs(list(await subscription.poll())) == [1]
        crash()
        bench.listener.reconnect()
        await settle()
        assert not subscription.ended, "another API process is about to submit it again"
        for listener in bench.memory.listeners:
            listener.reconnect()
        await until(lambda: job.id in bench.memory.space.jobs)
        bench.store.begin(job.id)
        bench.store.finish(job.id, 1, "succeeded", "1")
        entries = await read_all(subscription)
        assert [entry.type for entry in entries] == ["started", "succeeded"], "and no gap: it has seen all there was"
    await hub.close()


async def test_after_a_reconnect_a_cancel_is_asked_for_until_others_could_speak(bench: Bench) -> None:
    api = Store(bench.memory.async_executor, LIFETIMES)
    hub = Hub(api, bench.memory.listener(), audit_s=60)
    hub.start()
    job_id = bench.store.create()
    crash = bench.store.save()
    bench.store.begin(job_id)
    await api.cancel(job_id)
    crash()
    for listener in bench.memory.listeners:
        listener.reconnect()
    await until(lambda: bench.store.read(job_id).cancel_requested)
    assert bench.store.read(job_id).status == "queued", "its holder would end it"
    bench.memory.advance(keys.SETTLE_MS)
    await until(lambda: bench.store.read(job_id).status == "cancelled")
    await hub.close()


async def test_after_a_crash_each_reader_is_told_what_it_may_have_missed(bench: Bench) -> None:
    job_id = bench.store.started(lease_ms=0)
    crash = bench.store.save()
    with (
        await bench.hub.subscribe(job_id, 0) as behind,
        await bench.hub.subscribe(job_id, -1, exact=True) as ahead,
    ):
        await behind.poll()
        bench.store.append(job_id, 1, token("lost"), lease_ms=0)
        await settle()
        assert len(await ahead.poll()) == 1
        crash()
        bench.store.swept()
        bench.memory.advance(keys.SETTLE_MS)
        assert bench.store.swept() == [job_id]
        bench.store.begin(job_id)
        bench.store.finish(job_id, 1, "succeeded", "1", attempt=2)
        entries = await read_all(ahead)
        first = seqs(entries)[0]
        assert first > keys.ROOM
        assert entries[0] == Gap(4, first - 1, job_id)
        assert seqs(entries) == seqs(await read_all(behind)) == [first, first + 1, first + 2]


async def test_what_a_crash_has_lost_and_is_written_again_is_no_gap(bench: Bench) -> None:
    job_id = bench.start()
    crash = bench.store.save()
    with await bench.hub.subscribe(job_id, -1) as early:
        bench.tell(job_id, "seen")
        await settle()
        assert texts(list(await early.poll())) == "seen"
        crash()
        bench.listener.reconnect()
        # Its head is that of those who have seen more; its tail begins there.
        bench.hub.feeds[job_id].skip_to(3)
        with await bench.hub.subscribe(job_id, 2) as late:
            with pytest.raises(StoreUnavailable):
                await late.poll()
            bench.number = 0
            bench.tell(job_id, "seen")
            assert texts(list(await late.poll())) == "seen"


async def test_a_feed_that_missed_more_than_a_page_reads_on(bench: Bench) -> None:
    job_id = bench.start()
    with await bench.hub.subscribe(job_id, -1, exact=True) as subscription:
        bench.listener.deaf = True
        for _ in range(9):
            bench.tell(job_id, *"0123456789" * 10)
        bench.listener.deaf = False
        bench.end(job_id)
        assert seqs(await read_all(subscription)) == list(range(3, 904))


async def test_while_redis_is_away_a_stream_stays_open_and_goes_on(auditing: Bench) -> None:
    job_id = auditing.start()
    away, refused = True, 0

    def fail(command: Command[Any]) -> None:
        nonlocal refused
        if away and command.script.startswith("read_"):
            refused += 1
            raise StoreUnavailable("away")

    with await auditing.hub.subscribe(job_id, 0) as subscription:
        auditing.memory.before = fail
        auditing.listener.deaf = True
        reading = asyncio.create_task(read_all(subscription))
        auditing.tell(job_id, "a")
        auditing.listener.reconnect()
        auditing.tell(job_id, "b")
        auditing.end(job_id)
        await until(lambda: refused > 1)
        assert not reading.done()
        away = False
        assert texts(await asyncio.wait_for(reading, 30)) == "ab"


async def test_what_the_log_has_lost_is_told_as_a_gap(bench: Bench) -> None:
    job_id = bench.store.started(lifetimes=FEW)
    bench.tell(job_id, *"0123456789" * 3)
    bench.end(job_id)
    entries = await follow(bench.hub, job_id, 5)
    assert entries[0] == Gap(6, 23, job_id)
    assert seqs(entries) == list(range(24, 34))


async def test_a_log_that_has_expired_is_one_gap_and_an_end(bench: Bench) -> None:
    job_id = bench.store.ended(lifetimes=Lifetimes(1, 60, max_events=10))
    bench.memory.advance(1001)
    assert await follow(bench.hub, job_id, 1) == [Gap(2, 3, job_id)]


async def test_a_feed_that_missed_what_the_log_has_lost_since_goes_on_behind_it(bench: Bench) -> None:
    job_id = bench.store.started(lifetimes=FEW)
    with await bench.hub.subscribe(job_id, -1) as subscription:
        bench.listener.deaf = True
        bench.tell(job_id, *"0123456789" * 3)
        bench.listener.deaf = False
        bench.end(job_id)
        entries = await read_all(subscription)
    assert entries[0] == Gap(3, 23, job_id)
    assert seqs(entries)[-1] == 33


async def test_when_the_record_is_gone_readers_end_and_can_tell(auditing: Bench) -> None:
    job_id = auditing.start()
    with await auditing.hub.subscribe(job_id, -1) as live, await auditing.hub.subscribe(job_id, 0) as replay:
        auditing.memory.flush()
        assert await asyncio.wait_for(read_all(live), 30) == []
        assert await replay.poll() == [Gap(1, 2, job_id)]
        assert (live.lost, replay.lost, replay.ended) == (True, True, True)


async def test_a_slow_reader_falls_back_to_the_log_and_loses_nothing(bench: Bench) -> None:
    job_id = bench.store.started()
    with await bench.hub.subscribe(job_id, -1, exact=True) as slow:
        for _ in range(30):
            bench.tell(job_id, *"0123456789" * 10)
        bench.end(job_id)
        await settle()
        feed = bench.hub.feeds[job_id]
        assert len(feed.after(feed.base) or []) <= TAIL_EVENTS
        entries = await read_all(slow)
    assert texts(entries) == "0123456789" * 300
    assert seqs(entries) == list(range(3, 3004))


async def test_who_is_behind_gets_neighbouring_tokens_joined_unless_exact(bench: Bench) -> None:
    job_id = bench.start()
    bench.tell(job_id, *"abc")
    bench.end(job_id)
    joined, exact = await follow(bench.hub, job_id, 2, exact=False), await follow(bench.hub, job_id, 2)
    assert (seqs(joined), seqs(exact)) == ([5, 6], [3, 4, 5, 6])
    assert texts(joined) == texts(exact) == "abc"


async def test_readers_who_start_together_read_the_log_once(bench: Bench) -> None:
    job_id = bench.store.ended()
    reads: list[Command[Any]] = []
    bench.memory.before = lambda command: reads.append(command) if isinstance(command, ReadLog) else None
    results = await asyncio.gather(*(follow(bench.hub, job_id) for _ in range(200)))
    assert all(seqs(found) == [1, 2, 3] for found in results)
    assert len(reads) == 2  # where it ends, and what it holds
    assert_empty(bench)


async def test_a_reader_cancelled_while_its_feed_opens_leaves_nothing_behind(bench: Bench) -> None:
    job_id = bench.start()
    for steps in range(8):
        task = asyncio.create_task(bench.hub.subscribe(job_id, 0))
        await turns(steps)
        task.cancel()
        if not (await asyncio.gather(task, return_exceptions=True))[0] or not task.cancelled():
            task.result().close()
        await settle()
        assert_empty(bench)


async def test_a_reader_who_comes_as_another_is_cancelled_gets_the_feed(bench: Bench) -> None:
    job_id = bench.start()
    for steps in range(8):
        first = asyncio.create_task(bench.hub.subscribe(job_id, 0))
        await turns(steps)
        second = asyncio.create_task(bench.hub.subscribe(job_id, 0))
        first.cancel()
        subscription = await second
        if not first.cancelled():
            first.result().close()
        bench.tell(job_id, "t")
        await settle()
        assert texts([*await subscription.poll(), *await subscription.poll()]).endswith("t")
        subscription.close()
        assert_empty(bench)


async def test_one_who_leaves_at_once_does_not_take_the_feed_from_those_who_still_wait(bench: Bench) -> None:
    job_id = bench.start()

    async def visit() -> None:
        (await bench.hub.subscribe(job_id, 0)).close()

    staying = asyncio.gather(*(bench.hub.subscribe(job_id, -1) for _ in range(3)))
    await asyncio.gather(visit(), visit(), staying)
    bench.tell(job_id, "t")
    await settle()
    for subscription in await staying:
        assert texts([*await subscription.poll()]) == "t"
        subscription.close()
    assert_empty(bench)


async def test_a_feed_that_could_not_be_opened_can_be_opened_later(bench: Bench) -> None:
    job_id = bench.start()

    def fail(_command: Command[Any]) -> None:
        raise StoreUnavailable("away")

    bench.memory.before = fail
    results = await asyncio.gather(*(bench.hub.subscribe(job_id, 0) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * 3
    assert_empty(bench)
    bench.memory.before = lambda _command: None
    (await bench.hub.subscribe(job_id, 0)).close()
    assert_empty(bench)


async def test_a_thousand_visits_leave_every_map_empty(bench: Bench) -> None:
    ids = [bench.start() for _ in range(20)]

    async def visit(n: int) -> None:
        with await bench.hub.subscribe(ids[n % 20], 0) as subscription:
            await subscription.poll()

    await asyncio.gather(*(visit(n) for n in range(1000)))
    await settle()
    assert_empty(bench)
    assert (bench.hub._opening, bench.hub._reading, bench.hub._catching_up) == ({}, {}, {})


async def test_one_who_leaves_while_the_log_is_read_disturbs_nobody(bench: Bench) -> None:
    job_id = bench.start()
    with await bench.hub.subscribe(job_id, 0) as staying, await bench.hub.subscribe(job_id, 0) as leaving:
        polls = [asyncio.create_task(one.poll()) for one in (leaving, staying)]
        await turns()
        polls[0].cancel()
        assert seqs([*await polls[1]]) == [1, 2]


async def test_a_message_for_nobody_disturbs_nobody(bench: Bench) -> None:
    gone, job_id = bench.start(), bench.start()
    with await bench.hub.subscribe(job_id, -1) as subscription:
        bench.listener.subscribed.add(keys.live(gone))  # given up a moment ago: what was under way still comes
        bench.store.append(gone, 1, token("x"))
        bench.listener.subscribed.discard(keys.live(gone))
        bench.tell(job_id, "t")
        await settle()
        assert texts([*await subscription.poll()]) == "t"


async def test_silence_is_told_so_that_streams_can_be_kept_awake(bench: Bench) -> None:
    job_id = bench.start()
    with await bench.hub.subscribe(job_id, -1) as subscription:
        async for batch in subscription.batches(0.01):
            assert batch == []
            break


async def test_one_task_may_wait_for_several_subscriptions(bench: Bench) -> None:
    waker, ids = Waker(bench.hub), [bench.start(), bench.start()]
    with (
        await bench.hub.subscribe(ids[0], -1, waker=waker) as first,
        await bench.hub.subscribe(ids[1], -1, waker=waker) as second,
    ):
        bench.tell(ids[1], "t")
        assert await waker.wait(30)
        assert (await first.poll(), texts([*await second.poll()])) == ([], "t")
        assert not await waker.wait(0.001)


async def test_a_driven_reader_is_woken_and_peeks(bench: Bench) -> None:
    class Driven:
        woken = 0

        def wake(self) -> None:
            self.woken += 1

    job_id, driven = bench.start(), Driven()
    with await bench.hub.subscribe(job_id, -1, waker=driven) as subscription:
        bench.tell(job_id, "t")
        await settle()
        peeked = subscription.peek()
        assert peeked is not None
        assert (driven.woken, subscription.peek_sse()) == (1, peeked[0].sse)
        subscription.advance()
        assert (subscription.peek(), subscription.cursor) == ([], 3)
        with pytest.raises(TypeError, match="driven"):
            await anext(subscription.batches(1))


async def test_a_reader_who_is_ahead_of_the_messages_gets_nothing_twice(bench: Bench) -> None:
    """It has read the Log, which knew the events before their messages came."""
    job_id = bench.start()
    with await bench.hub.subscribe(job_id, 4, waker=Waker(bench.hub)) as subscription:
        for text, expected in (("a", []), ("b", []), ("c", [5])):
            subscription.advance()
            bench.tell(job_id, text)
            await settle()
            assert seqs([*(subscription.peek() or [])]) == expected


@pytest.mark.parametrize("waiting", [True, False])
async def test_when_the_hub_closes_readers_end_at_an_event_boundary(bench: Bench, waiting: bool) -> None:
    job_id = bench.start()
    with await bench.hub.subscribe(job_id, -1) as subscription:
        reading = asyncio.create_task(read_all(subscription))
        if waiting:
            await until(lambda: bool(bench.hub.waiting))
        bench.hub.announce_close()
        with pytest.raises(HubClosing):
            await asyncio.wait_for(reading, 30)


async def test_a_waker_without_subscriptions_is_told_too(bench: Bench) -> None:
    waiting = asyncio.create_task(Waker(bench.hub).wait(60))
    await until(lambda: bool(bench.hub.waiting))
    bench.hub.announce_close()
    with pytest.raises(HubClosing):
        await asyncio.wait_for(waiting, 30)


async def test_closing_ends_those_who_still_open_or_read(bench: Bench) -> None:
    job_id = bench.start()
    with await bench.hub.subscribe(job_id, 0) as subscription:
        polling = asyncio.create_task(subscription.poll())
        opening = asyncio.create_task(bench.hub.subscribe(bench.start(), 0))
        await turns()
        await bench.hub.close()
        for task in (polling, opening):
            with pytest.raises(StoreUnavailable, match="going away"):
                await task
        with pytest.raises(StoreUnavailable, match="going away"):
            await bench.hub.subscribe("other", 0)


async def test_a_hub_that_never_started_can_be_closed() -> None:
    await Bench().hub.close()


async def test_activity_tells_state_changes_of_all_jobs_and_no_text(bench: Bench) -> None:
    async with AsyncExitStack() as stack:
        reader = await bench.hub.follow_activity(stack)
        job_id = bench.start()
        bench.tell(job_id, "secret")
        bench.store.append(job_id, 2, Draft.of("progress", fraction=0.5))
        bench.store.finish(job_id, 3, "succeeded", '"secret"')
        await settle()
        events = await reader.next(30)
        assert [event.type for event in events] == ["queued", "started", "progress", "succeeded"]
        assert {(event.data["job"], event.data["kind"]) for event in events} == {(job_id, "generate")}
        assert b"secret" not in b"".join(event.raw for event in events)
        assert await reader.next(0.001) == []
    assert bench.hub.activity_readers == set()
    assert_empty(bench)


async def test_activity_goes_on_for_those_who_stay(bench: Bench) -> None:
    async with AsyncExitStack() as staying:
        reader = await bench.hub.follow_activity(staying)
        async with AsyncExitStack() as leaving:
            await bench.hub.follow_activity(leaving)
        bench.start()
        assert [event.type for event in await reader.next(30)] == ["queued", "started"]


async def test_a_slow_reader_of_activity_is_told_to_begin_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActivityReader, "BACKLOG", 50)
    async with AsyncExitStack() as stack:
        reader = await bench.hub.follow_activity(stack)
        for _ in range(50):
            bench.store.create()
        await settle()
        assert not reader.overflowed
        bench.store.create()
        await settle()
        assert reader.overflowed
        assert await reader.next(30) == []


async def test_after_a_reconnect_activity_begins_anew_and_after_the_end_it_ends(bench: Bench) -> None:
    async with AsyncExitStack() as stack:
        reader = await bench.hub.follow_activity(stack)
        bench.listener.reconnect()
        assert (await reader.next(30), reader.overflowed) == ([], True)
        bench.hub.announce_close()
        with pytest.raises(HubClosing):
            await reader.next(30)


class Real:
    """A Hub on a real server."""

    def __init__(self, server: RedisServer, url: str) -> None:
        self.server = server
        self.executor = RedisExecutor(url)
        self.asynchronous = AsyncRedisExecutor(url)
        self.store = on_redis(self.executor, server)
        self.hub = Hub(Store(self.asynchronous, LIFETIMES), RedisListener(dialer(url)), audit_s=0.1)

    async def close(self) -> None:
        await self.hub.close()
        await self.asynchronous.close()
        self.executor.close()

    def pubsub_clients(self) -> list[str]:
        listed = str(self.server.command("CLIENT", "LIST", "TYPE", "PUBSUB"))
        return [line for line in listed.splitlines() if "id=" in line] or [listed] * ("id" in listed)


@pytest.fixture
async def real(redis_server: RedisServer, redis_url: str) -> AsyncIterator[Real]:
    real = Real(redis_server, redis_url)
    real.hub.start()
    yield real
    await real.close()


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server that a test may stop; it keeps its data."""
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


def publish(store: Backend, job_id: str, count: int) -> str:
    """Writes tokens and the end, as a worker does."""
    for number in range(1, count + 1):
        store.run(Append(store.claim(job_id), number, 60_000, (token(f"{number} "),)))
    store.finish(job_id, count + 1, "succeeded", "1")
    return "".join(f"{number} " for number in range(1, count + 1))


@pytest.mark.slow
async def test_replay_and_live_join_without_loss_while_a_worker_publishes(real: Real) -> None:
    job_id = real.store.started()
    publishing = asyncio.create_task(asyncio.to_thread(publish, real.store, job_id, 1500))
    readers: list[asyncio.Task[list[Entry]]] = []

    def joined() -> bool:
        readers.append(asyncio.create_task(follow(real.hub, job_id, exact=len(readers) % 2 == 0)))
        return publishing.done()

    await until(joined)
    text = await publishing
    for n, found in enumerate(await asyncio.gather(*readers)):
        assert texts(found) == text
        assert n % 2 or seqs(found) == list(range(1, 1504))
    assert len(readers) > 5
    assert real.hub.feeds == {}


async def test_200_readers_share_one_connection(real: Real) -> None:
    ids = [real.store.started() for _ in range(50)]
    subscriptions = [await real.hub.subscribe(job_id, 0) for job_id in ids * 4]
    listed = str(real.server.command("CLIENT", "LIST", "TYPE", "PUBSUB"))
    assert f"sub={len(ids)}" in listed or f"'sub': '{len(ids)}'" in listed
    assert real.server.command("PUBSUB", "NUMSUB", keys.live(ids[0])) == [keys.live(ids[0]), 1]
    for subscription in subscriptions:
        subscription.close()
    await until(lambda: real.server.command("PUBSUB", "CHANNELS") == [])


async def test_a_killed_connection_is_opened_again_and_nothing_is_lost(real: Real) -> None:
    job_id = real.store.started()
    reading = asyncio.create_task(read_all(await real.hub.subscribe(job_id, 0)))
    publishing = asyncio.create_task(asyncio.to_thread(publish, real.store, job_id, 1000))

    def killed() -> bool:
        real.server.command("CLIENT", "KILL", "TYPE", "PUBSUB")
        return publishing.done()

    await until(killed)
    assert texts(await asyncio.wait_for(reading, 30)) == await publishing


async def test_a_restart_of_redis_ends_no_stream(own_server: RedisServer) -> None:
    real = Real(own_server, own_server.url)
    real.hub.start()
    try:
        job_id = real.store.started()
        reading = asyncio.create_task(read_all(await real.hub.subscribe(job_id, 0)))
        real.store.append(job_id, 1, token("before "))
        await asyncio.to_thread(own_server.kill)
        await asyncio.to_thread(own_server.start)
        real.store.append(job_id, 2, token("after"))
        real.store.finish(job_id, 3, "succeeded", "1")
        assert texts(await asyncio.wait_for(reading, 30)) == "before after"
    finally:
        await real.close()


@pytest.mark.slow
async def test_a_flush_in_the_middle_of_a_stream_ends_it_as_lost(real: Real) -> None:
    job_id = real.store.started()
    with await real.hub.subscribe(job_id, 0) as subscription:
        reading = asyncio.create_task(read_all(subscription))
        await until(lambda: bool(real.hub.waiting))
        real.server.command("FLUSHALL")
        assert seqs(await asyncio.wait_for(reading, 30)) == [1, 2]
        assert subscription.lost


async def test_many_jobs_with_many_readers_each_get_their_own_text(real: Real) -> None:
    ids = [real.store.started() for _ in range(10)]
    readers = [asyncio.create_task(follow(real.hub, job_id, exact=False)) for job_id in ids for _ in range(4)]
    expected = await asyncio.gather(*(asyncio.to_thread(publish, real.store, job_id, 40) for job_id in ids))
    found = [texts(entries) for entries in await asyncio.gather(*readers)]
    assert found == [text for text in expected for _ in range(4)]
    assert real.hub.feeds == {}


def test_a_deaf_listener_is_what_the_tests_above_believe() -> None:
    memory = Memory()
    listener = MemoryListener(memory)
    listener.hear([(b"x", b"y")])  # nobody has subscribed: nothing to hand over
    assert listener.subscribed == set()


async def test_readers_of_a_job_that_wants_them_are_noted_as_they_come_and_leave() -> None:
    memory = Memory()
    noted: list[Watched] = []
    memory.before = lambda command: noted.append(command) if isinstance(command, Watched) else None
    executor = memory.executor
    wanting, other = (NewJob("k", {}, "llm", cancel_after_s=seconds) for seconds in (60.0, None))
    for new in (wanting, other):
        executor.run(CreateJob(new, Lifetimes(60, 60, 100)))
    hub = Hub(Store(memory.async_executor, Lifetimes(60, 60, 100)), memory.listener(), audit_s=0.01)
    hub.start()
    try:
        with await hub.subscribe(wanting.id, 0), await hub.subscribe(other.id, 0):
            await until(lambda: len(noted) >= 3)
        assert {command.job_ids for command in noted} == {(wanting.id,)}
        assert noted[-1].slack_ms > 0, "until the next audit"
        await until(lambda: noted[-1].slack_ms == 0)
    finally:
        await hub.close()


async def test_a_job_is_not_cancelled_while_another_process_has_readers_of_it(redis_url: str) -> None:
    lifetimes, worker = Lifetimes(60, 60, 100), RedisExecutor(redis_url)
    executors = [AsyncRedisExecutor(redis_url) for _ in range(2)]
    first, second = (Hub(Store(each, lifetimes), RedisListener(dialer(redis_url))) for each in executors)
    new = NewJob("k", {}, "llm", cancel_after_s=0.02)
    first.start()
    second.start()
    try:
        worker.run(CreateJob(new, lifetimes))
        with await first.subscribe(new.id, 0):
            with await second.subscribe(new.id, 0):
                pass
            await until(lambda: not second._watching)
            await asyncio.sleep(0.03)
            worker.run(Sweep("w", 10_000))
            assert (await Store(executors[0], lifetimes).get(new.id)).status == "queued"
    finally:
        for hub, executor in zip((first, second), executors, strict=True):
            await hub.close()
            await executor.close()
        worker.close()


async def test_readers_that_cannot_be_noted_are_read_to_all_the_same() -> None:
    memory = Memory()

    def refuse(command: Command[Any]) -> None:
        if isinstance(command, Watched):
            raise StoreUnavailable("away")

    memory.before = refuse
    new = NewJob("k", {}, "llm", cancel_after_s=60.0)
    memory.executor.run(CreateJob(new, Lifetimes(60, 60, 100)))
    hub = Hub(Store(memory.async_executor, Lifetimes(60, 60, 100)), memory.listener())
    hub.start()
    try:
        with await hub.subscribe(new.id, 0) as subscription:
            assert [event.type for event in await subscription.poll()] == ["queued"]
    finally:
        await hub.close()
