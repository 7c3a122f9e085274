"""What a process owes its parent: not to outlive it, even when the parent is killed with -9."""

import ctypes
import os
import signal
import sys
import threading
import time
from typing import Final

POLL_S: Final = 0.5
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def die_with_parent(parent: int | None = None, signum: int = signal.SIGKILL) -> None:
    """From now on this process gets ``signum`` as soon as its parent is gone.

    On Linux the kernel sees to it, and goes on doing so after an exec. "Parent" is there the *thread* that
    forked: call this only where that thread lives as long as its process. Elsewhere a thread of this process
    watches, which an exec ends.

    Args:
        parent: process id of the parent, as the parent told it; ``getppid()`` where None, which misses a
            parent that died before this call.
        signum: SIGKILL, or SIGTERM for a process that has something to finish.
    """
    expected = os.getppid() if parent is None else parent
    if sys.platform == "linux":
        _prctl_pdeathsig(signum)
    else:
        threading.Thread(target=_watch, args=(expected, signum), name="die-with-parent", daemon=True).start()
    # It may have died between our start and the line above, and no signal tells of that any more.
    if os.getppid() != expected:
        os.kill(os.getpid(), signum)


def _prctl_pdeathsig(signum: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signum), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def _watch(parent: int, signum: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os.kill(os.getpid(), signum)
