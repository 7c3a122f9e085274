"""The place of one measurement: an empty Redis as `jobcast up` runs it, a folder, a port, room for many sockets."""

import contextlib
import resource
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis

from bench.processes import OTHER_CORES, running, wait_until
from progress.errors import StoreUnavailable
from progress.factory import ping
from server.embedded import LOOPBACK, find_server, free_port, server_command

MOST_FILES: Final = 65_536


@dataclass(frozen=True)
class Site:
    """Where the processes of a measurement find each other."""

    folder: Path
    port: int
    redis_port: int
    redis_pid: int

    @property
    def redis_url(self) -> str:
        """The address of Redis."""
        return f"redis://{LOOPBACK}:{self.redis_port}/0"

    def subscriptions(self) -> int:
        """How many connections of Redis are subscribed to something."""
        with contextlib.closing(redis.Redis.from_url(self.redis_url)) as client:
            found = client.client_list()
        return sum(any(int(one.get(name, 0)) for name in ("sub", "psub", "ssub")) for one in found)


@contextlib.contextmanager
def site(cores: frozenset[int] = OTHER_CORES) -> Iterator[Site]:
    """A place, with its Redis at work."""
    allow_many_files()
    redis_port = free_port()
    with tempfile.TemporaryDirectory(prefix="jobcast-bench-") as name:
        folder = Path(name)
        command = server_command(find_server(), redis_port, folder)
        # Peers that read slowly are to be slow, and not to be cut off by Redis.
        command += ["--client-output-buffer-limit", "pubsub 256mb 128mb 60"]
        with running(command, cores=cores, log=folder / "redis.log") as process:
            found = Site(folder, free_port(), redis_port, process.pid)
            wait_until(lambda: _answers(found.redis_url), "Redis", process)
            yield found


def allow_many_files() -> None:
    """Lets this process and those it starts open as many sockets as they may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if most == resource.RLIM_INFINITY else most
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _answers(url: str) -> bool:
    try:
        ping(url)
    except StoreUnavailable:
        return False
    return True


def listens(port: int) -> bool:
    """Whether something accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
        return True
    return False
