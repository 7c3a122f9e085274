"""The second layer of recovery: with no sweeper at all, the broker brings back the job of a machine that vanishes."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from progress import keys
from tests.faults.following import Audience, Follower, spoken
from tests.support.live import Child, Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

LEASE_S = 2
TIMEOUT_S = 4
RENEWED_S = TIMEOUT_S / 4
"""Messages are renewed, and looked for, this often; see tasks/broker.py."""
LATE_S = 4
"""What a busy machine may add."""
SORTS = (("llm", "threads"), ("cpu", "prefork"))
PAUSE_S = 0.1


@pytest.fixture(scope="module")
def house() -> Iterator[Live]:
    """An API; each test brings its workers, none of which sweeps, and takes them along."""
    with Live(
        model=False,
        LEASE_S=str(LEASE_S),
        VISIBILITY_TIMEOUT_S=str(TIMEOUT_S),
        TASKS="tests.support.kinds,tests.support.no_sweeper",
    ) as live:
        live.start_api()
        yield live


@pytest.fixture
def stage(house: Live) -> Iterator[Live]:
    before = len(house.children)
    yield house
    for child in house.children[before:]:
        child.kill(group=True)
        child.process.wait()
    assert house.redis.command("GET", keys.PULSE) is None, "somebody has swept"


@pytest.fixture
def audience(stage: Live) -> Iterator[Audience]:
    with Audience(stage) as audience:
        yield audience


def speaking(stage: Live, audience: Audience, file: Path, queue: str) -> Follower:
    """A job that has begun to speak, and its reader. It would speak for six timeouts."""
    pieces = round(6 * TIMEOUT_S / PAUSE_S)
    job_id = stage.submit("journal", {"file": str(file), "pieces": pieces, "pause_s": PAUSE_S}, queue=queue)
    reader = audience.follow(job_id)
    spoken(reader, 1)
    return reader


def age_s(reader: Follower) -> float:
    """How long ago the newest attempt began."""
    return time.monotonic() - reader.when("started", len(reader.of("started")))


def cancel(stage: Live, reader: Follower) -> None:
    """Ends a job whose rest would show no more."""
    with stage.client() as client:
        client.post(f"/v1/jobs/{reader.job_id}/cancel")


@pytest.mark.parametrize(("queue", "pool"), SORTS)
@pytest.mark.parametrize("at_s", [0.5, 2.5 * TIMEOUT_S], ids=["early", "late"])
def test_a_job_whose_machine_vanishes_is_back_within_a_timeout(
    stage: Live, audience: Audience, tmp_path: Path, queue: str, pool: str, at_s: float
) -> None:
    machine = stage.start_worker(queue, pool, 2)
    reader = speaking(stage, audience, tmp_path / "notes", queue)
    stage.start_worker(queue, pool, 2)
    wait_until(lambda: age_s(reader) > at_s, at_s + 5)
    machine.kill(group=True)
    killed = time.monotonic()
    wait_until(lambda: len(reader.of("started")) == 2, 4 * TIMEOUT_S)
    took = reader.when("started", 2) - killed
    print(f"back after {took:.1f} s")
    assert took < TIMEOUT_S + RENEWED_S + LATE_S
    cancel(stage, reader)
    audience.wait()
    audience.check()


def test_a_message_that_finds_its_job_held_is_not_the_last_one(stage: Live, audience: Audience, tmp_path: Path) -> None:
    """A pool process dies and Celery puts the message back at once, when the lease is still alive."""
    worker = stage.start_worker("cpu", "prefork", 2)
    reader = speaking(stage, audience, tmp_path / "notes", "cpu")
    os.kill(int(reader.of("started")[-1]["worker"].rpartition(":")[2]), signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: held(worker) == 1)
    wait_until(lambda: len(reader.of("started")) == 2, 4 * TIMEOUT_S)
    took = reader.when("started", 2) - killed
    print(f"back after {took:.1f} s")
    assert LEASE_S - 1 < took < TIMEOUT_S + RENEWED_S + LATE_S
    cancel(stage, reader)


def test_a_machine_vanishes_after_its_connections_were_cut(stage: Live, audience: Audience, tmp_path: Path) -> None:
    """Its message was put back, came to the other one, and was of no use then."""
    machine, other = stage.start_worker(), stage.start_worker()
    reader = speaking(stage, audience, tmp_path / "notes", "llm")
    stage.redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait_until(lambda: held(machine) + held(other) >= 1)
    process = int(reader.of("started")[-1]["worker"].rpartition(":")[2])
    (its,) = [worker for worker in (machine, other) if worker.pid == os.getpgid(process)]
    its.kill(group=True)
    killed = time.monotonic()
    wait_until(lambda: len(reader.of("started")) == 2, 4 * TIMEOUT_S)
    took = reader.when("started", 2) - killed
    print(f"back after {took:.1f} s")
    assert took < TIMEOUT_S + RENEWED_S + LATE_S
    cancel(stage, reader)


def held(worker: Child) -> int:
    """How many messages of jobs that are held a worker has had."""
    return worker.output().count("nothing to run (held)")
