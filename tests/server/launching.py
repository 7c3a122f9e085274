"""`jobcast up` as a test runs it: in a folder of its own, on a free port, heard line by line."""

import os
import queue
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from progress.settings import PREFIX

START_S = 60.0


class Up:
    """One launcher and everything that it starts. Leaving the context kills what still runs."""

    def __init__(self, folder: Path, *arguments: str, **env: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        self.folder = folder
        self.lines: list[str] = []
        self._heard: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "server.cli", "up", *arguments],
            cwd=folder,
            env={**clean, "JOBCAST_PORT": "0", **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._heard.put(line.rstrip("\n"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def wait_for(self, pattern: str, timeout_s: float = START_S) -> re.Match[str]:
        """The next line that matches. Raises AssertionError with all that was said."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.lines.append(self._heard.get(timeout=max(deadline - time.monotonic(), 0.01)))
            except queue.Empty:
                said = "\n".join(self.lines)
                raise AssertionError(f"no line {pattern!r} within {timeout_s:g} s:\n{said}") from None
            if found := re.search(pattern, self.lines[-1]):
                return found

    def url(self) -> str:
        """The address that it prints once everything is up."""
        return self.wait_for(r"Jobcast is up: (http://\S+)")[1]

    def running(self, *words: str) -> list[int]:
        """Process ids of all that runs in its folder, itself too, and has these words on its command line."""
        return [pid for pid in _in_folder(self.folder) if all(word in _command_line(pid) for word in words)]


def _in_folder(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:  # it has gone, or is none of ours
            continue
    return found


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
