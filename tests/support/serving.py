"""The tests' API on a real uvicorn, in the test's own event loop."""

import contextlib
import socket
import time
from collections.abc import AsyncIterator

import httpx
import uvicorn

from server.main import GRACE_S, Server
from tests.support.api import Api
from tests.support.live import NO_TLS


class Running:
    """A server of the tests' API, and its address."""

    def __init__(self, api: Api) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.netloc = f"127.0.0.1:{self._listener.getsockname()[1]}"
        config = uvicorn.Config(api.front, lifespan="off", log_config=None, timeout_graceful_shutdown=GRACE_S)
        self.server = Server(config, api.state)

    async def serve(self) -> None:
        await self.server.serve(sockets=[self._listener])

    def stop(self) -> float:
        """Asks it to stop; the moment at which that was."""
        self.server.should_exit = True
        return time.monotonic()


@contextlib.asynccontextmanager
async def streaming(running: Running, job_id: str) -> AsyncIterator[httpx.Response]:
    url = f"http://{running.netloc}/v1/jobs/{job_id}/events"
    async with httpx.AsyncClient(trust_env=False, verify=NO_TLS) as client, client.stream("GET", url) as response:
        yield response
