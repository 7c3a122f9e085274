"""Starts a worker or the scheduler in this process."""

import logging
from collections.abc import Sequence
from pathlib import Path

from amqp.exceptions import AMQPError

from progress.settings import current
from tasks.app import queue_names

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
    level = _log()
    argv = ["--quiet", "worker", "--queues", ",".join(served), "--pool", pool, "--loglevel", level]
    argv += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--hostname", f"{'-'.join(served)}-%d@%h"]
    app.worker_main([*argv, "--concurrency", str(concurrency or default_concurrency(pool))])


class WithoutTracebacks(logging.Filter):
    """A broker that has gone away is a line in the log: its messages come again, and do no harm."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        if record.exc_info and isinstance(record.exc_info[1], OSError | AMQPError):
            record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
        return True


def _log() -> str:
    level = current().log_level
    logging.basicConfig(level=level.upper(), format="%(levelname)s %(name)s: %(message)s")
    # A line for each request to the model server says nothing that the job's log does not.
    logging.getLogger("httpx").setLevel("WARNING")
    for name in ("request", "consumer.consumer", "loops"):
        logging.getLogger(f"celery.worker.{name}").addFilter(WithoutTracebacks())
    # Nor does Celery's warning, with a traceback, of a message that is left with the broker: see tasks/worker.py.
    logging.getLogger("celery.app.trace").addFilter(_is_news)
    return level


def _is_news(record: logging.LogRecord) -> bool:
    data = getattr(record, "data", None)
    return not isinstance(data, dict) or data.get("description") != "rejected"


def default_concurrency(pool: str) -> int:
    """Attempts at once in one worker."""
    import os

    return 50 if pool == "threads" else max(2, os.cpu_count() or 2)


def run_beat(schedule: Path) -> None:
    """Runs Celery's scheduler until it is told to stop; ``schedule`` is the file that it keeps its times in."""
    from tasks.worker import app

    schedule.parent.mkdir(parents=True, exist_ok=True)
    level = _log()
    app.start(["--quiet", "beat", "--schedule", str(schedule), "--loglevel", level, "--pidfile", ""])
