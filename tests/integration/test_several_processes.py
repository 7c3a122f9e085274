"""Several API processes on one port: any of them serves any reader, and one that dies is missed by nobody for long."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.following import Audience, spoken
from tests.integration.inside import subscriptions
from tests.support.live import Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

LISTENS = "listening at"
"""What each process logs once connections may come to it."""
READERS = 24
"""That all of them come to one of two processes happens once in eight million runs."""


@pytest.fixture(scope="module")
def house() -> Iterator[Live]:
    """A Jobcast with two API processes."""
    with Live(model=False, WORKERS="2") as live:
        live.start_worker("llm")
        api = live.start_api()
        # One that answers is not both.
        wait_until(lambda: api.output().count(LISTENS) == 2, 30)
        yield live


def processes(house: Live) -> list[int]:
    """The API processes that serve."""
    assert house.api
    lists = Path(f"/proc/{house.api.pid}/task").glob("*/children")
    return [int(pid) for children in lists for pid in children.read_text().split()]


def test_readers_are_spread_and_see_the_same(house: Live) -> None:
    assert len(processes(house)) == 2
    readers_are_spread(house)


def readers_are_spread(house: Live) -> None:
    """Both processes have readers, who see the same."""
    with Audience(house) as audience:
        with house.under_way("speak", pieces=["a ", "b "], pause_s=0.03) as job_id:
            readers = [audience.follow(job_id, exact=number % 2 == 0) for number in range(READERS)]
            for reader in readers:
                spoken(reader, 2)
            assert len(subscriptions(house)) == 2, "one connection to Redis for each process"
        audience.wait()
        audience.check()
        assert {reader.text for reader in readers} == {house.said(job_id)}


def test_one_that_dies_is_started_again_and_its_readers_go_on(house: Live) -> None:
    assert house.api
    with Audience(house) as audience:
        with house.under_way("speak", pieces=["a ", "b "], pause_s=0.02) as job_id:
            readers = [audience.follow(job_id) for _ in range(READERS)]
            for reader in readers:
                spoken(reader, 2)
            first, second = processes(house)
            listened = house.api.output().count(LISTENS)
            os.kill(first, signal.SIGKILL)
            wait_until(lambda: house.api is not None and house.api.output().count(LISTENS) > listened, 30)
            assert second in processes(house)
            assert len(processes(house)) == 2
            assert "died (killed by SIGKILL); starting it again" in house.api.output()
            for reader in readers:
                spoken(reader, len(reader.of("token")) + 2)
        audience.wait()
        audience.check()
        assert {reader.text for reader in readers} == {house.said(job_id)}
        moved = [reader for reader in readers if reader.connections > 1]
        assert 0 < len(moved) < READERS
    readers_are_spread(house)


def test_a_port_that_another_has_is_one_line_that_says_so(house: Live) -> None:
    other = house.start("other", "-m", "server.cli", "api")
    assert other.process.wait(20) == 1
    assert f"port {house.port} is taken: set JOBCAST_PORT" in other.output()


def test_all_of_them_stop_together_and_streams_end_well(house: Live) -> None:
    with Audience(house) as audience:
        job_id = house.submit("silent", {"seconds": 60})
        readers = [audience.follow(job_id) for _ in range(4)]
        for reader in readers:
            wait_until(lambda reader=reader: reader.cursor >= 2)  # type: ignore[misc]
        pids = processes(house)
        asked = time.monotonic()
        assert house.stop_api() < 5 + house.stalls.since(asked)
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
