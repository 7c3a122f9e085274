"""Live events of a cluster: each job's channel on the node that has it, wherever that goes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from progress import factory, keys
from progress.address import Address
from progress.cluster import AsyncClusterExecutor
from progress.cluster_listener import ClusterListener
from progress.commands import Lifetimes
from progress.errors import StoreUnavailable
from progress.events import Event
from progress.hub import Hub
from progress.jobs import uuid7
from progress.readers import Subscription
from progress.store import Store
from tests.support.backend import Backend, token
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.slow]


class Desk:
    """A Hub on a cluster, and a worker's side to write with."""

    def __init__(self, cluster: RedisCluster) -> None:
        self.cluster = cluster
        self.listener = ClusterListener(Address.parse(cluster.url))
        self.executor = AsyncClusterExecutor(cluster.url)
        self.hub = Hub(Store(self.executor, Lifetimes(60, 60, 1000)), self.listener)
        self.blocking = factory.executor(cluster.url)
        self.worker = Backend("cluster", self.blocking, lambda _ms: None, lambda: lambda: None, lambda: None)

    async def job(self, partition: int) -> str:
        """A job that runs there."""
        job_id = f"{uuid7()[:-1]}{partition:x}"
        await asyncio.to_thread(self.worker.started, id=job_id)
        return job_id

    async def say(self, job_id: str, number: int) -> None:
        """Appends a token: the text is its number. Neighbours may be joined on the way."""

        async def said() -> bool:
            try:
                answer = await asyncio.to_thread(self.worker.append, job_id, number, token(f"{number} "))
            except StoreUnavailable:
                return False
            assert answer.answer == "ok"
            return True

        await until(said)


@asynccontextmanager
async def desk_on(cluster: RedisCluster) -> AsyncIterator[Desk]:
    desk = Desk(cluster)
    desk.hub.start()
    try:
        yield desk
    finally:
        await desk.hub.close()
        await desk.executor.close()
        desk.blocking.close()


@pytest.fixture
async def desk(cluster: RedisCluster) -> AsyncIterator[Desk]:
    async with desk_on(cluster) as desk:
        yield desk


def channels(node: RedisServer) -> set[str]:
    """The shard channels that somebody follows on a node."""
    answer = node.command("PUBSUB", "SHARDCHANNELS")
    assert isinstance(answer, list)
    return {str(name) for name in answer}


def channel(job_id: str) -> str:
    return keys.prefix_of(keys.partition_of(job_id)) + keys.live(job_id).removeprefix(keys.PREFIX)


def published(node: RedisServer) -> int:
    """How many messages a node has been told to publish, by clients, scripts or the other nodes."""
    stats = node.info("commandstats")
    found = [line for line in stats.splitlines() if line.startswith(("cmdstat_publish:", "cmdstat_spublish:"))]
    return sum(int(line.partition("calls=")[2].partition(",")[0]) for line in found)


def bus_messages(node: RedisServer) -> int:
    """How many published messages a node has had from others."""
    with node.client() as client:
        told: dict[str, str] = client.execute_command("CLUSTER INFO")
    names = ("cluster_stats_messages_publish_received", "cluster_stats_messages_publishshard_received")
    return sum(int(told.get(name, 0)) for name in names)


async def read_up_to(reader: Subscription, seq: int) -> list[int]:
    """The numbers of the tokens that come, until a ``seq`` is there."""
    found: list[int] = []
    async with asyncio.timeout(30):
        async for entries in reader.batches(60):
            for event in entries:
                assert isinstance(event, Event)
                if event.type == "token":
                    found += map(int, event.data["text"].split())
            if reader.cursor >= seq:
                break
    return found


async def test_each_channel_is_on_the_node_that_has_its_job_and_nowhere_else(desk: Desk) -> None:
    jobs = [await desk.job(partition) for partition in range(keys.PARTITIONS)]
    readers = [await desk.hub.subscribe(job_id, -1) for job_id in jobs]
    owners = [desk.cluster.owner(partition) for partition in range(keys.PARTITIONS)]
    for node in desk.cluster.masters:
        owned = {channel(job_id) for job_id, owner in zip(jobs, owners, strict=True) if owner is node}
        assert channels(node) == owned
    for job_id, reader in zip(jobs, readers, strict=True):
        await desk.say(job_id, 1)
        assert await read_up_to(reader, 3) == [1]
        reader.close()
    await until(lambda: not any(channels(node) for node in desk.cluster.masters))


async def test_a_message_reaches_no_other_node(desk: Desk) -> None:
    job_id = await desk.job(4)
    owner = desk.cluster.owner(4)
    others = [node for node in desk.cluster.masters if node is not owner]
    with await desk.hub.subscribe(job_id, -1) as reader:
        before = published(owner), [published(node) for node in others], [bus_messages(node) for node in others]
        for number in range(1, 101):
            await desk.say(job_id, number)
        assert await read_up_to(reader, 102) == [*range(1, 101)]
        assert published(owner) == before[0] + 100
        assert [published(node) for node in others] == before[1]
        assert [bus_messages(node) for node in others] == before[2]


async def test_a_process_has_one_pub_sub_connection_to_each_node(desk: Desk) -> None:
    jobs = [await desk.job(number % keys.PARTITIONS) for number in range(50)]
    readers = [await desk.hub.subscribe(job_id, -1) for job_id in jobs for _ in range(3)]
    for node in desk.cluster.masters:
        assert "pubsub_clients:1\r\n" in node.info("clients")
    for reader in readers:
        reader.close()


async def test_activity_comes_from_all_nodes(desk: Desk) -> None:
    async with AsyncExitStack() as stack:
        activity = await desk.hub.follow_activity(stack)
        jobs = {await desk.job(partition) for partition in range(keys.PARTITIONS)}
        seen: set[str] = set()
        async with asyncio.timeout(30):
            while seen < jobs:
                seen |= {str(event.data["job"]) for event in await activity.next(30)}


@pytest.fixture
def given_back(cluster: RedisCluster) -> Iterator[RedisCluster]:
    """The cluster; afterwards partition 3 is where it was."""
    owner = cluster.owner(3)
    yield cluster
    if cluster.owner(3) is not owner:
        for _ in cluster.give(3, owner):
            pass


async def test_a_slot_that_moves_in_mid_stream_loses_nothing(given_back: RedisCluster) -> None:
    cluster = given_back
    async with desk_on(cluster) as desk:
        source = cluster.owner(3)
        target = next(node for node in cluster.masters if node is not source)
        job_id, beside = await desk.job(3), await desk.job(4)
        for _ in range(20):
            await asyncio.to_thread(desk.worker.create, id=f"{uuid7()[:-1]}3")
        with await desk.hub.subscribe(job_id, 0) as reader, await desk.hub.subscribe(beside, 0) as other:
            reading, reading_beside = (asyncio.create_task(read_up_to(each, 302)) for each in (reader, other))
            speaking = asyncio.create_task(speak(desk, job_id, 300))
            speaking_beside = asyncio.create_task(speak(desk, beside, 300))
            moving = cluster.give(3, target, step=5)
            while await asyncio.to_thread(next, moving, None) is not None:
                # Between two steps there is time for something to be said.
                await asyncio.to_thread(desk.worker.log, beside)
            await speaking
            await speaking_beside
            assert await reading == [*range(1, 301)]
            assert await reading_beside == [*range(1, 301)]
            assert channels(target) >= {channel(job_id)}
            assert channel(job_id) not in channels(source)
        page = await asyncio.to_thread(desk.worker.log, job_id)
        assert page.last_seq == 302


async def speak(desk: Desk, job_id: str, count: int) -> None:
    for number in range(1, count + 1):
        await desk.say(job_id, number)


async def test_a_job_whose_slot_is_on_its_way_is_never_said_to_be_gone(given_back: RedisCluster) -> None:
    cluster = given_back
    async with desk_on(cluster) as desk:
        job_id = await desk.job(3)
        source = cluster.owner(3)
        target = next(node for node in cluster.masters if node is not source)
        store = Store(desk.executor, Lifetimes(60, 60, 1000))
        for _ in cluster.give(3, target, step=4):
            # Half here, half there: refused, and not half seen.
            with pytest.raises(StoreUnavailable):
                await store.get(job_id)
        assert (await store.get(job_id)).id == job_id


async def test_a_connection_that_breaks_is_opened_anew_and_caught_up(desk: Desk) -> None:
    job_id = await desk.job(9)
    with await desk.hub.subscribe(job_id, 0) as reader:
        for number in range(1, 31):
            if number % 10 == 0:
                desk.cluster.owner(9).command("CLIENT", "KILL", "TYPE", "PUBSUB")
            await desk.say(job_id, number)
        assert await read_up_to(reader, 32) == [*range(1, 31)]


async def test_without_any_node_a_subscription_is_refused_in_time() -> None:
    listener = ClusterListener(Address.parse("redis+cluster://127.0.0.1:1"))
    listener.start(lambda _batch: None, lambda: None)
    with pytest.raises(StoreUnavailable, match="no node"):
        await listener.subscribe(keys.live(uuid7()))
    assert not listener.connected
    await listener.close()
