"""Processes that their machine knows to be gone: their jobs do not wait for a lease of the default length."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from progress import keys
from progress.holder import Holder
from tests.faults.crew import Crew, guests
from tests.faults.following import Audience, Follower, spoken
from tests.support.live import Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

SOON_S = 6
"""The longest from a death, once another process is ready, to the next attempt; it takes about a second, and must take
less than the lease, of 10 s."""
SORTS = (("llm", "threads"), ("cpu", "prefork"))


@pytest.fixture(scope="module")
def house() -> Iterator[Live]:
    """An API, at default settings; each test brings its workers, and takes them along."""
    if Holder.here() is None:
        pytest.skip("no /proc here: a holder is lost when its lease is over")
    with Live(model=False) as live:
        live.start_api()
        yield live


@pytest.fixture
def stage(house: Live) -> Iterator[Live]:
    """The same, left without workers."""
    with guests(house):
        yield house


@pytest.fixture
def audience(stage: Live) -> Iterator[Audience]:
    """Readers, whose jobs are ended with the test, before another test's workers find them."""
    with Audience(stage) as audience:
        yield audience
        end(stage, audience)


def end(stage: Live, audience: Audience) -> None:
    """Ends the jobs, which have shown what they were to show."""
    for reader in audience.readers:
        with stage.client() as client:
            client.post(f"/v1/jobs/{reader.job_id}/cancel")
    audience.wait()
    audience.check()


def speaking(
    stage: Live, audience: Audience, file: Path, queue: str = "llm", pieces: int = 600, **fields: int
) -> Follower:
    """A job that has begun to speak, and would for half a minute, and its reader."""
    task_input = {"file": str(file), "pieces": pieces, "pause_s": 0.05}
    job_id = stage.submit("journal", task_input, queue=queue, **fields)
    reader = audience.follow(job_id)
    spoken(reader, 3)
    return reader


def holder_of(reader: Follower) -> int:
    """The process that runs the newest attempt."""
    return int(reader.of("started")[-1]["worker"].rpartition(":")[2])


def next_attempt(stage: Live, reader: Follower, since: float, attempt: int = 2, *, lease_s: float = 0) -> None:
    """Returns once another attempt has begun, which must be soon, or soon after the lease that it waits for."""
    wait_until(lambda: len(reader.of("started")) == attempt)
    took = reader.when("started", attempt) - since
    print(f"next attempt after {took:.2f} s")
    assert took < SOON_S + lease_s + stage.stalls.recovery(since, lease_s)


@pytest.mark.parametrize("processes", [1, 2])
def test_pool_processes_that_were_killed(stage: Live, audience: Audience, tmp_path: Path, processes: int) -> None:
    stage.start_worker("cpu", "prefork", processes)
    reader = speaking(stage, audience, tmp_path / "notes", "cpu", max_attempts=10)
    for attempt in range(2, 10):
        os.kill(holder_of(reader), signal.SIGKILL)
        next_attempt(stage, reader, time.monotonic(), attempt)
        spoken(reader, 3)


@pytest.mark.parametrize("group", [True, False], ids=["group", "main"])
def test_workers_that_were_killed_while_others_are_there(
    stage: Live, audience: Audience, tmp_path: Path, group: bool
) -> None:
    posts = [(queue, pool, 3) for queue, pool in SORTS]
    first = stage.start_workers(*posts)
    readers = [speaking(stage, audience, tmp_path / f"{queue}-{n}", queue) for n in range(3) for queue, _ in SORTS]
    stage.start_workers(*posts)
    for worker in first:
        worker.kill(group=group)
    killed = time.monotonic()
    for reader in readers:
        next_attempt(stage, reader, killed)
        spoken(reader, 3)
    assert {stage.job(reader.job_id)["attempt"] for reader in readers} == {2}


def test_the_only_workers_that_are_started_again(stage: Live, audience: Audience, tmp_path: Path) -> None:
    with Crew(stage, *((*sort, 2) for sort in SORTS)) as crew:
        readers = [speaking(stage, audience, tmp_path / queue, queue) for queue, _ in SORTS]
        for worker in list(crew.workers):
            worker.kill(group=True)
        wait_until(lambda: len(crew.replaced) == len(SORTS) and not crew.starting)
        started = time.monotonic()
        for reader in readers:
            next_attempt(stage, reader, started)
        end(stage, audience)
        assert [stage.job(reader.job_id)["attempt"] for reader in readers] == [2, 2]


def test_a_worker_that_comes_back_after_redis_has_paused(stage: Live, audience: Audience, tmp_path: Path) -> None:
    worker = stage.start_worker()
    reader = speaking(stage, audience, tmp_path / "notes")
    worker.kill(group=True)
    # No worker sweeps for longer than half a lease, so that those who live would get another one to renew in.
    pulse = stage.redis.command("GET", keys.PULSE)
    wait_until(lambda: time.time() * 1000 > int(str(pulse)) + 500)
    stage.start_worker()
    next_attempt(stage, reader, time.monotonic())


def test_a_frozen_worker_is_not_buried(stage: Live, audience: Audience, tmp_path: Path) -> None:
    watcher = stage.start_worker("default")
    frozen = [stage.start_worker(queue, pool, 2) for queue, pool in SORTS]
    readers = [speaking(stage, audience, tmp_path / queue, queue, pieces=100) for queue, _ in SORTS]
    for worker in frozen:
        worker.kill(signal.SIGSTOP, group=True)
    # The other one's sweeper looks twice a second.
    until = time.monotonic() + 2
    wait_until(lambda: time.monotonic() > until)
    assert [stage.job(reader.job_id)["status"] for reader in readers] == ["running"] * 2
    for worker in frozen:
        worker.kill(signal.SIGCONT, group=True)
    audience.wait(30)
    assert [stage.job(reader.job_id)["attempt"] for reader in readers] == [1, 1]
    assert not any(reader.job_id in watcher.output() for reader in readers)


def test_workers_of_whom_nobody_can_tell_have_their_lease(tmp_path: Path) -> None:
    """As on another machine, or in another container."""
    lease_s = 2
    modules = "tests.support.kinds,tests.support.no_holder"
    with Live(model=False, LEASE_S=str(lease_s), TASKS=modules) as live, Audience(live) as audience:
        live.start_api()
        posts = [(*sort, 2) for sort in SORTS]
        first = live.start_workers(*posts)
        readers = [speaking(live, audience, tmp_path / queue, queue) for queue, _ in SORTS]
        live.start_workers(*posts)
        for worker in first:
            worker.kill(group=True)
        killed = time.monotonic()
        for reader in readers:
            next_attempt(live, reader, killed, lease_s=lease_s)
            assert reader.when("started", 2) - killed > lease_s / 2
