"""A Celery worker's life: its one task, and what starts and stops beside it."""

import logging
from typing import Any

from celery import signals
from celery.exceptions import Reject

from progress import collector
from progress.process import die_with_parent
from progress.settings import current
from tasks import alone
from tasks.app import HOUSEKEEPING, RUN, default_app
from tasks.attempt import runner, worker_name
from tasks.broker import is_redis
from tasks.deliverer import Deliverer
from tasks.drain import drain
from tasks.janitor import Janitor
from tasks.patience import patiently
from tasks.pool import Upkeep
from tasks.queue import CeleryQueue
from tasks.recovery import Sweeper
from tasks.transport import AFTER_TIMEOUT

logger = logging.getLogger(__name__)
app = default_app()
app.steps["worker"].add(Upkeep)
_beside: list[tuple[Sweeper, Deliverer, CeleryQueue]] = []
"""What runs beside the jobs in a worker's main process."""


def run(job_id: str) -> None:
    """Runs a job, if it is to be run."""
    settings = current()
    ours = runner(settings)
    # In a prefork pool every attempt has a process for itself.
    is_suspect = not ours.is_disposable and patiently(lambda: alone.is_suspect(ours.claims, job_id), job_id)
    served = alone.run(job_id) if is_suspect else None
    if served is None:
        served = ours.run(job_id)
    if not served and is_redis(settings.broker):
        raise Reject("another attempt holds the job", requeue=AFTER_TIMEOUT)


def housekeeping() -> None:
    """One sweep from the scheduler's side, the net under workers whose sweepers all hang; and the janitor."""
    settings = current()
    ours = runner(settings)
    ttls = {"files_ttl_s": settings.files_ttl_s, "result_ttl_s": settings.result_ttl_s}
    Janitor(ours.storage, ours.claims, **ttls).clean()
    queue = CeleryQueue(app, settings)
    try:
        Sweeper(ours.claims, queue, worker_name(), ()).sweep()
    finally:
        queue.close()


def _child_started(**_: Any) -> None:
    # A pool process whose parent was killed would go on with its job, unsupervised.
    die_with_parent()
    runner(current()).is_disposable = True
    collector.spare(collect=False)


def _ready(sender: Any, **_: Any) -> None:
    settings = current()
    served = tuple(sender.app.amqp.queues.consume_from)
    queue = CeleryQueue(sender.app, settings)
    aging_s = settings.priority_aging_s
    sweeper = Sweeper(runner(settings).claims, queue, worker_name(), served, aging_s=aging_s)
    sweeper.start()
    deliverer = Deliverer(settings)
    deliverer.start()
    _beside.append((sweeper, deliverer, queue))
    collector.spare()
    logger.info("worker ready: %s", ", ".join(served))


def _stopping(**_: Any) -> None:
    drain.begin(current().drain_s)


def _stopped(**_: Any) -> None:
    # Not before: jobs that are handed back are enqueued again by a sweeper, which may be this one.
    while _beside:
        sweeper, deliverer, queue = _beside.pop()
        deliverer.close()
        sweeper.close()
        queue.close()


app.task(run, name=RUN)
app.task(housekeeping, name=HOUSEKEEPING)
signals.worker_process_init.connect(_child_started)
signals.worker_ready.connect(_ready)
signals.worker_shutting_down.connect(_stopping)
signals.worker_shutdown.connect(_stopped)
