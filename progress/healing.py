"""Healing: how a Publisher writes again what a crash of Redis has lost of its attempt."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from progress import keys
from progress.commands import BeginAttempt, Command
from progress.unsynced import Unsynced

logger = logging.getLogger(__name__)

SET_BACK: Final = frozenset({"behind", "gone"})
"""The answers of a Redis that has lost writes of ours."""
WRITTEN: Final = frozenset({"ok", "cancel"})
"""Those of one that has them all."""
PATIENCE_S: Final = keys.SETTLE_MS / 1000
"""How long it is tried. After that somebody else may have the job."""


class Healing:
    """The last writes of one attempt, from its claim on. Thread-safe.

    Args:
        write_again: makes writes once more.
        begun: the claim.
    """

    def __init__(
        self, job_id: str, write_again: Callable[[Sequence[Command[Any]]], None], begun: BeginAttempt | None
    ) -> None:
        self._job_id = job_id
        self._write_again = write_again
        self._lock = threading.Lock()
        self._since: float | None = None
        self._is_early = False
        self._unsynced: Unsynced[Callable[[], Command[Any]]] = Unsynced()
        self._begun: tuple[int, float] | None = None
        if begun and begun.granted:
            self._unsynced.add(lambda: begun)
            self._begun = (begun.granted.at, time.monotonic())

    def now(self) -> int | None:
        """Redis's time, from that of the claim: what a crash has lost before its answer came is the same again."""
        if self._begun is None:
            return None
        at, since = self._begun
        return at + round((time.monotonic() - since) * 1000)

    def keep(self, again: Callable[[], Command[Any]], size: int = 0) -> None:
        """Keeps what gives the command that makes a write again, which Redis has just answered; ``size`` in bytes."""
        with self._lock:
            self._unsynced.add(again, size)

    def forget(self) -> None:
        """Lets go of what is on disk; an append was written, so this server has lost nothing of what came before."""
        with self._lock:
            self._unsynced.forget()

    @property
    def is_under_way(self) -> bool:
        """Whether Redis is there, and lacks something."""
        return self._is_early or self._since is not None

    def heals(self, answer: str) -> bool:
        """Whether to ask once more after an answer; writes again what is lost, if it says that something is.

        False, too, once that has been in vain for too long. What is ``unsettled`` ends by itself, by Redis's clock.
        """
        with self._lock:
            self._is_early = answer == "unsettled"
            if self._is_early:
                return True
            if answer in WRITTEN:
                self._since = None
            if answer not in SET_BACK:
                return False
            now = time.monotonic()
            self._since = self._since or now
            if now - self._since > PATIENCE_S:
                return False
            commands = [again() for again in self._unsynced.again()]
        logger.warning("job %s: Redis has lost what was written last; %d writes again", self._job_id, len(commands))
        self._write_again(commands)
        return True
