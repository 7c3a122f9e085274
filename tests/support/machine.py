"""How far behind this machine is: what a loaded or stalled one adds is no fault of what is tested on it."""

import threading
import time
from types import TracebackType
from typing import Final, Self

BEAT_S: Final = 0.05
USUAL_S: Final = 0.1
"""How late a thread that does next to nothing may be woken up."""
LONG_STALL_S: Final = 0.3
"""As much may cost a sweep."""


class Stalls:
    """Notes when a thread that only sleeps was woken up late. A context manager.

    A machine that does not wake up this thread does not wake up those either that say that a worker lives.
    """

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="stalls", daemon=True)
        self._before = time.monotonic()
        self._noted: list[tuple[float, float]] = []

    def _beat(self) -> None:
        self._before, over = time.monotonic(), False
        while not over:
            # The last one counts as well: it may be the stall that has failed the test that ends here.
            over = self._over.wait(BEAT_S)
            now = time.monotonic()
            late = now - self._before - BEAT_S
            if late > USUAL_S:
                self._noted.append((now, late))
            self._before = now

    def since(self, moment: float) -> float:
        """For how many seconds in all it was late since then."""
        return sum(self._all(moment))

    def longest(self, moment: float) -> float:
        """The longest time without a break that it was late since then, in seconds."""
        return max(self._all(moment), default=0.0)

    def recovery(self, moment: float, lease_s: float) -> float:
        """What it has added since then to the time after which a job goes on elsewhere, in seconds.

        Where workers did not come to sweep for half a lease meanwhile, everyone is given another lease's time. That,
        and the new connections of those that missed a heartbeat, may still last from a stall shortly before.
        """
        stalled_s = self.since(moment - lease_s)
        return stalled_s + (lease_s if stalled_s > LONG_STALL_S else 0)

    def _all(self, moment: float) -> list[float]:
        noted = [late for at, late in list(self._noted) if at > moment]
        # The thread that asks may have been woken up before the one that notes.
        late = 0.0 if self._over.is_set() else time.monotonic() - self._before - BEAT_S
        return [*noted, late] if late > USUAL_S else noted

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(5)
