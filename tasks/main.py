"""Starts a worker, the scheduler or Celery's monitor in this process."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from progress.errors import InvalidSettings
from progress.settings import LOOPBACK, current
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
    # With the process in it: on RabbitMQ no two workers that can be asked may have one name.
    argv += ["--without-gossip", "--without-mingle", "--hostname", f"{'-'.join(served)}-{os.getpid()}@%h"]
    argv += [] if current().celery_events else ["--without-heartbeat"]
    app.worker_main([*argv, "--concurrency", str(concurrency or default_concurrency(pool))])


def default_concurrency(pool: str) -> int:
    """Attempts at once in one worker."""
    return 50 if pool == "threads" else max(2, os.cpu_count() or 2)


def run_beat(schedule: Path) -> None:
    """Runs Celery's scheduler until it is told to stop; ``schedule`` is the file that it keeps its fixed times in."""
    from tasks.worker import app

    schedule.parent.mkdir(parents=True, exist_ok=True)
    level = set_up_log()
    argv = ["--quiet", "beat", "--scheduler", "tasks.beat:Beat", "--schedule", str(schedule), "--loglevel", level]
    app.start([*argv, "--pidfile", ""])


def run_flower(host: str, port: int) -> None:
    """Runs Flower, which only looks: whoever cancels a task there would leave its job to be run again.

    Raises:
        InvalidSettings: it is not installed, hears nothing, or could be reached by anybody.
    """
    if find_spec("flower") is None:
        raise InvalidSettings("Flower is not installed: pip install 'jobcast[flower]'")
    if not current().celery_events:
        raise InvalidSettings(
            "JOBCAST_CELERY_EVENTS is false, so workers tell Flower nothing: set it for all processes"
        )
    if host not in LOOPBACK and not os.environ.get("FLOWER_BASIC_AUTH"):
        raise InvalidSettings(f"--host is {host}, which others can reach: set FLOWER_BASIC_AUTH=name:password")
    from tasks.worker import app

    set_up_log()
    # It asks workers eight things at once, over two connections each; and knows kombu's own transports by name.
    app.conf.update(broker_pool_limit=32, broker_transport=None)
    app.start(["flower", f"--address={host}", f"--port={port}", "--read-only=True"])
