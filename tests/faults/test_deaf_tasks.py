"""Tasks that look at nothing: their jobs end in time all the same, and no other job is hit."""

import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.beside import side_by_side
from tests.support.live import Live
from tests.support.waiting import LIMIT_S, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

DEAF_S = 12
"""How long a task sleeps in one piece."""


def deaf(file: Path) -> dict[str, object]:
    """The input of a task that says nothing and looks at nothing."""
    return {"file": str(file), "pieces": 1, "pause_s": DEAF_S, "silent": True}


def test_a_deaf_tasks_job_ends_when_it_is_cancelled_or_late(
    both_brokers: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    with ExitStack() as lives:
        on_redis, on_rabbitmq = (lives.enter_context(Live(model=False, **settings)) for settings in both_brokers)
        on_redis.start_workers(("threads", "threads", 3), ("prefork", "prefork", 3))
        on_rabbitmq.start_worker("prefork", "prefork", 3)
        for live in (on_redis, on_rabbitmq):
            live.start_api()
        side_by_side(
            lambda: ends_in_time(on_redis, "threads", tmp_path / "threads"),
            lambda: ends_in_time(on_redis, "prefork", tmp_path / "prefork"),
            lambda: ends_in_time(on_rabbitmq, "prefork", tmp_path / "rabbitmq"),
        )


def ends_in_time(live: Live, queue: str, file: Path) -> None:
    """The job of a deaf task, when it is cancelled and when it is late. The worker of its queue goes on."""
    cancelled = live.submit("journal", deaf(file), queue=queue)
    late = live.submit("journal", deaf(file), queue=queue, timeout_s=1)
    other = live.submit("speak", {"pieces": ["word "] * 60, "pause_s": 0.05}, queue=queue)
    wait_until(lambda: live.job(cancelled)["status"] == "running")

    with live.client() as client:
        assert client.post(f"/v1/jobs/{cancelled}/cancel").status_code == 202
    asked = time.monotonic()
    job = live.job(cancelled, 10)
    assert job["status"] == "cancelled"
    assert time.monotonic() - asked < 2.5 + live.stalls.since(asked)

    job = live.job(late, 10)
    assert (job["status"], job["error"]["code"]) == ("failed", "timeout")
    assert live.job(other, 20)["status"] == "succeeded", "it did nothing wrong"
    again = live.submit("speak", {"pieces": ["fine"]}, queue=queue)
    assert live.job(again, 20)["status"] == "succeeded"
    assert live.job(cancelled)["status"] == "cancelled"
    assert [event["type"] for event in live.events(cancelled)] == ["queued", "started", "cancelled"]


def test_a_deaf_task_is_handed_back_when_its_worker_is_told_to_stop(tmp_path: Path) -> None:
    with Live(model=False, DRAIN_S="1", LEASE_S="30") as live:
        worker = live.start_worker("llm", "prefork", 2)
        live.start_api()
        journal = tmp_path / "journal"
        job_id = live.submit("journal", {**deaf(journal), "pause_s": 5})
        wait_until(lambda: journal.exists() and "begins" in journal.read_text())
        begun = time.monotonic()
        worker.kill(signal.SIGTERM)
        live.start_worker("llm", "prefork", 2)
        worker.process.wait(LIMIT_S)
        job = live.job(job_id, 20)
        assert job["status"] == "succeeded"
        assert job["attempt"] == 2 or live.stalls.longest(begun) > 2, "its task ended before it was told"
