"""Several API processes on one port (JOBCAST_WORKERS): the kernel spreads connections over them.

They share nothing but Redis: each has its own Hub and its own pub/sub connection, and any of them serves any reader.
"""

import asyncio
import re
import socket
from typing import Final

from progress.settings import Settings
from server import programs
from server.console import Console
from server.embedded import free_port, is_free
from server.processes import Program, StartError
from server.stages import Stages

_UP: Final = re.compile("listening at")
"""What `server.main` logs once a process takes connections. uvicorn's own last line comes before that."""


def run(settings: Settings) -> None:
    """Runs them until a signal.

    Raises:
        StartError: one line that says what could not be started, and the mend.
    """
    asyncio.run(ApiProcesses(settings).run())


def api_port(settings: Settings) -> int:
    """The port that the API is to listen on. Raises StartError where it is taken."""
    host, port = settings.host, settings.port
    if not port:
        return free_port(host)
    if not is_free(host, port):
        raise StartError(f"port {port} is taken: set JOBCAST_PORT to another one, or to 0 for any")
    return port


def shared_socket(host: str, port: int) -> socket.socket:
    """A socket at an address that other processes have one at, too. Raises OSError."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


class ApiProcesses(Stages):
    """One that dies is started again; the others go on meanwhile."""

    def __init__(self, settings: Settings, console: Console | None = None) -> None:
        super().__init__(console)
        self._settings = settings

    async def _start_all(self) -> None:
        port = api_port(self._settings)
        # Bound, but deaf: it keeps the port ours while a process is started again.
        with shared_socket(self._settings.host, port):
            await self._start([self._process(number, port) for number in range(self._settings.workers)])
            await asyncio.Event().wait()

    def _process(self, number: int, port: int) -> Program:
        return Program(
            f"api-{number + 1}",
            programs.jobcast("api", "--shared-port"),
            env={"JOBCAST_PORT": str(port)},
            up_line=_UP if self._settings.log_level in {"debug", "info"} else None,
            grace_s=programs.SHORT_GRACE_S,
        )
