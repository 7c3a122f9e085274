"""How fast a job counts, how long it will still take, and which of its counts are worth telling; pure."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

WINDOW_S: Final = 10.0
"""The rate is that of so long: it heeds a change soon and no hiccup."""
SAMPLE_S: Final = 0.25
FIRST_S: Final = 1.0
"""A rate of less time than this would be a guess."""
EVENTS_PER_S: Final = 10.0
BURST: Final = 10.0
"""So many counts are told at once: a short count is told whole."""


@dataclass
class Pace:
    """The counts of one job, step by step.

    Args:
        clock: seconds that only grow.
    """

    clock: Callable[[], float] = time.monotonic
    _step: str | None = None
    _samples: deque[tuple[float, float]] = field(default_factory=deque)
    _allowance: float = BURST
    _told_at: float = 0.0

    def count(self, current: float, step: str | None) -> bool:
        """Takes a count and says whether it begins anew, as one of a new step does, or one that has fallen."""
        now = self.clock()
        is_new = not self._samples or step != self._step or current < self._samples[-1][1]
        if is_new:
            self._step = step
            self._samples.clear()
        # Samples lie apart, save for the newest, which is kept up to date.
        if len(self._samples) > 1 and now - self._samples[-2][0] < SAMPLE_S:
            self._samples.pop()
        self._samples.append((now, current))
        while len(self._samples) > 2 and now - self._samples[1][0] >= WINDOW_S:
            self._samples.popleft()
        return is_new

    @property
    def rate(self) -> float | None:
        """Items a second, of late; None where it is too early to tell."""
        if not self._samples:
            return None
        (began, first), (now, last) = self._samples[0], self._samples[-1]
        return (last - first) / (now - began) if now - began >= FIRST_S else None

    def eta_s(self, total: float | None) -> float | None:
        """Seconds until all are done, at this rate."""
        rate = self.rate
        if not rate or total is None:
            return None
        return round(max(0.0, total - self._samples[-1][1]) / rate, 1)

    def is_due(self) -> bool:
        """Whether another count is to be told: the first few at once, then no more than EVENTS_PER_S."""
        now = self.clock()
        self._allowance = min(BURST, self._allowance + (now - self._told_at) * EVENTS_PER_S)
        self._told_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True


def rate_text(rate: float | None) -> str | None:
    """A rate for people: ``1,240/s``, ``2.5/s``, ``12/min``."""
    if not rate:
        return None
    if rate >= 10:
        return f"{rate:,.0f}/s"
    if rate >= 0.5:
        return f"{rate:.1f}/s"
    return f"{rate * 60:.3g}/min"
