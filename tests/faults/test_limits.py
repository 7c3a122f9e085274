"""A limit on running jobs is kept and given back, also when a worker is killed with its jobs."""

import signal
from collections.abc import Iterator

import pytest

from tests.support.live import Child, Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def house() -> Iterator[Live]:
    with Live(model=False, RUNNING_LIMITS="speak=2") as live:
        live.start_api()
        yield live


def test_a_killed_worker_gives_its_places_back(house: Live) -> None:
    first, _ = house.start_workers(("default", "threads", 4), ("default", "threads", 4))
    spoken = {"pieces": ["x"] * 10, "pause_s": 0.05}
    ids = [house.submit("speak", spoken, queue="default") for _ in range(10)]
    kill_at_work(house, first, ids)
    assert {house.job(job_id, wait_s=60)["status"] for job_id in ids} == {"succeeded"}
    spans = sorted(span for job_id in ids for span in spans_of(house, job_id))
    assert len(spans) > 10, "one was lost"
    ends: list[str] = []
    for begun, ended in spans:
        ends = [end for end in ends if end > begun]
        ends.append(ended)
        assert len(ends) <= 2, "no third one has begun before"


def kill_at_work(house: Live, worker: Child, ids: list[str]) -> None:
    """Kills a worker that runs something: frozen, it cannot end that while one looks."""

    def is_caught() -> bool:
        worker.kill(signal.SIGSTOP, group=True)
        caught = any(is_held_by(house, job_id, worker.pid) for job_id in ids)
        if not caught:
            worker.kill(signal.SIGCONT, group=True)
        return caught

    wait_until(is_caught)
    worker.kill(group=True)


def is_held_by(house: Live, job_id: str, pid: int) -> bool:
    """Whether an attempt of that process runs."""
    last = house.events(job_id)[-1] if house.job(job_id)["status"] == "running" else {}
    started = [event for event in house.events(job_id) if event["type"] == "started"]
    return bool(last) and started[-1]["worker"].endswith(f":{pid}")


def spans_of(house: Live, job_id: str) -> list[tuple[str, str]]:
    """When each attempt of a job has begun and ended, as its log tells."""
    marks = [event for event in house.events(job_id) if event["type"] in {"started", "retrying", "succeeded"}]
    return [(start["at"], end["at"]) for start, end in zip(marks[::2], marks[1::2], strict=True)]
