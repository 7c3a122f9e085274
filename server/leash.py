"""`python -m server.leash PARENT_PID COMMAND…` runs a command that does not outlive its starter."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from progress.process import POLL_S, die_with_parent


def main(arguments: Sequence[str]) -> int:
    """Becomes the command where the kernel can watch the parent, else stays beside it and watches."""
    parent, command = int(arguments[0]), list(arguments[1:])
    if sys.platform == "linux":
        die_with_parent(parent)
        os.execvp(command[0], command)  # noqa: S606  # no shell is wanted
    return hold(parent, command)


def hold(parent: int, command: Sequence[str]) -> int:
    """Runs the command as a child, passes SIGTERM and SIGINT on, and kills it when ``parent`` is gone.

    Returns:
        the command's exit status, 128 + the signal's number where one killed it.
    """
    child = subprocess.Popen(command)  # noqa: S603  # the launcher's own command line

    def pass_on(signum: int, _frame: FrameType | None) -> None:
        child.send_signal(signum)

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, pass_on)
    while child.poll() is None:
        if os.getppid() != parent:
            child.kill()
        time.sleep(POLL_S / 5)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
