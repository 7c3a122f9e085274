"""The Publisher: the only write end of a log, and the thread that commits for all of them.

A token goes out at once if nothing went out for FLUSH_MS; those that follow are joined until then. One
committer thread serves every Publisher of a process: it sends whatever is due in one round trip, so ``token()`` costs a
lock and a list append, and the last tokens before a silence are never held back.
"""

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from progress.commands import Answer, Append, Appended, BeginAttempt, Claim, FinishAttempt, Finished, Outcome
from progress.committer import BACKOFF_S, Committer
from progress.errors import AttemptOver, AttemptStale, JobCancelled, LogClosed, StoreUnavailable
from progress.events import MAIN_CHANNEL, Draft, token_drafts, well_formed
from progress.healing import SET_BACK, Healing
from progress.threads import surviving

__all__ = ["OVER", "Committer", "Publisher", "progress_draft"]

logger = logging.getLogger(__name__)

HELD_BYTES: Final = 4 * 1024 * 1024
"""Unwritten text that a Publisher holds while Redis is away; then its task waits."""
EARLY: Final = 1 / 4
"""Of FLUSH_MS: an append may go so much before its time, and the next one's time stays what it was. Without it, each
token of a model that keeps this very pace would wait for the jitter of all before it, up to the whole of FLUSH_MS."""
APPEND_EVENTS: Final = 500
APPEND_BYTES: Final = 1024 * 1024
"""Most events, and about most bytes, in one append."""


class Publisher:
    """Writes the events of one attempt. Thread-safe; order is that of the calls.

    After an answer that ends the attempt's right to write, every further call raises it:
    JobCancelled, AttemptStale or LogClosed.

    Args:
        claim: the right to write.
        begun: makes the claim once more, should Redis have lost it in a crash.
    """

    def __init__(
        self,
        committer: Committer,
        claim: Claim,
        *,
        lease_ms: int,
        flush_ms: int,
        begun: BeginAttempt | None = None,
    ) -> None:
        self.claim = claim
        self.job_id = claim.job_id
        self.attempt = claim.attempt
        self.answered = 0
        self.finished = False
        """Whether its end is written, as far as is known."""
        self.over: AttemptOver | None = None
        self.over_since = math.inf
        self.deadline: float | None = None
        self.on_over: Callable[[], None] | None = None
        self._committer = committer
        self._lease_ms = lease_ms
        self._flush_s = flush_ms / 1000
        self._changed = threading.Condition()
        self._texts: list[str] = []
        self._channel = MAIN_CHANNEL
        self._drafts: list[Draft] = []
        self._progress = ""
        self._held_bytes = 0
        self._in_flight: Append | None = None
        self._number = self._tokens = 0
        self._first_token_at: int | None = None
        self._next_due = -math.inf
        self._scheduled = False
        self._finishing = False
        self._failures = 0
        self._healing = Healing(claim.job_id, committer.write_again, begun)

    def token(self, text: str, channel: str = MAIN_CHANNEL) -> None:
        """Publishes a piece of text. Empty text is nothing."""
        if not text:
            return
        text = well_formed(text)
        with self._changed:
            self._make_room()
            if channel != self._channel:
                self._join_texts()
                self._channel = channel
            self._texts.append(text)
            self._tokens += 1
            self._held_bytes += len(text)
            self._schedule()

    def event(self, draft: Draft) -> None:
        """Publishes any other event, after the text that came before it."""
        with self._changed:
            self._make_room()
            self._join_texts()
            # Of progress that nobody could have seen yet, only what differs counts.
            if self._drafts and draft.outdates(self._drafts[-1]):
                self._held_bytes -= len(self._drafts.pop().fields)
            self._drafts.append(draft)
            self._held_bytes += len(draft.fields)
            if draft.type == "progress":
                self._progress = "{" + draft.fields + "}"
            self._schedule()

    def checkpoint(self, state: str) -> None:
        """Keeps a state (JSON) and the text so far for the next attempt, if there is one."""
        with self._changed:
            self._make_room()
            self._join_texts()
            self._drafts.append(Draft("checkpoint", state))
            self._schedule()

    def flush(self, timeout_s: float | None = None) -> None:
        """Returns once everything before it is written.

        Raises:
            AttemptOver: this attempt may not write any more.
            StoreUnavailable: it took longer than ``timeout_s``.
        """
        with self._changed:
            if not self._changed.wait_for(self._settled, timeout_s):
                raise StoreUnavailable("the log could not be written in time")
            self._raise_over()

    def finish(self, outcome: Outcome, value: str, *, delay_ms: int = 0) -> Finished:
        """Ends the attempt, after everything before it, however long Redis is away.

        A cancelled attempt may still say how it ended. ``value`` is JSON; see FinishAttempt.
        """
        with self._changed:
            self._changed.wait_for(self._settled)
            # From here on the answer to ``command`` counts, and not what a heartbeat hears of our own end.
            self._finishing = True
            self._number += 1
            at = self._healing.now()
            spoken = (self._tokens, self._first_token_at) if self._first_token_at else ()
            command = FinishAttempt(self.claim, self._number, outcome, value, delay_ms, at, *spoken)
        while True:
            answer = self._committer.insist(command)
            if not self._healing.heals(answer.answer):
                break
            time.sleep(BACKOFF_S[0])
        with self._changed:
            self.finished = answer.written
            if answer.written:
                self.answered = command.number
                self._healing.keep(partial(command.again, answer), len(value))
        return answer

    def stop(self, over: AttemptOver) -> None:
        """Ends the right to write; the task learns of it at its next call. Only the first reason counts."""
        with self._changed:
            if self._finishing or (self.over and not _is_final(over)):
                return
            first, self.over = self.over is None, over
            self.over_since = min(self.over_since, time.monotonic())
            if _is_final(over):
                self._texts.clear()
                self._drafts.clear()
            self._changed.notify_all()
        if first and self.on_over:
            self._tell(self.on_over)

    def _tell(self, on_over: Callable[[], None]) -> None:
        # What a task hooks in here runs in the threads that keep every other task alive.
        with surviving(logger, "job %s: on_over failed", self.job_id):
            on_over()

    def _settled(self) -> bool:
        written = not (self._texts or self._drafts or self._in_flight)
        return written or _is_final(self.over)

    def _make_room(self) -> None:
        if self._held_bytes >= HELD_BYTES:
            self._changed.wait_for(lambda: self.over is not None or self._held_bytes < HELD_BYTES)
        self._raise_over()

    def _raise_over(self) -> None:
        if self.over:
            # The same one each time: it would otherwise collect every place that raised it.
            raise self.over.with_traceback(None)

    def _join_texts(self) -> None:
        if self._texts:
            self._drafts.extend(token_drafts("".join(self._texts), self._channel))
            self._texts.clear()

    def _schedule(self) -> None:
        if not self._scheduled and not self._in_flight:
            self._scheduled = True
            self._committer.schedule(self, self._next_due)

    def take(self) -> Append | None:
        """The next append, called by the committer; None where there is nothing to write."""
        with self._changed:
            self._scheduled = False
            if self._in_flight is None:
                self._join_texts()
                self._in_flight = self._next_append()
            return self._in_flight

    def _next_append(self) -> Append | None:
        if not self._drafts:
            return None
        drafts, self._drafts = self._drafts, []
        if len(drafts) > 1:
            sizes = itertools.accumulate(len(draft.fields) for draft in drafts[:APPEND_EVENTS])
            count = max(1, sum(1 for size in sizes if size <= APPEND_BYTES))
            drafts, self._drafts = drafts[:count], drafts[count:]
        self._number += 1
        self._next_due = max(self._next_due, time.monotonic() - EARLY * self._flush_s) + self._flush_s
        progress, self._progress = self._progress, ""
        return Append(self.claim, self._number, self._lease_ms, tuple(drafts), progress, self._healing.now())

    def done(self, answer: Appended | StoreUnavailable) -> None:
        """What became of the append; called by the committer."""
        if isinstance(answer, StoreUnavailable):
            self._put_off(answer)
            return
        if self._healing.heals(answer.answer):
            self._put_off(StoreUnavailable("Redis has crashed, and what it has lost is written again"))
            return
        with self._changed:
            self._failures = 0
            self._keep(answer)
            self._in_flight = None
            self._held_bytes = 0
            if self._texts or self._drafts:
                self._held_bytes = sum(map(len, self._texts)) + _bytes_of(self._drafts)
                self._schedule()
            self._changed.notify_all()
        if answer.answer != "ok":
            self.stop(OVER[answer.answer]())

    def _keep(self, answer: Appended) -> None:
        written = self._in_flight
        if written and answer.answer in ("ok", "cancel"):
            self.answered = written.number
            if not self._first_token_at and any(draft.type == "token" for draft in written.drafts):
                self._first_token_at = answer.at
            self._healing.keep(partial(written.again, answer), _bytes_of(written.drafts))
            self._healing.forget()

    def heard(self, answer: Answer) -> None:
        """What a heartbeat says of this attempt."""
        if self._healing.heals(answer):
            return
        if answer in SET_BACK:
            self.finished = False
        if answer != "ok" and self.over is None:
            self.stop(OVER[answer]())

    def _put_off(self, error: StoreUnavailable) -> None:
        shortest, longest = BACKOFF_S
        pause = min(longest, shortest * 2**self._failures)
        if self._healing.is_under_way:
            # Redis is there, and it is others who wait for us.
            pause = shortest
        # Bounded: a power of two that no float holds would end the committer's thread after half an hour's outage.
        self._failures = min(self._failures + 1, 10)
        logger.warning("job %s: log not written, again in %.2f s: %s", self.job_id, pause, error)
        with self._changed:
            self._scheduled = True
            self._committer.schedule(self, time.monotonic() + pause)


def _bytes_of(drafts: Sequence[Draft]) -> int:
    return sum([len(draft.fields) for draft in drafts])


def _is_final(over: AttemptOver | None) -> bool:
    """Whether nothing that is still held can be written; after a cancel or a timeout it can."""
    return isinstance(over, AttemptStale | LogClosed)


OVER: Final[dict[str, type[AttemptOver]]] = {
    "cancel": JobCancelled,
    "stale": AttemptStale,
    "behind": AttemptStale,
    "closed": LogClosed,
    "gone": LogClosed,
}


def progress_draft(fraction: float | None, **fields: Any) -> Draft:
    """A ``progress`` event; ``fraction`` is brought into 0–1."""
    return Draft.of("progress", fraction=None if fraction is None else min(1.0, max(0.0, fraction)), **fields)
