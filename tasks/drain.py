"""Draining: a worker that is told to stop lets its jobs go on for a while, then hands back those that are left."""

import mmap
import struct
import time
from typing import Final

_DOUBLE: Final = struct.Struct("d")


class Drain:
    """When a worker lets go of its jobs. Made before the pool forks, so that main process and children share it."""

    def __init__(self) -> None:
        # Anonymous shared memory: eight bytes are written at once, and 0 is "not yet".
        self._memory = mmap.mmap(-1, _DOUBLE.size)

    def begin(self, grace_s: float) -> None:
        """Lets jobs go on for ``grace_s`` from now."""
        _DOUBLE.pack_into(self._memory, 0, time.monotonic() + grace_s)

    def is_over(self) -> bool:
        """Whether that time has passed."""
        until: float = _DOUBLE.unpack_from(self._memory)[0]
        return 0 < until < time.monotonic()


drain: Final = Drain()
