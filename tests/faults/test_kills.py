"""Processes killed with -9, and frozen ones that come back: the next attempt is soon there, and is the only one."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.following import Audience, Follower, SocketFollower, spoken
from tests.support.live import Child, Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

LEASE_S = 2
SOON_S = 5
"""The longest from a death to the next attempt's first token."""
SORTS = (("llm", "threads"), ("cpu", "prefork"))
PIECES = 100
SPEECH = "".join(f"{number} " for number in range(PIECES))


class Play:
    """A job that speaks and notes in a file what it does, and three readers who stay."""

    def __init__(self, live: Live, audience: Audience, file: Path, queue: str) -> None:
        task_input = {"file": str(file), "pieces": PIECES, "pause_s": 0.04}
        self.live = live
        self.file = file
        self.job_id = live.submit("journal", task_input, queue=queue)
        self.exact = audience.follow(self.job_id)
        self.readers: list[Follower] = [
            self.exact,
            audience.follow(self.job_id, exact=False),
            audience.follow(self.job_id, sort=SocketFollower),
        ]
        self._audience = audience
        spoken(self.exact, 5)

    @property
    def notes(self) -> list[str]:
        """What was really done, by any attempt."""
        return self.file.read_text().splitlines()

    def of(self, attempt: int) -> int:
        """How many lines an attempt has written."""
        return sum(line.startswith(f"{attempt} ") for line in self.notes)

    def next_attempt(self, attempt: int = 2) -> None:
        """Returns once another attempt has spoken; it must be soon after the last sign of the one before."""
        wait_until(lambda: any(event["attempt"] == attempt for event in self.exact.of("token")), 4 * SOON_S)
        took = self.exact.when("token", attempt) - self.last_of(attempt - 1)
        assert took < SOON_S, f"{took:.1f} s"

    def last_of(self, attempt: int) -> float:
        """When the last token of an attempt came."""
        pairs = zip(self.exact.events, self.exact.arrived, strict=True)
        return max(at for event, at in pairs if (event["type"], event["attempt"]) == ("token", attempt))

    def end(self, attempts: int) -> None:
        """The job succeeds with its last attempt, and every reader has exactly that one's text."""
        self._audience.wait(60)
        self._audience.check()
        job = self.live.job(self.job_id)
        assert (job["status"], job["attempt"]) == ("succeeded", attempts)
        assert {reader.text for reader in self.readers} == {SPEECH}
        assert {reader.connections for reader in self.readers} == {1}
        assert self.exact.events == self.live.events(self.job_id, exact=1)
        assert [line for line in self.notes if "ends" in line] == [f"{attempts} ends"]


@contextmanager
def play(live: Live, file: Path, queue: str = "llm") -> Iterator[Play]:
    """A job that has begun."""
    with Audience(live) as audience:
        yield Play(live, audience, file, queue)


@pytest.fixture(scope="module")
def house() -> Iterator[Live]:
    """An API; each test brings its workers, and takes them along."""
    with Live(model=False, LEASE_S=str(LEASE_S)) as live:
        live.start_api()
        yield live


@pytest.fixture
def stage(house: Live) -> Iterator[Live]:
    """The same, left without workers."""
    before = len(house.children)
    yield house
    for child in house.children[before:]:
        child.kill(group=True)
        child.process.wait()


def runs_on(act: Play) -> int:
    """The process that runs the newest attempt."""
    return int(act.exact.of("started")[-1]["worker"].rpartition(":")[2])


def running_worker(act: Play, workers: list[Child]) -> Child:
    """The one of these whose process or child runs the job."""
    group = os.getpgid(runs_on(act))
    (worker,) = [worker for worker in workers if worker.pid == group]
    return worker


def test_a_pool_process_that_is_killed_costs_one_attempt(stage: Live, tmp_path: Path) -> None:
    stage.start_worker("cpu", "prefork", 2)
    with play(stage, tmp_path / "notes", "cpu") as act:
        os.kill(runs_on(act), signal.SIGKILL)
        act.next_attempt()
        act.end(attempts=2)


def test_other_workers_go_on_where_some_are_killed_whole(stage: Live, tmp_path: Path) -> None:
    workers = [stage.start_worker(queue, pool, 2) for queue, pool in SORTS for _ in range(2)]
    with play(stage, tmp_path / "llm") as waiting, play(stage, tmp_path / "cpu", "cpu") as computing:
        for act in (waiting, computing):
            running_worker(act, workers).kill(group=True)
        for act in (waiting, computing):
            act.next_attempt()
        for act in (waiting, computing):
            act.end(attempts=2)


def test_a_job_survives_one_worker_after_another(stage: Live, tmp_path: Path) -> None:
    workers = [stage.start_worker() for _ in range(3)]
    with play(stage, tmp_path / "notes") as act:
        for attempt in (2, 3):
            running_worker(act, workers).kill(group=True)
            act.next_attempt(attempt)
        act.end(attempts=3)


def test_frozen_workers_that_come_back_are_not_listened_to(stage: Live, tmp_path: Path) -> None:
    workers = [stage.start_worker(queue, pool, 2) for queue, pool in SORTS for _ in range(2)]
    with play(stage, tmp_path / "llm") as waiting, play(stage, tmp_path / "cpu", "cpu") as computing:
        acts = (waiting, computing)
        zombies = [running_worker(act, workers) for act in acts]
        for zombie in zombies:
            zombie.kill(signal.SIGSTOP, group=True)
        back = time.monotonic() + 3 * LEASE_S
        for act in acts:
            act.next_attempt()
        wait_until(lambda: time.monotonic() > back)
        done = [act.of(1) for act in acts]
        for zombie in zombies:
            zombie.kill(signal.SIGCONT, group=True)
        for act, before in zip(acts, done, strict=True):
            act.end(attempts=2)
            assert act.of(1) <= before + 5, "the stale task went on"


def test_a_worker_that_was_frozen_for_long_takes_jobs_again(stage: Live) -> None:
    worker = stage.start_worker()
    worker.kill(signal.SIGSTOP, group=True)
    job_id = stage.submit("speak", {"pieces": ["after all"]})
    assert stage.job(job_id, LEASE_S * 1.5)["status"] == "queued"
    worker.kill(signal.SIGCONT, group=True)
    assert stage.job(job_id, 10)["status"] == "succeeded"
