"""A server that tests bring along: one process in a directory of its own, and never left behind."""

import subprocess
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self


class Startable(ABC):
    """A context manager: started when it is entered, ended when it is left or cannot be started."""

    @abstractmethod
    def start(self) -> None:
        """Starts it, with the data it had when it was stopped, and returns once it answers."""

    @abstractmethod
    def close(self) -> None:
        """Ends it and removes its data."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ServerProcess(Startable):
    """One process. A subclass says how it is started."""

    def __init__(self, prefix: str) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix=prefix)
        self.directory = Path(self._directory.name)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process
        return self._process.pid

    def signal(self, number: int) -> None:
        """Sends a signal, such as SIGSTOP, to the server itself."""
        if self._process:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Ends it and removes its data."""
        self.kill()
        self._directory.cleanup()
