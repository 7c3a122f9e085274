"""Runs the demo model on a socket, and ends it without waiting for answers under way."""

import logging
import socket
from collections.abc import Callable

import uvicorn

from server.demo_model.app import DemoModel, create_app


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        OSError: the address is taken, or none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def base_url(listener: socket.socket) -> str:
    """What to set as ``JOBCAST_LLM_BASE_URL``."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


class DemoServer(uvicorn.Server):
    """A uvicorn for one demo model, which says when it is up."""

    def __init__(self, demo: DemoModel, on_up: Callable[[], None] = lambda: None) -> None:
        # An answer that is cut on purpose is no news.
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        config = uvicorn.Config(create_app(demo), log_level="warning", access_log=False, ws="none", lifespan="off")
        super().__init__(config)
        self._demo = demo
        self._on_up = on_up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to serve."""
        await super().startup(sockets)
        self._on_up()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends: uvicorn alone would wait until every answer is complete."""
        self._demo.end()
        await super().shutdown(sockets)


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("ASGI callable returned without")
