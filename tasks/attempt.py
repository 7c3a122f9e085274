"""One attempt of a job in a worker: claim it, run the kind's function, say how it ended."""

import logging
import os
import random
import signal
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

from celery import current_app
from celery.exceptions import SoftTimeLimitExceeded
from pydantic import BaseModel, ValidationError

from progress import factory
from progress.claims import Claims, Keeper
from progress.collections import Collections
from progress.commands import Begun, Outcome
from progress.errors import AttemptOver, AttemptReleased, AttemptTimeout, AttemptWaits, JobCancelled
from progress.events import encode_json
from progress.holder import Holder
from progress.jobs import MAX_LEVELS, Job, Json, too_deep
from progress.publisher import Committer, Publisher
from progress.settings import Settings
from progress.storage import open_storage
from progress.turns import Turns
from tasks import turns
from tasks.drain import drain
from tasks.errors import Retry, TaskError
from tasks.family import Children
from tasks.patience import patiently
from tasks.progress import Progress, Resumed
from tasks.queue import CeleryQueue, JobQueue
from tasks.registry import Kind, kinds

logger = logging.getLogger(__name__)
MESSAGE_CHARS: Final = 2000
STOPPED: Final = ("worker_stopped", "its worker was told to stop; another one goes on")
UNSETTLED_S: Final = 0.25
"""How long a worker waits before it asks for a job again that Redis may have lost a claim to."""
LONGEST_PAUSE_S: Final = 24 * 3600.0
"""No attempt waits longer than this for the one before, whatever a model server asks for."""


@dataclass(frozen=True)
class Ending:
    """How an attempt ended: ``value`` is the result or the error as JSON."""

    outcome: Outcome
    value: str
    delay_ms: int = 0


class Runner:
    """What one worker process needs to run attempts: its connections, its committer and its keeper.

    Made after a fork, never before: threads do not survive one.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lease_ms = round(settings.lease_s * 1000)
        self.executor = factory.executor(settings.redis_url)
        self.storage = open_storage(settings)
        self.collections = Collections(
            self.executor, most_bytes=settings.max_collection_bytes, ttl_s=settings.collection_ttl_s
        )
        self.claims = Claims(
            self.executor, lease_ms=self.lease_ms, holder=Holder.here(), limits=settings.running_limits
        )
        self.turns = Turns(self.executor, settings.rate_limits)
        self.committer = Committer(self.executor)
        self.keeper = Keeper(self.claims, lease_s=settings.lease_s, let_go=drain.is_over, give_up=self._give_up)
        self._running: dict[Publisher, Job] = {}
        self._leaving = threading.Lock()
        self.is_disposable = False
        """Whether this process may be killed with a task that does not stop: one that runs nothing else may."""
        self._made_queue: JobQueue | None = None

    def close(self) -> None:
        """Ends threads and connections."""
        self.keeper.close()
        self.committer.close()
        if self._made_queue:
            self._made_queue.close()
        self.executor.close()

    def run(self, job_id: str) -> bool:
        """Runs a job if it is to be run, to its end or to the loss of the right to write.

        Returns:
            Whether its message has served. Not where another attempt holds the job: it may be the only one there is
            should that attempt be lost.
        """
        begun = self._begin(job_id)
        if begun.job is None or begun.claim is None:
            logger.info("job %s: nothing to run (%s)", job_id, begun.answer)
            return begun.answer != "held"
        job = begun.job
        publisher = Publisher(
            self.committer,
            begun.claim,
            lease_ms=self.lease_ms,
            flush_ms=self.settings.flush_ms,
            begun=begun.again,
        )
        if job.timeout_s:
            publisher.deadline = time.monotonic() + job.timeout_s
        self._running[publisher] = job
        self.keeper.hold(publisher)
        try:
            self._report(job, publisher, self._ending(job, publisher))
        finally:
            self.keeper.release(publisher)
            with self._leaving:
                del self._running[publisher]
        return True

    def _give_up(self, publisher: Publisher) -> None:
        """Ends the job of a task that was told to stop and does not: it sleeps, or computes, and looks at nothing."""
        job = self._running.get(publisher)
        if job is None or publisher.over is None:
            return
        logger.warning("job %s: attempt %d does not stop, and goes on alone", job.id, job.attempt)
        self._report(job, publisher, ending_when_over(publisher.over, job))
        with self._leaving:
            # Under the lock the task cannot end, so that the next job of this process is not hit instead.
            if self.is_disposable and publisher in self._running:
                os.kill(os.getpid(), signal.SIGKILL)

    def _begin(self, job_id: str) -> Begun:
        while True:
            begun = patiently(lambda: self.claims.begin(job_id, worker_name()), job_id)
            if begun.answer != "unsettled":
                return begun
            # Redis has crashed; the job may have a holder, who will have said so by then.
            time.sleep(UNSETTLED_S)

    def _ending(self, job: Job, publisher: Publisher) -> Ending | None:
        """Runs the function; None where this attempt has nothing to say any more."""
        kind = kinds().get(job.kind)
        if kind is None:
            return _failed("unknown_kind", f"this worker knows no kind {job.kind!r}: add its module to JOBCAST_TASKS")
        task_progress = Progress(
            publisher,
            resumed=self._resumed(job),
            attempt=job.attempt,
            max_attempts=job.max_attempts,
            files=self.storage,
            job_id=job.id,
        )
        task_progress.collections = self.collections
        task_progress.family = Children(self.executor, self._queue, self.settings, job, lambda: publisher.over)
        try:
            turns.begin(job.kind, self.turns, task_progress)
            value = as_result(kind.function(kind.validate(job.input), task_progress))
            if task_progress.told and isinstance(publisher.over, AttemptReleased | AttemptTimeout):
                # It has looked, was told to stop, and did: what it returns is not the whole. (Of a cancelled job the
                # record keeps it all the same.)
                return ending_when_over(publisher.over, job)
            return Ending("succeeded", value)
        except Exception as error:  # noqa: BLE001  # whatever a task raises is its job's end, not the worker's
            return ending_of(error, publisher.over, kind, job)

    def _resumed(self, job: Job) -> Resumed | None:
        if job.checkpoint_seq == 0:
            return None
        return Resumed(job.checkpoint, self.claims.kept_text(job))

    def _queue(self) -> JobQueue:
        """For the children of jobs that run here: most have none."""
        with self._leaving:
            self._made_queue = self._made_queue or CeleryQueue(current_app._get_current_object(), self.settings)
        return self._made_queue

    def _report(self, job: Job, publisher: Publisher, ending: Ending | None) -> None:
        if ending is None:
            logger.warning("job %s: attempt %d is over, another one has the job", job.id, job.attempt)
            return
        finished = publisher.finish(ending.outcome, ending.value, delay_ms=ending.delay_ms)
        logger.info("job %s: attempt %d %s", job.id, job.attempt, finished.answer)


def ending_of(error: Exception, over: AttemptOver | None, kind: Kind, job: Job) -> Ending | None:
    """What an exception means. ``over`` comes first: a task that was told to stop may fail in any way."""
    match over or error:
        case AttemptOver() as told:
            return ending_when_over(told, job)
        case SoftTimeLimitExceeded():
            return ending_when_over(AttemptTimeout(), job)
        case ValidationError() as invalid:
            return _failed("invalid_input", first_line(invalid))
        case TaskError() as known:
            return _retry_or_fail(known.code, known.message, known.retryable, pause_s(known, kind, job), job)
    logger.exception("job %s: %s failed", job.id, kind.name, exc_info=error)
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _retry_or_fail("task_error", message, True, backoff_s(kind.backoff_s, job.attempt, None), job)


def ending_when_over(over: AttemptOver, job: Job) -> Ending | None:
    """How an attempt ends that was told to stop; None where another one has the job, or it has ended."""
    match over:
        case AttemptTimeout():
            return _failed("timeout", f"the attempt took longer than {job.timeout_s or 'the worker allows'} s")
        case JobCancelled():
            return Ending("cancelled", "")
        case AttemptWaits() as waits:
            return Ending("waiting", waits.group)
        case AttemptReleased():
            return Ending("released", encode_json(error_json(*STOPPED, retryable=True)))
    return None


def _retry_or_fail(code: str, message: str, retryable: bool, delay_s: float, job: Job) -> Ending:
    error = encode_json(error_json(code, message, retryable=retryable))
    if not retryable or job.attempt - job.handed_back >= job.max_attempts:
        return Ending("failed", error)
    return Ending("retrying", error, round(delay_s * 1000))


def pause_s(error: TaskError, kind: Kind, job: Job) -> float:
    """Seconds before the next attempt. A task that says when is taken at its word; all else is spread."""
    if isinstance(error, Retry) and error.retry_after_s is not None:
        return _bounded(error.retry_after_s)
    return backoff_s(kind.backoff_s, job.attempt, error.retry_after_s)


def backoff_s(bounds: tuple[float, float], attempt: int, retry_after_s: float | None) -> float:
    """Seconds before the next attempt: exponential with full jitter, and never less than what was asked for."""
    first, longest = bounds
    pause = random.uniform(0, min(longest, first * 2 ** (attempt - 1)))
    if retry_after_s is None:
        return pause
    return _bounded(retry_after_s) + min(pause, 1.0)


def _bounded(asked_s: float) -> float:
    # This way round NaN becomes 0, too.
    return min(max(0.0, asked_s), LONGEST_PAUSE_S)


def error_json(code: str, message: str, *, retryable: bool) -> Json:
    """The ``error`` of a job."""
    return {"code": code, "message": message[:MESSAGE_CHARS], "retryable": retryable}


def _failed(code: str, message: str) -> Ending:
    return Ending("failed", encode_json(error_json(code, message, retryable=False)))


def first_line(invalid: ValidationError) -> str:
    """The first thing that is wrong with an input, with the field's name."""
    first = invalid.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "input"
    return f"{field}: {first['msg']}"


def as_result(value: Any) -> str:
    """What a task returned, as JSON. Raises TaskError where JSON has no form for it."""
    try:
        plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        if too_deep(plain):
            raise ValueError(f"it nests deeper than {MAX_LEVELS} levels")
        return encode_json(plain)
    except (TypeError, ValueError) as error:
        raise TaskError("bad_result", f"the task's result has no form in JSON: {error}") from error


def worker_name() -> str:
    """This process, as `started` events show it."""
    return f"{socket.gethostname()}:{os.getpid()}"


_runners: dict[int, Runner] = {}
_making = threading.Lock()


def runner(settings: Settings) -> Runner:
    """The Runner of this process."""
    with _making:
        made = _runners.get(os.getpid())
        if made is None:
            _runners.clear()
            made = _runners[os.getpid()] = Runner(settings)
            turns.shared = made.turns
        return made
