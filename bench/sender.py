"""`python -m bench.sender REDIS WAY SECONDS BATCH`: sends jobs' messages to the broker, and says how many a second."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from celery import Celery

from bench.percentiles import percentile
from progress.commands import Waiting
from progress.jobs import uuid7
from progress.settings import Settings
from tasks.queue import CeleryQueue


def plain(url: str) -> Callable[[], object]:
    """What a tutorial does: an app on a Redis broker, and ``apply_async``."""
    app = Celery(broker=url)
    app.conf.task_ignore_result = True
    task: Any = app.task(nothing, name="bench.run")
    return lambda: task.apply_async((uuid7(),))


def nothing(job_id: str) -> None:
    """A task that nobody runs: only its messages count."""


def ours(url: str, way: str, batch: int) -> Callable[[], object]:
    """What the API does."""
    queue = CeleryQueue.from_settings(Settings(redis_url=url, llm_base_url="http://127.0.0.1:9/v1"))
    if way == "enqueue":
        return lambda: queue.enqueue(uuid7(), "llm", 0)
    return lambda: queue.enqueue_all([Waiting(uuid7(), "llm", 0) for _ in range(batch)])


def main() -> int:
    """Sends for a while."""
    url, way, seconds, batch = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
    send = plain(url) if way == "apply_async" else ours(url, way, batch)
    send()
    took: list[float] = []
    until = time.perf_counter() + seconds
    began = at = time.perf_counter()
    while at < until:
        send()
        before, at = at, time.perf_counter()
        took.append((at - before) * 1000)
    each = batch if way == "enqueue_all" else 1
    figures = {"sent": len(took) * each / (at - began), "p50_ms": percentile(took, 50), "p99_ms": percentile(took, 99)}
    print(json.dumps(figures), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
