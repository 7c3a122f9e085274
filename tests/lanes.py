"""The whole suite in two lanes, side by side: most of its time is waiting for servers, workers and leases.

What kills processes and looks at their times has the right of way; the other lane takes what it leaves of the machine.
Each has servers of its own. ``make test`` runs this; the exit status is the worst of both.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Final

from progress.process import die_with_parent

ROOT: Final = Path(__file__).parent.parent
FIRST: Final = ("tests/faults", "tests/integration")
UNIT: Final = ("tests/docs", "tests/progress", "tests/server/demo_model", "tests/tasks")
NOT_FAST: Final = tuple(
    f"tests/{name}" for name in ("browser", "clients", "cluster", "faults", "fuzz", "integration", "js")
)
"""Where no test is a fast one: what they import takes as long as many a fast test."""
NICE: Final = 10
PYTEST: Final = ("-m", "pytest")
COUNTED: Final = ("-m", "coverage", "run", "--parallel-mode", *PYTEST)
LANE: Final = "TEST_LANE"
"""Which of the two a process of pytest is: they look for free ports in different places."""
UNCOMPILED: Final = "PYTHONDONTWRITEBYTECODE"
"""Where this is set, every run and each of a hundred processes in it would compile all of the source anew."""


def start(lane: int, arguments: list[str], output: IO[bytes] | None) -> "subprocess.Popen[bytes]":
    """Begins a lane: what follows the name of Python. Without ``output`` it writes to the terminal."""

    def prepare() -> None:
        die_with_parent()
        os.nice(NICE * lane)

    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**{name: value for name, value in os.environ.items() if name != UNCOMPILED}, LANE: str(lane)},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        preexec_fn=prepare,  # noqa: PLW1509  # this process has one thread
    )


def main(arguments: list[str]) -> int:
    """Runs both, and shows the output of the second one after that of the first. ``--unit`` runs the fast tests."""
    first = UNIT if arguments[:1] == ["--unit"] else FIRST
    arguments = arguments[first is UNIT :]
    command = PYTEST if first is UNIT else COUNTED
    rest = [f"--ignore={path}" for path in (*first, *(NOT_FAST if first is UNIT else ()))]
    with tempfile.TemporaryFile() as output:
        lanes = [start(1, [*command, *rest, *arguments], output), start(0, [*command, *first, *arguments], None)]
        statuses = [lane.wait() for lane in lanes]
        output.seek(0)
        print(output.read().decode(errors="replace"))
    return max(abs(status) for status in statuses)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
