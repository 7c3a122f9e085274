"""The API as a process: uvicorn, with an order of shutdown that lets streams end well."""

import asyncio
import gc
import logging
import socket

import uvicorn

from progress import collector
from progress.settings import Settings
from server.app import create_app, make_state
from server.direct import LiveDoor
from server.handover import Outermost
from server.several import shared_socket
from server.state import State

logger = logging.getLogger(__name__)
GRACE_S = 3
GC_THRESHOLDS = (50_000, 20, 20)
SETTLE_S, POLL_S = 0.3, 0.01


class Server(uvicorn.Server):
    """uvicorn runs the lifespan's teardown only after connections have ended, so streams would keep it waiting: here
    the Hub announces the end first, and every stream ends at an event boundary."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self._state = state

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Does what uvicorn does, which says where it listens only where the socket is its own."""
        await super().startup(sockets)
        for shared in sockets or ():
            logger.info("listening at %s, port %d, beside others", *shared.getsockname()[:2])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops listening, lets streams end, then does what uvicorn does."""
        for server in self.servers:
            server.close()
        self._state.hub.announce_close()
        await self._streams_end()
        await super().shutdown(sockets)

    async def _streams_end(self) -> None:
        """Waits for a moment: uvicorn closes every socket at once with 1012, and ours say 1001."""
        for _ in range(round(SETTLE_S / POLL_S)):
            if not self._state.streams:
                return
            await asyncio.sleep(POLL_S)


class WithoutTracebacks(logging.Filter):
    """Text that is no UTF-8 is a client's fault, and uvicorn closes its socket with 1007: a line in the log will do."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        if record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError):
            record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
        return True


async def serve(settings: Settings, *, shared_port: bool = False) -> None:
    """Runs the API until it is told to stop; with ``shared_port`` beside other processes at the same address."""
    state = make_state(settings)
    config = uvicorn.Config(
        create_app(state),
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        access_log=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=75,
        ws_max_size=64 * 1024,
        # A frame is made once for all readers; compressing it for each would undo that.
        ws_per_message_deflate=False,
        backlog=4096,
        server_header=False,
    )
    logging.getLogger("uvicorn.error").addFilter(WithoutTracebacks())
    config.load()
    # Outside of what uvicorn has put around the app, too.
    config.loaded_app = Outermost(config.loaded_app, LiveDoor(state))
    collector.spare()
    # Nearly everything that comes and goes here goes by its reference count; under load a look at all that is open, for
    # cycles that are not there, would cost a quarter of the time.
    gc.set_threshold(*GC_THRESHOLDS)
    await Server(config, state).serve([shared_socket(settings.host, settings.port)] if shared_port else None)


def run(settings: Settings, *, shared_port: bool = False) -> None:
    """Runs the API in this process until SIGINT or SIGTERM."""
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(settings, shared_port=shared_port))


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        from uvloop import Loop
    except ImportError:
        return None
    return Loop
