"""The Sender: the thread that sends the messages of new jobs, since sending blocks."""

import logging
import math
import queue
import threading
import time
from collections.abc import Iterator
from typing import Final

from progress.commands import Waiting
from tasks.queue import JobQueue

logger = logging.getLogger(__name__)

UNSENT: Final = 10_000
"""Messages that may wait for a broker that hangs; the sweeper sends what goes beyond."""
TOGETHER: Final = 500
"""Most messages that are sent in one step."""


class Sender:
    """Sends messages in the order of the calls, together where several wait. What cannot be sent is the sweeper's."""

    def __init__(self, jobs: JobQueue) -> None:
        self._jobs = jobs
        # To put something into it costs the event loop less than a microsecond, and no lock that the thread may hold.
        self._unsent: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._until = math.inf
        self._thread = self._started()

    def send(self, job: Waiting) -> None:
        """Sends a job's message soon."""
        if self._unsent.qsize() < UNSENT:
            self._unsent.put(job)
        if not self._thread.is_alive():
            # By an error that nobody foresaw, which is in the log: the next ones are not to suffer for it.
            self._thread = self._started()

    def _started(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="sender", daemon=True)
        thread.start()
        return thread

    def close(self, timeout_s: float) -> None:
        """Sends what waits, for so long, and ends the thread. Blocks until then."""
        self._until = time.monotonic() + timeout_s
        self._unsent.put(None)
        self._thread.join()

    def _run(self) -> None:
        for jobs in self._batches():
            if jobs and time.monotonic() < self._until:
                self._send(jobs)

    def _batches(self) -> Iterator[list[Waiting]]:
        """Whatever waits, until the end is told."""
        while True:
            taken = [self._unsent.get()]
            while len(taken) < TOGETHER and not self._unsent.empty():
                taken.append(self._unsent.get())
            yield [job for job in taken if job]
            if taken[-1] is None:
                return

    def _send(self, jobs: list[Waiting]) -> None:
        for job_id, error in self._jobs.enqueue_all(jobs).items():
            logger.warning("job %s: left to the sweeper, the broker cannot be used: %s", job_id, error)
