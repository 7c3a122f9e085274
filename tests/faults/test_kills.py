"""Processes killed with -9, and frozen ones that come back: the next attempt is soon there, and is the only one."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from progress.settings import Settings
from tests.faults.crew import Crew
from tests.faults.following import Audience, Follower, SocketFollower, TextFollower, spoken
from tests.support.live import Child, Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

LEASE_S: Final = 2
DEFAULT_LEASE_S: Final = Settings.model_fields["lease_s"].default
SOON_S: Final = {LEASE_S: 5, DEFAULT_LEASE_S: 15}
"""The longest from a death to the next attempt's first token, by lease."""
FROZEN: Final = 3
"""For how many leases a worker is frozen."""
PAUSE_S: Final = 0.05
SLACK: Final = 5
"""Lines that a stale attempt may still write until its next publish is refused."""


class Play:
    """A job that speaks and notes in a file what it does, and readers who stay."""

    def __init__(self, live: Live, audience: Audience, file: Path, queue: str, *, lasts_s: float = 4) -> None:
        pieces = round(lasts_s / PAUSE_S)
        task_input = {"file": str(file), "pieces": pieces, "pause_s": PAUSE_S}
        self.live = live
        self.file = file
        self.speech = "".join(f"{number} " for number in range(pieces))
        self.job_id = live.submit("journal", task_input, queue=queue)
        self.exact = audience.follow(self.job_id)
        self.readers: list[Follower] = [
            self.exact,
            audience.follow(self.job_id, exact=False),
            audience.follow(self.job_id, sort=SocketFollower),
            audience.follow(self.job_id, sort=SocketFollower, exact=False),
        ]
        self.text = audience.follow(self.job_id, sort=TextFollower)
        self._audience = audience

    def has_begun(self) -> None:
        """Returns once some of it has been heard by everyone."""
        spoken(self.exact, 5)
        wait_until(lambda: all(reader.text for reader in (*self.readers, self.text)))

    @property
    def notes(self) -> list[str]:
        """What was really done, by any attempt."""
        return self.file.read_text().splitlines()

    def of(self, attempt: int) -> int:
        """How many lines an attempt has written."""
        return sum(line.startswith(f"{attempt} ") for line in self.notes)

    @property
    def runs_on(self) -> int:
        """The process that runs the newest attempt."""
        return int(self.exact.of("started")[-1]["worker"].rpartition(":")[2])

    def worker(self, workers: list[Child]) -> Child:
        """The one of these whose process, or child, runs the job."""
        group = os.getpgid(self.runs_on)
        (worker,) = [worker for worker in workers if worker.pid == group]
        return worker

    def next_attempt(self, attempt: int = 2, soon_s: float = SOON_S[LEASE_S]) -> float:
        """Waits until another attempt has spoken: soon after the last sign of the one before. How long it took."""
        wait_until(lambda: any(event["attempt"] == attempt for event in self.exact.of("token")), 4 * soon_s)
        took = self.exact.when("token", attempt) - self.last_of(attempt - 1)
        assert took < soon_s, f"{took:.1f} s"
        return took

    def last_of(self, attempt: int) -> float:
        """When the last token of an attempt came."""
        pairs = zip(self.exact.events, self.exact.arrived, strict=True)
        return max(at for event, at in pairs if (event["type"], event["attempt"]) == ("token", attempt))

    def end(self, attempts: int) -> None:
        """The job succeeds with its last attempt, and every reader has exactly that one's text."""
        self._audience.wait(60)
        job = self.live.job(self.job_id)
        assert (job["status"], job["attempt"]) == ("succeeded", attempts)
        self._audience.check_against(lambda job_id: self.live.events(job_id, exact=1))
        told = [event["type"] for event in self.exact.events if event["type"] != "token"]
        assert told == ["queued", "started", *["retrying", "started"] * (attempts - 1), "succeeded"]
        assert {reader.text for reader in (*self.readers, self.text)} == {self.speech}
        assert {reader.connections for reader in self.readers} == {1}
        assert self.text.connections == attempts, "text that has become void was not cut"
        assert [line for line in self.notes if "ends" in line] == [f"{attempts} ends"]


@contextmanager
def play(live: Live, file: Path, queue: str = "llm") -> Iterator[Play]:
    """A job that has begun."""
    with Audience(live) as audience:
        act = Play(live, audience, file, queue)
        act.has_begun()
        yield act


@dataclass(frozen=True)
class Scene:
    """What is done to a worker, of which sort, and whether another one is there by then or is only started after it."""

    pool: str
    fault: str
    spare: bool

    @property
    def name(self) -> str:
        """Also of its queue: what happens in one scene does not touch the others."""
        return f"{self.pool}-{self.fault}-{'spare' if self.spare else 'alone'}"


SCENES: Final = tuple(
    Scene(*parts)
    for parts in (
        ("prefork", "child", False),
        ("prefork", "child", True),
        ("prefork", "group", False),
        ("prefork", "group", True),
        ("prefork", "frozen", True),
        ("threads", "group", False),
        ("threads", "group", True),
        ("threads", "frozen", True),
    )
)


def start_spares(live: Live) -> None:
    """Starts a worker of each sort that serves every scene that is to have another one."""
    pools = ("prefork", "threads")
    live.start_workers(
        *((",".join(scene.name for scene in SCENES if scene.spare and scene.pool == pool), pool, 4) for pool in pools)
    )


def strike(act: Play, fault: str, workers: list[Child]) -> None:
    """Does to a job's worker what is to be done."""
    if fault == "child":
        os.kill(act.runs_on, signal.SIGKILL)
    else:
        act.worker(workers).kill(signal.SIGSTOP if fault == "frozen" else signal.SIGKILL, group=True)


@pytest.mark.parametrize(
    ("lease_s", "broker"),
    [(LEASE_S, "redis"), (DEFAULT_LEASE_S, "redis"), (LEASE_S, "rabbitmq")],
    indirect=["broker"],
)
def test_whatever_becomes_of_a_worker_its_job_goes_on_soon(
    lease_s: int, broker: dict[str, Any], tmp_path: Path
) -> None:
    with Live(model=False, LEASE_S=str(lease_s), **broker) as live, ExitStack() as plays:
        live.start_api()
        with Crew(live, *((scene.name, scene.pool, 2) for scene in SCENES)) as crew:
            victims = list(crew.workers)
            acts = {
                scene: Play(live, plays.enter_context(Audience(live)), tmp_path / scene.name, scene.name,
                            lasts_s=max(8, 2.5 * lease_s))
                for scene in SCENES
            }  # fmt: skip
            for act in acts.values():
                act.has_begun()
            start_spares(live)
            for scene, act in acts.items():
                strike(act, scene.fault, victims)
            back = time.monotonic() + FROZEN * lease_s
            took = {scene.name: act.next_attempt(soon_s=SOON_S[lease_s]) for scene, act in acts.items()}
            print(", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items()))
            frozen = [(act, act.of(1)) for scene, act in acts.items() if scene.fault == "frozen"]
            wait_until(lambda: time.monotonic() > back, FROZEN * lease_s + 1)
            for worker in victims:
                worker.kill(signal.SIGCONT, group=True)
            for act in acts.values():
                act.end(attempts=2)
            for act, before in frozen:
                assert act.of(1) <= before + SLACK, "the stale task went on"


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


def test_a_job_survives_one_death_after_another_of_the_only_worker(stage: Live, tmp_path: Path) -> None:
    with Crew(stage, ("llm", "threads", 2)) as crew, play(stage, tmp_path / "notes") as act:
        for attempt in (2, 3):
            crew.workers[0].kill(group=True)
            # Nobody is left who sweeps, so the next worker gives all a lease's time: Redis may have been away, too.
            print(f"{act.next_attempt(attempt, SOON_S[LEASE_S] + LEASE_S):.1f} s")
            spoken(act.exact, 5)
        act.end(attempts=3)


def test_a_worker_that_was_frozen_for_long_takes_jobs_again(stage: Live) -> None:
    worker = stage.start_worker()
    worker.kill(signal.SIGSTOP, group=True)
    job_id = stage.submit("speak", {"pieces": ["after all"]})
    assert stage.job(job_id, LEASE_S * 1.5)["status"] == "queued"
    worker.kill(signal.SIGCONT, group=True)
    assert stage.job(job_id, 10)["status"] == "succeeded"
