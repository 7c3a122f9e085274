"""Commands on a leash: what they are, what becomes of them, and what becomes of their exit status."""

import os
import signal
import subprocess
import sys

import pytest

from tests.support.waiting import gone, wait_until

LEASH = [sys.executable, "-P", "-m", "server.leash"]
HOLD = [
    sys.executable,
    "-c",
    "import sys; from server.leash import hold; sys.exit(hold(int(sys.argv[1]), sys.argv[2:]))",
]
WAITS = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
SOFT = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5));" + WAITS
STARTER = """
import os, signal, subprocess, sys
*leash, python, flag, code = sys.argv[1:]
subprocess.Popen([*leash, str(os.getpid()), python, flag, code])
signal.pause()
"""

both = pytest.mark.parametrize("leash", [LEASH, HOLD], ids=["exec", "hold"])


@both
def test_the_command_s_exit_status_is_ours(leash: list[str]) -> None:
    command = [*leash, str(os.getpid()), sys.executable, "-c", "import sys; sys.exit(3)"]
    assert subprocess.run(command, check=False, timeout=30).returncode == 3


def test_a_command_beside_us_that_a_signal_ended_is_told_as_shells_do() -> None:
    kills_itself = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    command = [*HOLD, str(os.getpid()), sys.executable, "-c", kills_itself]
    assert subprocess.run(command, check=False, timeout=30).returncode == 128 + signal.SIGKILL


@both
def test_sigterm_reaches_the_command(leash: list[str]) -> None:
    command = [*leash, str(os.getpid()), sys.executable, "-c", SOFT]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 5


@both
def test_the_command_goes_with_a_starter_that_is_killed(leash: list[str]) -> None:
    command = [sys.executable, "-c", STARTER, *leash, sys.executable, "-c", WAITS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
        wait_until(lambda: gone(pid))
