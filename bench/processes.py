"""Processes of a measurement: each on its core, gone with the bench, and what they use of the machine."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CORES: Final = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
SERVER_CORES: Final = frozenset(CORES[:1])
OTHER_CORES: Final = frozenset(CORES[1:] or CORES)
"""The measured server has a core of its own; all else shares the others."""
START_S: Final = 30.0


class BenchError(Exception):
    """A measurement could not be made; the message says why."""


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    env: Mapping[str, str] | None = None,
    *,
    cores: frozenset[int] = OTHER_CORES,
    log: Path | None = None,
    talks: bool = False,
) -> Iterator["subprocess.Popen[str]"]:
    """A process that ends with the block, and with this one.

    Args:
        cores: where it and its children run.
        log: a file for what it says; /dev/null without.
        talks: its standard input and output are pipes; what it complains of is shown.
    """
    leash = [sys.executable, "-m", "server.leash", str(os.getpid())]
    with contextlib.ExitStack() as stack:
        said = stack.enter_context(log.open("w")) if log else subprocess.DEVNULL
        with on_cores(cores):
            process = subprocess.Popen(
                [*leash, *map(str, command)],
                cwd=ROOT,
                env={**os.environ, **(env or {})},
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else said,
                stderr=None if talks else said,
                text=True,
            )
        try:
            yield process
        finally:
            _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    # At once: nothing of a measurement is to be kept, and a graceful end waits for readers.
    for pid in family(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@contextlib.contextmanager
def on_cores(cores: Iterable[int]) -> Iterator[None]:
    """What is started within runs there."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cores))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def wait_until(condition: Callable[[], bool], what: str, process: "subprocess.Popen[str] | None" = None) -> None:
    """Waits for a condition. Raises BenchError after START_S, or where the process has ended."""
    deadline = time.monotonic() + START_S
    while not condition():
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            raise BenchError(f"{what} does not come up")
        time.sleep(0.02)


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found, todo = [], [pid]
    while todo:
        found.append(at := todo.pop())
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{at}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds of processes so far, user and system, of all their threads."""
    return sum(map(_cpu_s, pids))


def _cpu_s(pid: int) -> float:
    total = 0.0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0]) / 1e9
    return total or _ticks_s(pid)


def _ticks_s(pid: int) -> float:
    """The same from the clock's ticks, where the kernel keeps no schedstat."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_kib(pids: Iterable[int]) -> float:
    """Resident memory in KiB."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return total * os.sysconf("SC_PAGE_SIZE") / 1024


def machine_cpu_s() -> float:
    """CPU seconds that the whole machine has used, whoever by."""
    with contextlib.suppress(OSError):
        fields = Path("/proc/stat").read_text().partition("\n")[0].split()
        busy = sum(int(fields[at]) for at in (1, 2, 3, 6, 7))
        return busy / os.sysconf("SC_CLK_TCK")
    return 0.0
