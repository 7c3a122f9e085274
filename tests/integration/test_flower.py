"""Flower, Celery's monitor, on our broker: it knows the workers, what they have run, and how long the queues are."""

import re
from typing import Any

import httpx
import pytest

from tests.support.live import Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_flower_knows_the_workers_and_what_they_run() -> None:
    with Live(model=False, CELERY_EVENTS="true") as live:
        worker = live.launch_worker("default", "threads", 1)
        flower = live.start("flower", "-m", "server.cli", "flower", "--port", "0", FLOWER_UNAUTHENTICATED_API="true")
        wait_until(lambda: worker.takes_jobs and "Visit me" in flower.output(), 60)
        (address,) = re.findall(r"Visit me at (http://127\.0\.0\.1:\d+)", flower.output())

        def asked(path: str) -> Any:
            return httpx.get(f"{address}/api/{path}", trust_env=False, timeout=20).raise_for_status().json()

        name = f"default-{worker.pid}@"
        wait_until(lambda: any(worker.startswith(name) for worker in asked("workers?status=1")), 30)
        # A worker has a second to answer, and is not waited for longer.
        wait_until(lambda: "registered" in told(asked("workers?refresh=1")), 30)
        assert "jobcast.run" in told(asked("workers"))["registered"]
        wait_until(lambda: bool(asked("queues/length")["active_queues"]), 30)
        assert asked("queues/length") == {"active_queues": [{"name": "default", "messages": 0}]}
        refused = httpx.post(f"{address}/api/worker/shutdown/{name}", trust_env=False, timeout=20)
        assert refused.status_code == 403, "it only looks"


def told(workers: dict[str, Any]) -> dict[str, Any]:
    """What the one worker has told, if anything."""
    return next(iter(workers.values()), {})
