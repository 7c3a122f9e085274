"""Workers whose clocks jump: leases go by Redis's clock, so that nothing runs twice, is lost, or waits for an hour."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.faults.following import Audience
from tests.faults.plays import LEASE_S, Play
from tests.support.live import ROOT, Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

POSTS: Final = (("llm", "threads", 3), ("cpu", "prefork", 3))
JUMPING: Final = tuple((f"{queue},jumping-{queue}", pool, slots) for queue, pool, slots in POSTS)
"""The workers whose clocks jump serve a queue of their own as well, to be asked for the time in."""
HOUR: Final = 3600


class Clock:
    """The wall clock of some processes. Their monotonic clocks go on as they should."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.environment = {"PYTHONPATH": str(ROOT / "tests/support/jumping_clock"), "JUMPING_CLOCK": str(file)}
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """Sets the clock so far from the true one."""
        written = self._file.with_suffix(".new")
        written.write_text(str(seconds))
        written.rename(self._file)


@pytest.fixture
def house() -> Iterator[Live]:
    """An API, with a timeout of the broker as short as a lease."""
    with Live(model=False, LEASE_S=str(LEASE_S), VISIBILITY_TIMEOUT_S=str(LEASE_S)) as live:
        live.start_api()
        yield live


def pass_time(seconds: float) -> None:
    """What is tested here is that time passes."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > until, seconds + 5)


def is_off_by(house: Live, seconds: int) -> bool:
    """Whether the clocks of the workers that jump are so far from the true one."""
    job_ids = [house.submit("tell-time", {}, queue=f"jumping-{queue}") for queue, *_ in POSTS]
    return all(abs(house.job(job_id, 10)["result"] - time.time() - seconds) < 60 for job_id in job_ids)


def takes_jobs(house: Live) -> None:
    """Jobs begin soon, at once or after a delay, and so does the second attempt of one that fails."""
    soon = [house.submit("speak", {"pieces": ["fine"]}, queue=queue) for queue, *_ in POSTS for _ in range(4)]
    delayed = [house.submit("speak", {"pieces": ["fine"]}, queue=queue, delay_s=0.5) for queue, *_ in POSTS]
    again = [house.submit("fail", {"how": "retry", "attempts": 1}, queue=queue) for queue, *_ in POSTS]
    asked = time.monotonic()
    for job_id in (*soon, *delayed, *again):
        job = house.job(job_id, 10)
        assert (job["status"], job["attempt"]) == ("succeeded", 2 if job_id in again else 1)
    assert time.monotonic() - asked < 20 + house.stalls.since(asked), "something waits for another clock"


def test_clocks_that_jump_move_no_job(house: Live, tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    house.start_workers(*JUMPING, **clock.environment)
    with Audience(house) as audience:
        acts = [Play(house, audience, tmp_path / queue, queue, lasts_s=12) for queue, *_ in POSTS]
        for act in acts:
            act.has_begun()
        house.start_workers(*POSTS)
        for seconds in (HOUR, -HOUR, 0):
            clock.jump(seconds)
            pass_time(LEASE_S)
            assert is_off_by(house, seconds)
            takes_jobs(house)
        for act in acts:
            act.end(attempts=1)
