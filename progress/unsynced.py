"""What Redis has answered but may not have on disk yet: with ``appendfsync everysec`` a crash loses the last second.

Whoever wrote it keeps it for a while, and writes it again should Redis come back without it: every such command finds
its old place by itself, gives its events their old ``seq`` and time, and does nothing where nothing was lost.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

KEPT_S: Final = 3.0
"""How long a write is kept. Redis calls fsync every second, and waits for a slow one for one more before it goes on."""
KEPT_BYTES: Final = 4 * 1024 * 1024
"""About how much is kept at most."""


class Unsynced(Generic[T]):
    """What makes again the writes of the last KEPT_S, in order: commands, or what makes them. Not thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: deque[tuple[float, int, str, T]] = deque()
        self._size = 0

    def add(self, command: T, size: int = 0, *, job_id: str = "") -> None:
        """Keeps a write that Redis has just answered; ``size`` in bytes."""
        self._kept.append((self._clock(), size, job_id, command))
        self._size += size
        while self._size > KEPT_BYTES:
            self._drop_oldest()

    def forget(self) -> None:
        """Lets go of what is on disk by now.

        To be called by who knows that the server that answers has it all: one that has just come back after a crash
        answers, too.
        """
        oldest = self._clock() - KEPT_S
        while self._kept and self._kept[0][0] < oldest:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._size -= self._kept.popleft()[1]

    def drop(self, job_id: str) -> None:
        """Lets go of what was kept of a job that is no more."""
        self._kept = deque(kept for kept in self._kept if kept[2] != job_id)
        self._size = sum(size for _, size, _, _ in self._kept)

    def again(self) -> list[T]:
        """What to run again, in this order. From now on it is as young as any write: Redis may crash again."""
        now = self._clock()
        self._kept = deque((now, size, job_id, command) for _, size, job_id, command in self._kept)
        return self.commands

    @property
    def commands(self) -> list[T]:
        """What is kept."""
        return [command for _, _, _, command in self._kept]
