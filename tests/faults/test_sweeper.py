"""The sweeper: what lost its message runs all the same, delays are kept, and no worker in particular is needed."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from progress import keys
from progress.commands import CreateJob
from progress.connect import RedisExecutor
from progress.jobs import NewJob
from tasks.recovery import LOST_AFTER_S
from tests.support.backend import LIFETIMES
from tests.support.beside import side_by_side
from tests.support.live import Child, Live, waited_s
from tests.support.rabbit_server import RabbitServer
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

SHORT_S = 2
"""A lease, and the broker's visibility timeout."""
WORD = {"pieces": ["word"]}


@dataclass
class House:
    """A Jobcast with two workers for ``llm``. Nobody serves ``cpu``."""

    live: Live
    broker: str
    lose_all_messages: Callable[[], None]
    """Takes from its broker all that it has."""


@pytest.fixture(scope="module")
def houses(rabbit_server: RabbitServer) -> Iterator[list[House]]:
    """One on each broker."""
    short: dict[str, Any] = {"LEASE_S": str(SHORT_S), "VISIBILITY_TIMEOUT_S": str(SHORT_S)}
    with (
        Live(model=False, **short) as on_redis,
        Live(model=False, BROKER_URL=rabbit_server.new_url(), **short) as on_rabbitmq,
    ):
        for live in (on_redis, on_rabbitmq):
            live.start_api()
            live.start_workers(("llm", "threads", 50), ("llm", "threads", 50))
        yield [
            House(on_redis, "redis", lambda: lose_all_keys(on_redis)),
            House(on_rabbitmq, "rabbitmq", rabbit_server.delete_queues),
        ]


def lose_all_keys(live: Live) -> None:
    """Takes from a Redis all that is the broker's."""
    with live.redis.client() as client:
        lost = list(client.scan_iter(f"{keys.BROKER}*"))
        assert len(lost) > 1
        client.delete(*lost)


def unsent(live: Live, queue: str) -> str:
    """A job whose submitter died between record and message."""
    executor = RedisExecutor(live.redis.url)
    try:
        return executor.run(CreateJob(NewJob("speak", WORD, queue, priority=9), LIFETIMES)).job_id
    finally:
        executor.close()


def sweeping(live: Live, before: str = "") -> str:
    """The worker that sweeps, another one than ``before``. Where one is late, for a moment none does."""
    found = {"", before}

    def is_known() -> bool:
        found.add(str(live.redis.command("GET", keys.SWEEPER) or ""))
        return len(found - {"", before}) > 0

    wait_until(is_known)
    return found.difference({"", before}).pop()


def succeeds(live: Live, job_id: str, within_s: float) -> dict[str, Any]:
    """The job, which is soon done, at its first attempt."""
    job = live.job(job_id, within_s)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    return job


def test_what_nobody_else_would_enqueue_is_enqueued(houses: list[House], tmp_path: Path) -> None:
    """Jobs without a message, and jobs that are to wait."""
    side_by_side(
        *(partial(jobs_whose_message_was_never_sent, house.live) for house in houses),
        *(partial(delays, house.live, tmp_path / house.broker) for house in houses),
    )


def jobs_whose_message_was_never_sent(house: Live) -> None:
    """They run also in a queue that is never empty."""
    made = [unsent(house, "llm") for _ in range(5)]
    worker = house.start_worker("cpu", "threads", 1)
    others = [house.submit("count", {"total": 1, "pause_s": 0.5}) for _ in range(40)]
    lost = unsent(house, "cpu")
    for job_id in made:
        succeeds(house, job_id, 10)
    succeeds(house, lost, 15)
    assert house.job(others[-1])["status"] == "queued", "there was always something else to do"
    worker.kill(group=True)
    for job_id in others:
        with house.client() as client:
            client.post(f"/v1/jobs/{job_id}/cancel")


def test_jobs_run_though_the_broker_has_lost_everything(houses: list[House], tmp_path: Path) -> None:
    side_by_side(
        *(partial(all_is_lost, house.live, house.lose_all_messages, tmp_path / house.broker) for house in houses)
    )


def all_is_lost(house: Live, lose: Callable[[], None], file: Path) -> None:
    """Messages that wait, and those of jobs that run."""
    running = house.submit("journal", {"file": str(file), "pieces": 40, "pause_s": 0.1})
    waiting = [house.submit("speak", WORD, queue="cpu") for _ in range(5)]
    wait_until(lambda: house.job(running)["status"] == "running")
    lose()
    worker = house.start_worker("cpu")
    for job_id in waiting:
        succeeds(house, job_id, 15)
    succeeds(house, running, 15)
    assert file.read_text().splitlines().count("1 begins") == 1
    asked = time.monotonic()
    waited = waited_s(succeeds(house, house.submit("speak", WORD), 10))
    assert waited < LOST_AFTER_S + house.stalls.since(asked), "the broker works as before: this one was not swept up"
    worker.stop()


def delays(house: Live, notes: Path) -> None:
    """One that is longer than the visibility timeout is kept as well, and its job runs once."""
    delays = (0.5, 3 * SHORT_S)
    files = [notes.with_name(f"{notes.name}-{delay}") for delay in delays]
    asked = time.monotonic()
    jobs = [
        house.submit("journal", {"file": str(file), "pieces": 1}, delay_s=delay)
        for file, delay in zip(files, delays, strict=True)
    ]
    for job_id, delay, file in zip(jobs, delays, files, strict=True):
        job = succeeds(house, job_id, delay + 5)
        assert delay <= waited_s(job) < delay + 4 + house.stalls.since(asked)
        assert file.read_text().splitlines() == ["1 begins", "1 0", "1 ends"]


def test_one_worker_sweeps_and_when_it_dies_another_does(houses: list[House]) -> None:
    side_by_side(*(partial(one_sweeps, house.live) for house in houses))


def one_sweeps(house: Live) -> None:
    """Each job that is due is enqueued once."""
    workers = {child.pid: child for child in house.children if child.name.startswith("worker-llm")}
    delayed = [house.submit("speak", WORD, delay_s=1) for _ in range(20)]
    for job_id in delayed:
        succeeds(house, job_id, 10)
    for job_id in delayed:
        # It is said a moment after it is done.
        wait_until(lambda job_id=job_id: enqueued(workers.values(), job_id) > 0)  # type: ignore[misc]
    assert {enqueued(workers.values(), job_id) for job_id in delayed} == {1}

    first = sweeping(house)
    dead = workers[int(first.rpartition(":")[2])]
    dead.kill(group=True)
    # Nobody else looks for jobs that are due, save the scheduler once an hour.
    succeeds(house, house.submit("speak", WORD, delay_s=0.1), 15)
    assert sweeping(house, first)


def enqueued(workers: Iterable[Child], job_id: str) -> int:
    """How often they have said that they enqueued a job."""
    return sum(worker.output().count(f"job {job_id} enqueued") for worker in workers)
