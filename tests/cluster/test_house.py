"""A whole Jobcast on a cluster with replicas: two API processes, a worker, and readers who stay."""

import re
import signal
from collections.abc import Iterator

import pytest

from progress import keys
from tests.faults.following import Audience, spoken
from tests.support.live import Live
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.slow]

READERS = 24
"""That all of them come to one of two processes happens once in eight million runs."""
OPTIONS = ("--appendonly", "yes", "--cluster-node-timeout", "3000", "--cluster-require-full-coverage", "no")


@pytest.fixture(scope="module")
def shards() -> Iterator[RedisCluster]:
    """Three masters, each with a replica; the last test of this module kills one."""
    with RedisCluster(*OPTIONS, replicas=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def house(shards: RedisCluster) -> Iterator[Live]:
    """A Jobcast on it, with a broker of its own."""
    settings = {"REDIS_URL": shards.url, "BROKER_URL": "", "WORKERS": "2"}
    with RedisServer() as broker, Live(redis=broker, model=False, **settings | {"BROKER_URL": broker.url}) as live:
        live.start_worker("llm")
        api = live.start_api()
        wait_until(lambda: api.output().count("Application startup complete") == 2)
        yield live


def followed(shards: RedisCluster) -> list[int]:
    """For every pub/sub connection to any node, how many channels."""
    clients = [str(node.command("CLIENT", "LIST", "TYPE", "PUBSUB")) for node in shards.running]
    return [int(count) for text in clients for count in re.findall(r"\bssub'?[=:] ?'?(\d+)", text)]


def partitions(job_ids: list[str]) -> set[int]:
    return {keys.partition_of(job_id) for job_id in job_ids}


def speak(house: Live, count: int, **task_input: object) -> list[str]:
    """Submits jobs that count aloud."""
    task_input = {"pieces": [f"{number} " for number in range(20)], **task_input}
    return [house.submit("speak", task_input) for _ in range(count)]


def test_jobs_of_all_nodes_are_followed_resumed_and_listed(house: Live, shards: RedisCluster) -> None:
    with Audience(house) as audience:
        job_ids = speak(house, 30, pause_s=0.02)
        assert len({shards.owner(partition).port for partition in partitions(job_ids)}) == 3
        readers = [audience.follow(job_id, exact=number % 2 == 0) for number, job_id in enumerate(job_ids)]
        audience.wait()
        audience.check_against(house.events)
        assert {reader.text for reader in readers} == {"".join(f"{number} " for number in range(20))}
    with house.client() as client:
        later = client.get(f"/v1/jobs/{job_ids[7]}/events", params={"format": "json", "after": 5}).json()["events"]
        assert [later[0]["seq"], later[-1]["type"]] == [6, "succeeded"]
        page = client.get("/v1/jobs", params={"limit": 20}).json()
        rest = client.get("/v1/jobs", params={"limit": 100, "cursor": page["next"]}).json()
        listed = [job["id"] for job in (*page["jobs"], *rest["jobs"])]
        assert listed == sorted(listed, reverse=True)
        assert set(job_ids) <= set(listed)
        assert {client.delete(f"/v1/jobs/{job_id}").status_code for job_id in job_ids} == {204}
        assert {client.get(f"/v1/jobs/{job_id}").status_code for job_id in job_ids} == {404}


def test_a_job_is_cancelled_wherever_it_is(house: Live) -> None:
    job_ids = [house.submit("silent", {"seconds": 60}) for _ in range(8)]
    for job_id in job_ids:
        wait_until(lambda job_id=job_id: house.job(job_id)["status"] == "running")  # type: ignore[misc]
    with house.client() as client:
        for job_id in job_ids:
            assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    assert {house.job(job_id, wait_s=10)["status"] for job_id in job_ids} == {"cancelled"}


def test_a_process_follows_only_what_its_readers_do(house: Live, shards: RedisCluster) -> None:
    job_ids = [house.submit("silent", {"seconds": 60}) for _ in range(READERS)]
    with Audience(house) as audience:
        for job_id in job_ids:
            audience.follow(job_id)
        for reader in audience.readers:
            wait_until(lambda reader=reader: reader.cursor >= 2)  # type: ignore[misc]
        counts = followed(shards)
        # Chance deals the readers to the processes: one may have none of a node's jobs.
        assert len(counts) <= 2 * 3, "a connection from each process to each node that has jobs"
        assert sum(counts) == READERS, "a job is followed by the one process that has its reader"
    wait_until(lambda: sum(followed(shards)) == 0)
    with house.client() as client:
        for job_id in job_ids:
            client.post(f"/v1/jobs/{job_id}/cancel")


def test_a_replica_that_takes_over_loses_nothing_that_a_reader_has_seen(house: Live, shards: RedisCluster) -> None:
    master = shards.owner(5)
    replica = shards.replicas[shards.masters.index(master)] if master in shards.masters else shards.masters[0]
    with Audience(house) as audience:
        pieces = [f"{number} " for number in range(300)]
        job_ids = speak(house, 12, pieces=pieces, pause_s=0.02)
        readers = [audience.follow(job_id) for job_id in job_ids]
        for reader in readers:
            spoken(reader, 5)
        hit = [reader for reader in readers if shards.owner(keys.partition_of(reader.job_id)) is master]
        # What is written from now on is not on the replica, and readers see it.
        replica.signal(signal.SIGSTOP)
        for reader in hit:
            spoken(reader, len(reader.of("token")) + 5)
        master.kill()
        replica.signal(signal.SIGCONT)
        audience.wait(60)
        audience.check_against(house.events)
        assert {reader.text for reader in readers} == {"".join(pieces)}
        assert {reader.connections for reader in readers} == {1}, "no stream has ended"
    assert shards.owner(5) is replica
    # New jobs are made there, and found.
    assert {house.job(job_id, wait_s=20)["status"] for job_id in speak(house, 20)} == {"succeeded"}
