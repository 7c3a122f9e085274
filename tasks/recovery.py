"""The sweeper: in every worker, one at a time; it enqueues again what nobody would run otherwise.

That is: jobs whose time has come (delays, retries), jobs whose attempt has lost its lease, and jobs that wait while the
broker has no message (a crash between record and message, a message taken by a worker that died at once, a flush).
Jobs of a process that is gone wait for no lease: every worker looks after those of its own machine, as no other can.
"""

import logging
import threading
from typing import Final

from progress.claims import Claims
from progress.commands import Waiting
from progress.errors import StoreUnavailable
from progress.threads import surviving
from tasks.queue import JobQueue, QueueUnavailable

logger = logging.getLogger(__name__)

EVERY_S: Final = 0.5
PRESENCE_EVERY: Final = 4
"""Rounds between two signs of life."""
LOST_AFTER_S: Final = 5.0
"""A job that has waited for this long has lost its message if the broker has none, or if one behind it has begun."""


class Sweeper:
    """A thread of a worker's main process: says that the worker lives, and sweeps when it is its turn.

    ``aging_s`` is how long a job waits before it counts as more urgent; 0 is never.
    """

    def __init__(
        self, claims: Claims, queue: JobQueue, worker: str, served: tuple[str, ...], *, aging_s: float = 0
    ) -> None:
        self._claims = claims
        self._queue = queue
        self._worker = worker
        self._served = served
        self._aging_s = aging_s
        self._round = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._closing.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            # Were this thread to end, jobs would be lost for ever.
            with surviving(logger, "sweep failed, and is tried again"):
                self._try()
            if self._closing.wait(EVERY_S):
                return

    def _try(self) -> None:
        try:
            self.sweep()
        except (StoreUnavailable, QueueUnavailable) as error:
            logger.warning("sweep put off: %s", error)

    def sweep(self) -> None:
        """One round. Raises StoreUnavailable, QueueUnavailable."""
        if self._round % PRESENCE_EVERY == 0:
            self._claims.seen(self._worker, self._served)
        self._round += 1
        self._enqueue(self._claims.bury())
        found = self._claims.sweep(self._worker)
        self._enqueue(found or [])
        if self._round % PRESENCE_EVERY == 0:
            if found is not None:
                self._find_lost(self._queue.queues)
            # Those that no kind names, only submissions: nobody knows them but who serves them.
            self._find_lost(tuple(set(self._served) - set(self._queue.queues)))

    def _find_lost(self, queues: tuple[str, ...]) -> None:
        for queue in queues:
            empty = self._queue.depth(queue) == 0
            self._enqueue(self._claims.long_waiting(queue, LOST_AFTER_S, queue_empty=empty))
            if self._aging_s:
                # The message that it had before is of no use, and does no harm.
                self._enqueue(self._claims.age(queue, self._aging_s))

    def _enqueue(self, found: list[Waiting]) -> None:
        for job in found:
            self._queue.enqueue(job.job_id, job.queue, job.priority)
            logger.info("job %s enqueued in %s", job.job_id, job.queue)
