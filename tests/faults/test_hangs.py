"""Processes that stay and do nothing: what they held goes on elsewhere, and what still runs is left in peace."""

import os
import signal
import time
from pathlib import Path
from typing import Final

import pytest

from tests.faults.plays import LEASE_S, SLACK, play
from tests.support.beside import side_by_side
from tests.support.live import Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

HANGS_S: Final = 3 * LEASE_S
GRIPS_S: Final = 5 * LEASE_S
"""Nobody takes the time that the machine stood still from this, though others are given another lease's time then."""
LOST_S: Final = 30
"""The longest that a job waits whose message a hung worker has swallowed: 5 s, a look every 2 s, the way, and what a
busy machine adds. The worker hangs until it is done."""


def pass_until(moment: float) -> None:
    """What is tested here is that time passes."""
    wait_until(lambda: time.monotonic() > moment, max(0.0, moment - time.monotonic()) + 5)


def test_what_hangs_costs_one_attempt_at_most(stage: Live, tmp_path: Path) -> None:
    """Three sorts of that, each in a queue of its own."""
    side_by_side(
        lambda: while_a_task_holds_the_interpreter(stage, tmp_path / "threads"),
        lambda: a_frozen_pool_process(stage, tmp_path / "pool"),
        lambda: a_frozen_worker(stage, tmp_path / "prefork"),
    )


def while_a_task_holds_the_interpreter(stage: Live, file: Path) -> None:
    """The jobs beside that task go on elsewhere."""
    stage.start_worker()
    with play(stage, file, lasts_s=10) as act:
        now = file.with_suffix(".now")
        gripping = stage.submit("grip", {"file": str(now), "seconds": GRIPS_S})
        wait_until(lambda: stage.job(gripping)["status"] == "running")
        stage.start_worker()
        now.touch()
        lets_go = time.monotonic() + GRIPS_S
        took = act.next_attempt()
        before = act.of(1)
        assert stage.job(gripping, 10)["result"] == {"attempt": 2}
        assert time.monotonic() < lets_go, "it was over before it was missed"
        pass_until(lets_go)
        act.end(attempts=2)
        assert act.of(1) <= before + SLACK, "the stale task went on"
        assert [event["type"] for event in stage.events(gripping)][-2:] == ["token", "succeeded"]
    print(f"{took:.1f} s")


def a_frozen_pool_process(stage: Live, file: Path, queue: str = "pool") -> None:
    """Its job goes on in another one, and its place is not lost."""
    stage.start_worker(queue, "prefork", 2)
    with play(stage, file, queue, lasts_s=8) as act:
        frozen = act.runs_on
        os.kill(frozen, signal.SIGSTOP)
        back = time.monotonic() + HANGS_S
        took = act.next_attempt()
        before = act.of(1)
        pass_until(back)
        os.kill(frozen, signal.SIGCONT)
        act.end(attempts=2)
        assert act.of(1) <= before + SLACK, "the stale task went on"
    both = [stage.submit("count", {"total": 10, "pause_s": 0.1}, queue=queue) for _ in range(2)]
    assert [stage.job(job_id, 10)["status"] for job_id in both] == ["succeeded"] * 2
    print(f"{took:.1f} s")


def a_frozen_worker(stage: Live, file: Path) -> None:
    """It leaves its children to their jobs, and others to its messages."""
    worker = stage.start_worker("cpu", "prefork", 2)
    with play(stage, file, "cpu", lasts_s=12) as act:
        worker.kill(signal.SIGSTOP)
        swallowed = stage.submit("speak", {"pieces": ["after all"]}, queue="cpu")
        stage.start_worker("cpu", "prefork", 2)
        assert stage.job(swallowed, LOST_S)["status"] == "succeeded"
        act.end(attempts=1)
        worker.kill(signal.SIGCONT)
    several = [stage.submit("count", {"total": 10, "pause_s": 0.1}) for _ in range(8)]
    assert [stage.job(job_id, 20)["status"] for job_id in several] == ["succeeded"] * 8
    assert stage.job(swallowed)["attempt"] == 1
