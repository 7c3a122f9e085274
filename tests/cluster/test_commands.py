"""Every command on a real cluster: done on the node that has the job, or on all of them, and the answers joined."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from progress import commands, factory, keys
from progress.cluster import AsyncClusterExecutor, ClusterExecutor
from progress.collections import Collections, Item
from progress.commands import CreateJob, Heartbeat, Lifetimes, ListJobs, ReadHeads, ReadJob
from progress.errors import IdempotencyConflict, StoreUnavailable
from progress.jobs import Job, NewJob, uuid7
from progress.store import Store
from tests.support.backend import LEASE_MS, LIFETIMES, Backend, token
from tests.support.redis_cluster import RedisCluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def executor(cluster: RedisCluster) -> Iterator[ClusterExecutor]:
    executor = factory.executor(cluster.url)
    assert isinstance(executor, ClusterExecutor)
    yield executor
    executor.close()


@pytest.fixture
def backend(executor: ClusterExecutor) -> Backend:
    return Backend("cluster", executor, lambda _ms: None, lambda: lambda: None, lambda: None)


def one_of_each() -> list[str]:
    """Ids of jobs in all partitions."""
    return [f"{uuid7()[:-1]}{partition:x}" for partition in range(keys.PARTITIONS)]


def in_all(backend: Backend, **fields: Any) -> list[str]:
    """Makes a job in each partition."""
    return [backend.create(id=job_id, **fields) for job_id in one_of_each()]


def test_partitions_are_spread_over_the_nodes(cluster: RedisCluster, backend: Backend) -> None:
    in_all(backend)
    owned = [cluster.owner(partition).port for partition in range(keys.PARTITIONS)]
    assert sorted(owned.count(node.port) for node in cluster.masters) == [5, 5, 6]
    for node in cluster.masters:
        with node.client() as client:
            records = [name for name in client.scan_iter("*:job:*") if isinstance(name, str)]
        assert len(records) == owned.count(node.port)


def test_collections_are_spread_and_each_is_whole(cluster: RedisCluster, executor: ClusterExecutor) -> None:
    collections = Collections(executor, most_bytes=10_000, ttl_s=60)
    names = [f"collection-{number}" for number in range(12)]
    for name in names:
        opened = collections.open(name)
        opened.put("m", [Item(str(number), bytes(8), name) for number in range(10)])
        state = opened.state()
        assert state is not None
        assert (state.count, sum(len(page) for page in opened.items())) == (10, 10)
        assert opened.keep(1, state.version, b"found")
        assert opened.kept(1, state.version) == b"found"
    held = []
    for node in cluster.masters:
        with node.client() as client:
            held.append(len(list(client.scan_iter("*:vectors:*"))))
    assert (sum(held), min(held) > 0) == (len(names), True)


def test_a_job_lives_through_all_of_its_commands_in_each_partition(backend: Backend) -> None:
    for job_id in one_of_each():
        backend.create(id=job_id, cancel_after_s=60.0)
        backend.run(commands.Watched((job_id,), 1000))
        assert backend.begin(job_id, machine="m", process="p").answer == "ok"
        assert backend.append(job_id, 1, token("a"), token("b")).answer == "ok"
        assert [event.type for event in backend.log(job_id).events] == ["queued", "started", "token", "token"]
        assert backend.finish(job_id, 2, "succeeded", "1").answer == "succeeded"
        assert backend.read(job_id).status == "succeeded"
        assert backend.run(commands.DeleteJob(job_id)) == "deleted"
        assert backend.run(ReadJob(job_id)) is None


def test_commands_sent_together_are_answered_in_their_order(backend: Backend, executor: ClusterExecutor) -> None:
    ids = in_all(backend)
    asked: list[commands.Command[Any]] = [ReadJob(job_id) for job_id in reversed(ids)]
    answers = executor.run_many([*asked, ReadJob("no such job")])
    assert [answer and answer.id for answer in answers] == [*reversed(ids), None]


def test_appends_sent_together_are_written_in_each_partition(backend: Backend, executor: ClusterExecutor) -> None:
    ids = [job_id for _ in range(2) for job_id in in_all(backend) if backend.begin(job_id).answer == "ok"]
    first, second = (
        [commands.Append(backend.claim(job_id), number, LEASE_MS, (token(),) * number) for job_id in ids]
        for number in (1, 2)
    )
    assert [answer.last_seq for answer in executor.run_many([*first, *second])] == [3] * 32 + [5] * 32


def test_leases_are_renewed_and_heads_read_in_the_order_of_the_question(backend: Backend) -> None:
    ids = [job_id for job_id in in_all(backend) if backend.begin(job_id).answer == "ok"]
    assert backend.cancel(ids[3]) == "requested"
    claims = tuple((backend.claim(job_id), 0) for job_id in ids)
    assert backend.run(Heartbeat(LEASE_MS, claims)) == ["ok"] * 3 + ["cancel"] + ["ok"] * 12
    for number, job_id in enumerate(ids):
        backend.append(job_id, 1, *[token()] * number)
    assert backend.run(ReadHeads((*ids, uuid7()))) == [*range(2, 18), None]


def test_a_list_is_that_of_all_partitions_newest_first_by_pages(backend: Backend) -> None:
    ids = sorted(in_all(backend) + in_all(backend) + in_all(backend, kind="other"), reverse=True)
    first = backend.run(ListJobs(limit=20))
    second = backend.run(ListJobs(limit=100, cursor=first[-1].id))
    assert [job.id for job in first + second] == ids
    assert len(backend.run(ListJobs(kind="other"))) == 16
    assert len(backend.run(ListJobs(status="queued", limit=7))) == 7


@pytest.mark.brief
def test_a_sweep_finds_what_is_due_in_all_partitions_and_one_worker_sweeps(backend: Backend) -> None:
    ids = in_all(backend, delay_s=0.001)
    found: list[str] = []
    while len(found) < len(ids):
        found += backend.swept("one") or []
    assert sorted(found) == sorted(ids)
    assert backend.swept("two") is None
    waiting = backend.run(commands.LongWaiting("llm", 0))
    assert sorted(job.job_id for job in waiting) == sorted(ids)


def test_jobs_of_a_process_that_is_gone_are_found_in_all_partitions(backend: Backend) -> None:
    ids = [job_id for job_id in in_all(backend) if backend.begin(job_id, machine="m", process="p")]
    assert backend.run(commands.Holders("m")) == ("p",)
    taken = backend.run(commands.Bury("m", ("p",)))
    assert sorted(job.job_id for job in taken) == sorted(ids)


def test_the_health_is_that_of_all_partitions(backend: Backend) -> None:
    in_all(backend)
    backend.started()
    backend.run(commands.WorkerSeen("w", ("llm",)))
    health = backend.run(commands.ReadHealth(("llm", "cpu")))
    assert (health.running, health.queues["llm"].waiting, health.queues["llm"].workers) == (1, 16, ("w",))
    assert health.queues["cpu"].workers == ()


@pytest.fixture
async def store(cluster: RedisCluster) -> AsyncIterator[Store]:
    executor = factory.async_executor(cluster.url)
    assert isinstance(executor, AsyncClusterExecutor)
    yield Store(executor, Lifetimes(60, 120, 1000))
    await executor.close()


async def test_a_place_in_the_queue_counts_all_that_wait(store: Store) -> None:
    jobs: list[Job] = []
    for job_id in one_of_each():
        jobs.append((await store.create(NewJob("generate", {}, "llm", id=job_id))).job)
    urgent = (await store.create(NewJob("generate", {}, "llm", priority=9))).job
    assert urgent.queue_position == 1
    last = await store.get(jobs[-1].id)
    # Those made in the same millisecond stand beside each other.
    assert last.queue_position is not None
    assert 9 < last.queue_position <= 17


async def test_the_same_key_finds_the_same_job_whatever_its_id(store: Store) -> None:
    new = [NewJob("generate", {}, "llm", id=job_id) for job_id in one_of_each()]
    made = [await store.create(each, idempotency_key="k") for each in new]
    assert len({each.job.id for each in made}) == 1
    assert [each.created for each in made] == [True] + [False] * 15
    with pytest.raises(IdempotencyConflict):
        await store.create(new[5], idempotency_key="k", fingerprint="other")
    others = {(await store.create(each, idempotency_key=f"k{n}")).job.id[-1] for n, each in enumerate(new)}
    assert len(others) > 4, "keys are spread, too"


async def test_connections_to_a_node_are_bounded(store: Store, cluster: RedisCluster) -> None:
    # On a slow machine some may not be answered in time.
    await asyncio.gather(*(store.list() for _ in range(40)), return_exceptions=True)
    for node in cluster.masters:
        assert int(str(node.info("clients")).partition("connected_clients:")[2].split()[0]) < 40


def test_without_any_node_that_is_said_of_each_command(cluster: RedisCluster) -> None:
    executor = factory.executor("redis+cluster://127.0.0.1:1")
    with pytest.raises(StoreUnavailable, match="refused"):
        executor.run(ListJobs())
    with pytest.raises(StoreUnavailable, match="refused"):
        executor.ping()
    new = CreateJob(NewJob("generate", {}, "llm"), LIFETIMES)
    assert [type(answer) for answer in executor.run_many([new, new])] == [StoreUnavailable] * 2
    executor.close()


def test_figures_are_those_of_all_partitions_and_turns_those_of_a_name(backend: Backend) -> None:
    for job_id in in_all(backend):
        backend.begin(job_id)
    found = backend.run(commands.ReadFigures(("generate",)))
    assert found.jobs["generate", "running"] == keys.PARTITIONS
    assert found.ever["submitted generate "] == found.recent["submitted generate "] == keys.PARTITIONS
    for name in ("model:a", "model:b", "kind:c"):
        first, second = (backend.run(commands.TakeTurn(name, 60_000)) for _ in range(2))
        assert second.at - first.at == 60_000
        backend.run(commands.Pause(name, 600_000))
        assert backend.run(commands.TakeTurn(name)).wait_s > 500
