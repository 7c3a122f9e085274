"""A job whose worker died runs alone in its last attempt, and is a job like any other there."""

import signal
import time

import pytest

from tests.faults.crew import Crew
from tests.support.live import Child, Live
from tests.support.waiting import LIMIT_S, gone, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

SECOND = {"pieces": ["word "] * 20, "pause_s": 0.05}
MINUTE = {"pieces": ["word "] * 1200, "pause_s": 0.05}


def alone(stage: Live, jobs: int) -> tuple[Child, list[str]]:
    """Jobs that have lost their first attempt of two, and the worker that they have now."""
    first = stage.start_worker()
    job_ids = [stage.submit("speak", MINUTE, max_attempts=2) for _ in range(jobs)]
    wait_until(lambda: all(stage.job(job_id)["last_seq"] > 3 for job_id in job_ids))
    first.kill(group=True)
    second = stage.start_worker()
    wait_until(lambda: all(stage.job(job_id)["attempt"] == 2 for job_id in job_ids))
    processes = {runs_on(stage, job_id) for job_id in job_ids}
    assert len(processes - {first.pid, second.pid}) == jobs
    return second, job_ids


def runs_on(stage: Live, job_id: str) -> int:
    """The process of a job's last attempt."""
    (*_, last) = (event for event in stage.events(job_id) if event["type"] == "started")
    return int(last["worker"].rpartition(":")[2])


def test_every_job_but_the_one_that_kills_its_workers_goes_on(stage: Live) -> None:
    with Crew(stage, ("llm", "threads", 51)) as crew:
        others = [stage.submit("speak", SECOND) for _ in range(50)]
        poison = stage.submit("fail", {"how": "crash", "after_s": 0.5})
        ended = stage.job(poison, 40)
        assert (ended["status"], ended["attempt"], ended["error"]["code"]) == ("failed", 3, "worker_lost")
        jobs = [stage.job(job_id, 40) for job_id in others]
        assert {job["status"] for job in jobs} == {"succeeded"}
        assert max(job["attempt"] for job in jobs) == 3, "none was there twice: this has shown little"
        assert len(crew.replaced) == 2, "the third attempt was alone"


def test_a_job_that_is_alone_can_be_cancelled_and_handed_back(stage: Live) -> None:
    worker, (cancelled, handed_back) = alone(stage, 2)
    with stage.client() as client:
        assert client.post(f"/v1/jobs/{cancelled}/cancel").status_code == 202
    asked = time.monotonic()
    assert stage.job(cancelled, 10)["status"] == "cancelled"
    assert time.monotonic() - asked < 2 + stage.stalls.since(asked)
    wait_until(lambda: gone(runs_on(stage, cancelled)))
    other = stage.start_worker()
    worker.kill(signal.SIGTERM)
    wait_until(lambda: stage.job(handed_back)["attempt"] == 3)
    assert worker.process.wait(LIMIT_S) == 0
    assert runs_on(stage, handed_back) == other.pid, "nobody has died since"


def test_a_job_that_is_alone_dies_with_its_worker(stage: Live) -> None:
    worker, (job_id,) = alone(stage, 1)
    process = runs_on(stage, job_id)
    worker.kill()
    wait_until(lambda: gone(process))
    stage.start_worker()
    job = stage.job(job_id, 20)
    assert (job["status"], job["error"]["code"]) == ("failed", "worker_lost")
