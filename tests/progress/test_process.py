"""A process that does not outlive its parent, tried with real ones."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.waiting import gone, wait_until

CHILD = """
import signal, sys
from progress import process
{before}
process.die_with_parent({arguments})
print(__import__("os").getpid(), flush=True)
signal.pause()
"""
PARENT = """
import signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1]])
signal.pause()
"""
KERNEL = ""
THREAD = "sys.platform = 'other'"


@contextmanager
def family(before: str = KERNEL, arguments: str = "") -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A parent, and the process id of its child."""
    child = CHILD.format(before=before, arguments=arguments)
    with subprocess.Popen([sys.executable, "-c", PARENT, child], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        try:
            yield parent, pid
        finally:
            parent.kill()
            if not gone(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("before", [KERNEL, THREAD], ids=["kernel", "thread"])
def test_a_child_goes_with_a_parent_that_is_killed(before: str) -> None:
    with family(before) as (parent, child):
        assert not gone(child)
        parent.kill()
        wait_until(lambda: gone(child))


def test_a_child_may_ask_for_a_softer_end() -> None:
    soft = "import signal; signal.signal(signal.SIGTERM, lambda *_: (print('soft', flush=True), sys.exit()))"
    with family(soft, f"signum={int(signal.SIGTERM)}") as (parent, _child):
        parent.kill()
        assert parent.stdout is not None
        assert parent.stdout.readline() == "soft\n"


def test_a_child_whose_parent_is_gone_already_does_not_start() -> None:
    code = CHILD.format(before="", arguments="parent=1")
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, timeout=30)
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout == b""
