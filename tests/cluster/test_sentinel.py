"""Sentinel: a replica takes over in the middle of streams, and everyone finds it."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.following import Audience, spoken
from tests.support.live import Live
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.slow]

CONFIG = """sentinel monitor jobs 127.0.0.1 {port} 1
sentinel down-after-milliseconds jobs 1500
sentinel failover-timeout jobs 20000
"""


class Pair:
    """A primary, its replica, and the Sentinel that watches over them."""

    def __init__(self, directory: Path) -> None:
        self._stack = contextlib.ExitStack()
        self.primary = self._stack.enter_context(RedisServer("--appendonly", "yes"))
        following = ("--replicaof", f"127.0.0.1 {self.primary.port}")
        self.replica = self._stack.enter_context(RedisServer("--appendonly", "yes", *following))
        wait_until(lambda: "master_link_status:up" in self.replica.info("replication"))
        config = directory / "sentinel.conf"
        config.write_text(CONFIG.format(port=self.primary.port))
        self.sentinel = self._stack.enter_context(RedisServer("--sentinel", config=config))
        wait_until(lambda: "slaves=1" in self.sentinel.info("sentinel"))

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/0?master=jobs"

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with contextlib.closing(Pair(tmp_path)) as pair:
        yield pair


@pytest.fixture
def house(pair: Pair) -> Iterator[Live]:
    """A Jobcast whose jobs and messages both are where Sentinel says."""
    with Live(redis=pair.primary, model=False, REDIS_URL=pair.url) as live:
        live.start_worker("llm")
        live.start_api()
        yield live


@pytest.mark.brief
def test_a_replica_that_takes_over_loses_nothing_that_a_reader_has_seen(pair: Pair, house: Live) -> None:
    pieces = [f"{number} " for number in range(250)]
    with Audience(house) as audience:
        jobs = [house.submit("speak", {"pieces": pieces, "pause_s": 0.02}) for _ in range(3)]
        readers = [audience.follow(job_id, exact=exact) for job_id in jobs for exact in (True, False)]
        for reader in readers:
            spoken(reader, 5)
        # What is written from now on is not on the replica, and readers see it.
        pair.replica.signal(signal.SIGSTOP)
        for reader in readers:
            spoken(reader, len(reader.of("token")) + 5)
        pair.primary.kill()
        pair.replica.signal(signal.SIGCONT)
        audience.wait(60)
        audience.check_against(house.events)
        assert {reader.text for reader in readers} == {"".join(pieces)}
        assert {reader.connections for reader in readers} == {1}, "no stream has ended"
    assert "role:master" in pair.replica.info("replication")
    job_id = house.submit("speak", {"pieces": ["after"]})
    assert house.job(job_id, wait_s=20)["status"] == "succeeded"
