"""A worker's life without its process: what its task runs, and what starts and stops beside it."""

import gc
import logging
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from celery import signals
from celery.exceptions import Reject

from progress import commands
from progress.commands import Lifetimes, ReadHealth
from progress.connect import RedisExecutor
from progress.jobs import NewJob
from progress.settings import current
from tasks import attempt
from tasks.app import HOUSEKEEPING, RUN
from tasks.queue import CeleryQueue
from tasks.transport import AFTER_TIMEOUT
from tests.support.waiting import wait_until

SPARED = 50_000
"""What Celery and the rest of a worker bring along is more than this, and no look for garbage is to go through it."""


@pytest.fixture
def worker(environment: dict[str, str]) -> Iterator[ModuleType]:
    """The module of a worker process. Imported here, since it reads the settings."""
    attempt._runners.clear()
    from tasks import worker

    # It is imported once, for the Redis of this test session.
    assert worker.app.conf.broker_url == environment["JOBCAST_REDIS_URL"]
    yield worker
    for made in attempt._runners.values():
        made.close()
    attempt._runners.clear()


def speaking(executor: RedisExecutor, **fields: Any) -> str:
    new = NewJob("speak", {"pieces": ["a", "b"]}, "llm", **fields)
    return executor.run(commands.CreateJob(new, Lifetimes(60, 60, 100))).job_id


def status(executor: RedisExecutor, job_id: str) -> str:
    job = executor.run(commands.ReadJob(job_id))
    assert job is not None
    return job.status


def test_its_task_runs_a_job_by_its_id(worker: ModuleType, executor: RedisExecutor) -> None:
    job_id = speaking(executor)
    worker.app.tasks[RUN](job_id)
    assert status(executor, job_id) == "succeeded"


def held(executor: RedisExecutor) -> str:
    job_id = speaking(executor)
    executor.run(commands.BeginAttempt(job_id, "another", 60_000))
    return job_id


def test_a_message_whose_job_is_held_is_left_to_come_again(worker: ModuleType, executor: RedisExecutor) -> None:
    with pytest.raises(Reject) as left:
        worker.app.tasks[RUN](held(executor))
    assert left.value.requeue == AFTER_TIMEOUT


def test_a_broker_that_has_no_such_timeout_is_told_that_it_has_served(
    worker: ModuleType, executor: RedisExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBCAST_BROKER_URL", "amqp://localhost")
    current.cache_clear()
    worker.app.tasks[RUN](held(executor))


def test_housekeeping_enqueues_what_is_due(worker: ModuleType, executor: RedisExecutor) -> None:
    job_id = speaking(executor, delay_s=0.001)
    queue = CeleryQueue(worker.app, current())
    try:
        # The time of a delayed job is Redis's.
        wait_until(lambda: worker.app.tasks[HOUSEKEEPING]() is None and queue.depth("llm") == 1)
    finally:
        queue.close()
    assert status(executor, job_id) == "queued"


def test_a_ready_worker_says_what_it_serves_until_it_stops(
    worker: ModuleType, executor: RedisExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    class Consumer:
        app = worker.app

    worker.app.amqp.queues.select(["llm"])
    gc.unfreeze()
    signals.worker_ready.send(sender=Consumer())
    try:
        wait_until(lambda: executor.run(ReadHealth(("llm",))).queues["llm"].workers == (attempt.worker_name(),))
        assert "worker ready: llm" in caplog.text
        ((sweeper, _deliverer, _queue),) = worker._beside
        assert gc.get_freeze_count() > SPARED
    finally:
        gc.unfreeze()
        signals.worker_shutdown.send(sender=None)
    assert worker._beside == []
    assert not sweeper._thread.is_alive()


def test_a_process_of_a_pool_spares_the_collector_what_it_begins_with(environment: dict[str, str]) -> None:
    code = "import gc; from celery import signals; from tasks import worker; "
    code += "signals.worker_process_init.send(sender=None); print(gc.get_freeze_count())"
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(said.stdout) > SPARED
