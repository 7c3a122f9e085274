"""The Committer: the thread that writes for every Publisher of a process, in as few round trips as there can be."""

import heapq
import itertools
import logging
import math
import threading
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol

from progress.commands import Append, Appended, Command, FinishAttempt, Finished
from progress.connect import Executor
from progress.errors import StoreUnavailable

logger = logging.getLogger(__name__)

BACKOFF_S: Final = (0.05, 2.0)
PAUSE_S: Final = 0.002
"""From the beginning of one round trip to that of the next, at least. Where a hundred Publishers are at work, each of
their tokens would else go by itself, for nearly twice the CPU, here and in Redis, of some that go together."""


class Writer(Protocol):
    """What a Committer needs of a Publisher."""

    def take(self) -> Append | None:
        """The next append; None where there is nothing to write."""

    def done(self, answer: Appended | StoreUnavailable) -> None:
        """What became of it."""


class Committer:
    """The thread that writes for every Writer of this process."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._wake = threading.Condition()
        self._due: list[tuple[float, int, Writer]] = []
        self._order = itertools.count()
        self._closing = False
        self._pause_ends = self._looks_at = -math.inf
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def schedule(self, writer: Writer, due: float) -> None:
        """Asks for a commit at ``due`` on the monotonic clock, or as soon as possible after it."""
        with self._wake:
            heapq.heappush(self._due, (due, next(self._order), writer))
            if max(due, self._pause_ends) < self._looks_at:
                self._wake.notify()

    def insist(self, command: FinishAttempt) -> Finished:
        """Runs a command that must not be lost: again and again until Redis answers."""
        shortest, longest = BACKOFF_S
        pause = shortest
        while True:
            try:
                return self._executor.run(command)
            except StoreUnavailable as error:
                logger.warning("job %s: end not recorded, again in %.2f s: %s", command.claim.job_id, pause, error)
                time.sleep(pause)
                pause = min(pause * 2, longest)

    def write_again(self, commands: Sequence[Command[Any]]) -> None:
        """Makes writes once more that Redis has lost, in order; those that it has not lost do nothing."""
        for answer in self._executor.run_many(commands) if commands else ():
            if isinstance(answer, StoreUnavailable):
                logger.warning("not written again: %s", answer)

    def close(self) -> None:
        """Writes what is held, as far as Redis is there for it, and ends the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while writers := self._wait():
            taken = [(writer, append) for writer in writers if (append := writer.take())]
            if taken and not self._commit(taken) and self._closing:
                return

    def _commit(self, taken: list[tuple[Writer, Append]]) -> bool:
        """Writes what was taken; says whether Redis was there."""
        answers = self._answers([append for _, append in taken])
        for (writer, _), answer in zip(taken, answers, strict=True):
            writer.done(answer)
        return not any(isinstance(answer, StoreUnavailable) for answer in answers)

    def _answers(self, appends: list[Append]) -> list[Any]:
        try:
            return self._executor.run_many(appends)
        except Exception as error:  # were this thread to end, every task of the process would hang
            logger.exception("appends not sent")
            return [StoreUnavailable(f"{type(error).__name__}: {error}")] * len(appends)

    def _wait(self) -> list[Writer]:
        """The Writers that are due; when closing all that hold something, then none."""
        with self._wake:
            while True:
                now = math.inf if self._closing else time.monotonic()
                due = max(self._due[0][0], self._pause_ends) if self._due else math.inf
                if self._due and due <= now:
                    self._pause_ends = now + PAUSE_S
                    return self._pop(now)
                if self._closing:
                    return []
                # Whoever schedules something for later need not wake this thread, which looks then in any case.
                self._looks_at = due
                self._wake.wait(due - now if self._due else None)
                self._looks_at = -math.inf

    def _pop(self, now: float) -> list[Writer]:
        found: list[Writer] = []
        while self._due and self._due[0][0] <= now and len(found) < 64:
            found.append(heapq.heappop(self._due)[2])
        return found
