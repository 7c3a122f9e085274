"""Processes killed with -9, and frozen ones that come back: the next attempt is soon there, and is the only one."""

import os
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from progress.settings import Settings
from tests.faults.crew import Crew
from tests.faults.following import Audience, spoken
from tests.faults.plays import LEASE_S, SLACK, SOON_S, Play, play
from tests.support.live import Child, Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

DEFAULT_LEASE_S: Final = Settings.model_fields["lease_s"].default
LONGEST_S: Final = {LEASE_S: SOON_S, DEFAULT_LEASE_S: 15}
"""The longest from a death to the next attempt's first token, by lease."""
STARTS_S: Final = 3
"""What of that may be the start of another worker. Where a machine takes longer for it, no recovery is late."""
FROZEN: Final = 3
"""For how many leases a worker is frozen."""


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


SPARED: Final = tuple(scene for scene in SCENES if scene.spare)
ALONE: Final = tuple(scene for scene in SCENES if not scene.spare)
POOLS: Final = ("prefork", "threads")


@dataclass
class House:
    """An API, where scenes are played."""

    live: Live
    lease_s: int
    directory: Path
    plays: ExitStack

    def begin(self, scenes: tuple[Scene, ...], lasts_s: float) -> dict[Scene, Play]:
        """A play for each, all of which have begun."""
        acts = {
            scene: Play(
                self.live,
                self.plays.enter_context(Audience(self.live)),
                self.directory / scene.name,
                scene.name,
                lasts_s=lasts_s,
            )
            for scene in scenes
        }
        for act in acts.values():
            act.has_begun()
        return acts

    def start_spares(self) -> None:
        """A worker of each sort that serves every scene that is to have another one; returns when they take jobs."""
        queues = {pool: ",".join(scene.name for scene in SPARED if scene.pool == pool) for pool in POOLS}
        self.live.start_workers(*((queues[pool], pool, 4) for pool in POOLS))

    def go_on(self, acts: dict[Scene, Play], crew: Crew) -> None:
        """Returns once each has its next attempt, which must be soon. Where the machine stood still is not counted."""
        struck = time.monotonic()
        took = {scene: act.took_up(2, 60) for scene, act in acts.items()}
        wait_until(lambda: not crew.starting)
        lost_s = self.live.stalls.recovery(struck - 1, self.lease_s)
        slow_start_s = max(0.0, crew.start_s - STARTS_S)
        print(", ".join(f"{scene.name} {seconds:.1f} s" for scene, seconds in took.items()))
        print(f"the machine has cost {lost_s:.1f} s, a worker took {crew.start_s:.1f} s to start")
        allowed_s = LONGEST_S[self.lease_s] + lost_s
        for scene, seconds in took.items():
            assert seconds < allowed_s + (0 if scene.spare else slow_start_s), f"{scene.name}: {seconds:.1f} s"


def strike(acts: dict[Scene, Play], workers: list[Child]) -> None:
    """Does to each job's worker what is to be done."""
    for scene, act in acts.items():
        if scene.fault == "child":
            os.kill(act.runs_on, signal.SIGKILL)
        else:
            act.worker(workers).kill(signal.SIGSTOP if scene.fault == "frozen" else signal.SIGKILL, group=True)


@pytest.mark.timeout(240)
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
        house = House(live, lease_s, tmp_path, plays)
        with Crew(live, *((scene.name, scene.pool, 2) for scene in ALONE)) as crew:
            alone = house.begin(ALONE, lasts_s=8)
            strike(alone, list(crew.workers))
            house.go_on(alone, crew)

            victims = live.start_workers(*((scene.name, scene.pool, 2) for scene in SPARED))
            spared = house.begin(SPARED, lasts_s=max(12, 2.5 * lease_s))
            house.start_spares()
            strike(spared, victims)
            back = time.monotonic() + FROZEN * lease_s
            house.go_on(spared, crew)
            frozen = [(act, act.of(1)) for scene, act in spared.items() if scene.fault == "frozen"]
            wait_until(lambda: time.monotonic() > back, FROZEN * lease_s + 1)
            for worker in victims:
                worker.kill(signal.SIGCONT, group=True)
            for act in (*alone.values(), *spared.values()):
                act.end(attempts=2)
            for act, before in frozen:
                assert act.of(1) <= before + SLACK, "the stale task went on"


def test_a_job_survives_one_death_after_another_of_the_only_worker(stage: Live, tmp_path: Path) -> None:
    with Crew(stage, ("llm", "threads", 2)) as crew, play(stage, tmp_path / "notes") as act:
        for attempt in (2, 3):
            killed = time.monotonic()
            crew.workers[0].kill(group=True)
            took = act.took_up(attempt, 60)
            wait_until(lambda: not crew.starting)
            print(f"{took:.1f} s, of which its worker took {crew.start_s:.1f} s to start")
            # Nobody is left who sweeps, so the next worker gives all a lease's time: Redis may have been away, too.
            assert took < max(SOON_S, crew.start_s + SOON_S - STARTS_S) + LEASE_S + stage.stalls.since(killed - 1)
            spoken(act.exact, 5)
        act.end(attempts=3)


def test_a_worker_that_was_frozen_for_long_takes_jobs_again(stage: Live) -> None:
    worker = stage.start_worker()
    worker.kill(signal.SIGSTOP, group=True)
    job_id = stage.submit("speak", {"pieces": ["after all"]})
    assert stage.job(job_id, LEASE_S * 1.5)["status"] == "queued"
    worker.kill(signal.SIGCONT, group=True)
    assert stage.job(job_id, 10)["status"] == "succeeded"
