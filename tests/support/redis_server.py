"""A real Redis (or Valkey) for tests: its own port, socket and directory, and never left behind."""

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import redis

from server.embedded import LOOPBACK, find_server, free_port
from tests.support import aof
from tests.support.server_process import ServerProcess

START_S = 30.0
LATE_S = 0.3
"""By how much more than the time that a crash is to cost it may cost."""


class RedisServer(ServerProcess):
    """One server process. A context manager; ``options`` are those of its command line, after those of ``config``.

    It goes with the process that started it, also when that one is killed with -9 (``server/leash.py``).
    """

    def __init__(self, *options: str, password: str = "", config: Path | None = None, bus_port: int = 0) -> None:
        super().__init__("jobcast-")
        self.port = free_port()
        self.bus_port = bus_port
        self.socket = self.directory / "redis.sock"
        self._password = password
        self._options = options
        self._config = config
        self._own: redis.Redis | None = None

    @property
    def login(self) -> str:
        """What stands before the host in an address."""
        return f":{quote(self._password, safe='')}@" if self._password else ""

    @property
    def url(self) -> str:
        """Its address over TCP."""
        return f"redis://{self.login}{LOOPBACK}:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """Its address as a socket in the file system."""
        return f"unix://{self.login}{self.socket}"

    def start(self) -> None:
        leash = (sys.executable, "-m", "server.leash", str(os.getpid()), str(find_server()))
        self._process = subprocess.Popen(
            (*leash, *self._arguments()), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"no Redis for the tests: {self._options} on port {self.port}")
            time.sleep(0.005)

    def _arguments(self) -> list[str]:
        first = [str(self._config)] if self._config else []
        options = {"bind": LOOPBACK, "port": str(self.port), "dir": str(self.directory), "save": ""}
        # A replica is served when it asks: by default others may come for five seconds.
        options |= {"repl-diskless-sync-delay": "0"}
        options |= {"unixsocket": str(self.socket), "requirepass": self._password, "loglevel": "warning"}
        return [*first, *(word for name, value in options.items() for word in (f"--{name}", value)), *self._options]

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=1) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(64)[:5] in {b"+PONG", b"-NOAU"}
        return False

    def client(self) -> "redis.Redis":
        """A connection for looking inside; close it."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def binary_client(self) -> "redis.Redis":
        """The same, for values as they are."""
        return redis.Redis.from_url(self.url)

    def command(self, *words: str | int) -> object:
        """Runs one command, as text."""
        with self.client() as client:
            answer: object = client.execute_command(*words)
            return answer

    @property
    def own(self) -> "redis.Redis":
        """The one that it keeps, for values as they are, and for what each test needs: don't close it."""
        if self._own is None:
            self._own = self.binary_client()
        return self._own

    def kill(self) -> None:
        """See ServerProcess."""
        if self._own is not None:
            self._own.close()
            self._own = None
        super().kill()

    def info(self, section: str) -> str:
        """A section of what it says of itself, as it comes."""
        with self.binary_client() as client:
            # redis-py would read it.
            client.set_response_callback("INFO", lambda answer, **_options: answer.decode())
            return str(client.execute_command("INFO", section))

    def cluster_info(self, name: str) -> str:
        """One line of CLUSTER INFO."""
        with self.client() as client:
            answer: dict[str, str] = client.execute_command("CLUSTER INFO")
            return str(answer[name])

    @property
    def up(self) -> bool:
        """Whether it has been started, and not killed since."""
        return self._process is not None

    def written(self) -> int:
        """The size of its append-only file by now, for ``crash``."""
        return aof.newest(self.directory).stat().st_size

    def crash(self, kept: int) -> int:
        """Ends it as its machine's crash would: of its append-only file the first ``kept`` bytes were on the disk.

        A process that is killed loses nothing that it has written; a machine loses what was not synced yet, with
        ``appendfsync everysec`` about a second. Writes are lost whole, and those of a script together.

        Returns:
            how many bytes were lost.
        """
        file = aof.newest(self.directory)
        self.kill()
        log = file.read_bytes()
        end = aof.boundary(log, kept)
        os.truncate(file, end)
        return len(log) - end

    def written_before(self, ms: int) -> int:
        """The size of that file at this moment, for a crash ``ms`` later, which is when this returns.

        Where the machine stood still meanwhile, more would be lost than a crash costs: it begins anew.
        """
        while True:
            kept, began = self.written(), time.monotonic()
            time.sleep(ms / 1000)  # the time whose writes are lost, no waiting for anything
            if time.monotonic() - began < ms / 1000 + LATE_S:
                return kept

    def lose_tail(self, ms: int) -> int:
        """The same, ``ms`` from now, of what it writes from now on."""
        return self.crash(self.written_before(ms))
