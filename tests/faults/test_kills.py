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
            took = {scene.name: act.next_attempt(soon_s=LONGEST_S[lease_s]) for scene, act in acts.items()}
            print(", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items()))
            frozen = [(act, act.of(1)) for scene, act in acts.items() if scene.fault == "frozen"]
            wait_until(lambda: time.monotonic() > back, FROZEN * lease_s + 1)
            for worker in victims:
                worker.kill(signal.SIGCONT, group=True)
            for act in acts.values():
                act.end(attempts=2)
            for act, before in frozen:
                assert act.of(1) <= before + SLACK, "the stale task went on"


def test_a_job_survives_one_death_after_another_of_the_only_worker(stage: Live, tmp_path: Path) -> None:
    with Crew(stage, ("llm", "threads", 2)) as crew, play(stage, tmp_path / "notes") as act:
        for attempt in (2, 3):
            crew.workers[0].kill(group=True)
            # Nobody is left who sweeps, so the next worker gives all a lease's time: Redis may have been away, too.
            print(f"{act.next_attempt(attempt, SOON_S + LEASE_S):.1f} s")
            spoken(act.exact, 5)
        act.end(attempts=3)


def test_a_worker_that_was_frozen_for_long_takes_jobs_again(stage: Live) -> None:
    worker = stage.start_worker()
    worker.kill(signal.SIGSTOP, group=True)
    job_id = stage.submit("speak", {"pieces": ["after all"]})
    assert stage.job(job_id, LEASE_S * 1.5)["status"] == "queued"
    worker.kill(signal.SIGCONT, group=True)
    assert stage.job(job_id, 10)["status"] == "succeeded"
