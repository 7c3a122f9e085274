"""The second layer of recovery: with no sweeper at all, the broker brings back the job of a machine that vanishes."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from progress import keys
from tests.faults.crew import guests
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
EARLY_S, LATER_S = 0.5, 2.5 * TIMEOUT_S
"""How long a job has run when its machine vanishes."""
POOLS = ("threads", "prefork")
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
    with guests(house):
        yield house
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


def began(reader: Follower) -> float:
    """When the newest attempt did."""
    return reader.when("started", len(reader.of("started")))


def runs_on(reader: Follower) -> int:
    """The process of the newest attempt."""
    return int(reader.of("started")[-1]["worker"].rpartition(":")[2])


def cancel(stage: Live, reader: Follower) -> None:
    """Ends a job whose rest would show no more."""
    with stage.client() as client:
        client.post(f"/v1/jobs/{reader.job_id}/cancel")


def back(stage: Live, reader: Follower, killed: float) -> float:
    """Waits for the next attempt of a job, which comes within a timeout; after how many seconds.

    It may have had more than one before: without a sweeper nobody is given more time after the machine stood still.
    """
    wait_until(lambda: began(reader) > killed)
    took = began(reader) - killed
    print(f"back after {took:.1f} s")
    assert took < TIMEOUT_S + RENEWED_S + LATE_S + stage.stalls.since(killed)
    return took


def test_a_job_whose_machine_vanishes_is_back_within_a_timeout(stage: Live, audience: Audience, tmp_path: Path) -> None:
    """Early in the job and late, on threads and on processes: each with a queue of its own."""
    cases = {f"{pool}-{at_s}": (pool, at_s) for at_s in (EARLY_S, LATER_S) for pool in POOLS}
    machines = dict(zip(cases, stage.start_workers(*((case, cases[case][0], 2) for case in cases)), strict=True))
    submitted = time.monotonic()
    readers = {case: speaking(stage, audience, tmp_path / case, case) for case in cases}
    stage.start_workers(*((",".join(case for case in cases if cases[case][0] == pool), pool, 4) for pool in POOLS))
    killed: dict[str, float] = {}
    for case, (_, at_s) in cases.items():
        wait_until(lambda case=case, at_s=at_s: time.monotonic() > began(readers[case]) + at_s)  # type: ignore[misc]
        if os.getpgid(runs_on(readers[case])) == machines[case].pid:
            machines[case].kill(group=True)
            killed[case] = time.monotonic()
    assert len(killed) == len(cases) or stage.stalls.longest(submitted) > LEASE_S / 2
    for case, reader in readers.items():
        if case in killed:
            back(stage, reader, killed[case])
        cancel(stage, reader)
    audience.wait()
    audience.check()


def test_a_message_that_finds_its_job_held_is_not_the_last_one(stage: Live, audience: Audience, tmp_path: Path) -> None:
    """A pool process dies and Celery puts the message back at once, when the lease is still alive."""
    worker = stage.start_worker("cpu", "prefork", 2)
    reader = speaking(stage, audience, tmp_path / "notes", "cpu")
    os.kill(runs_on(reader), signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: held(worker) > 0 or began(reader) > killed)
    assert held(worker) or stage.stalls.longest(killed) > LEASE_S / 2
    assert back(stage, reader, killed) > LEASE_S - 1
    cancel(stage, reader)


def test_a_machine_vanishes_after_its_connections_were_cut(stage: Live, audience: Audience, tmp_path: Path) -> None:
    """Its message was put back, came to the other one, and was of no use then."""
    machine, other = stage.start_worker(), stage.start_worker()
    reader = speaking(stage, audience, tmp_path / "notes", "llm")
    cut = time.monotonic()
    stage.redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait_until(lambda: held(machine) + held(other) > 0 or began(reader) > cut)
    assert held(machine) + held(other) or stage.stalls.longest(cut) > LEASE_S / 2
    (its,) = [worker for worker in (machine, other) if worker.pid == os.getpgid(runs_on(reader))]
    its.kill(group=True)
    killed = time.monotonic()
    back(stage, reader, killed)
    cancel(stage, reader)


def held(worker: Child) -> int:
    """How many messages of jobs that are held a worker has had."""
    return worker.output().count("nothing to run (held)")
