"""Starts a worker or the scheduler in this process."""

from collections.abc import Sequence
from pathlib import Path

from tasks.app import queue_names
from tasks.log import set_up_log

THREADS_QUEUE = "llm"
"""The queue of jobs that wait for a model: many at once, in threads. All other queues run prefork."""


def run_worker(queues: Sequence[str] = (), pool: str | None = None, concurrency: int | None = None) -> None:
    """Runs a Celery worker until it is told to stop.

    Args:
        queues: all where empty.
        pool: ``threads`` or ``prefork``; by default threads where only the queue ``llm`` is served.
        concurrency: attempts at once; by default 50 threads, or a process a core (2 at least).
    """
    from tasks.worker import app

    served = tuple(queues) or queue_names()
    pool = pool or ("threads" if set(served) == {THREADS_QUEUE} else "prefork")
    level = set_up_log()
    argv = ["--quiet", "worker", "--queues", ",".join(served), "--pool", pool, "--loglevel", level]
    argv += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--hostname", f"{'-'.join(served)}-%d@%h"]
    app.worker_main([*argv, "--concurrency", str(concurrency or default_concurrency(pool))])


def default_concurrency(pool: str) -> int:
    """Attempts at once in one worker."""
    import os

    return 50 if pool == "threads" else max(2, os.cpu_count() or 2)


def run_beat(schedule: Path) -> None:
    """Runs Celery's scheduler until it is told to stop; ``schedule`` is the file that it keeps its times in."""
    from tasks.worker import app

    schedule.parent.mkdir(parents=True, exist_ok=True)
    level = set_up_log()
    app.start(["--quiet", "beat", "--schedule", str(schedule), "--loglevel", level, "--pidfile", ""])
