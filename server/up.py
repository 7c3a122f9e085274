"""`jobcast up`: Redis, model server, workers, scheduler, API and page as child processes in one terminal."""

import asyncio
import fcntl
import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from progress.settings import Settings
from server import programs
from server.console import Console
from server.embedded import free_port, is_free
from server.processes import Child, Program, StartError

DATA: Final = Path(".jobcast")
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WELCOME: Final = """
Jobcast is up: {url}

Try:  curl -N {url}/v1/jobs -H 'Accept: text/event-stream' -H 'Content-Type: application/json' {auth}\\
        -d '{{"kind": "generate", "input": {{"prompt": "Once upon a time"}}}}'

Ctrl-C stops everything; jobs are kept in {data}.
"""


def run(settings: Settings, data: Path = DATA) -> None:
    """Runs everything until a signal.

    Raises:
        StartError: one line that says what could not be started, and the mend.
    """
    data.mkdir(parents=True, exist_ok=True)
    with _only_one(data):
        asyncio.run(Launcher(settings, data).run())


class Launcher:
    """Starts stages of programs in order, each when the one before is up; stops them in the reverse order."""

    def __init__(self, settings: Settings, data: Path, console: Console | None = None) -> None:
        self._settings = settings
        self._data = data
        self._stages: list[list[Child]] = []
        self._stop = asyncio.Event()
        self._console = console or Console(on_closed=self._stop.set)

    async def run(self) -> None:
        """Starts all, then waits for SIGINT, SIGTERM or SIGHUP. A second signal kills at once.

        Raises:
            StartError: something did not start; what had started is stopped again.
        """
        with _on_signals(self._signalled):
            try:
                await self._until_stopped(self._start_all())
            finally:
                await self._stop_all()

    def _signalled(self) -> None:
        if self._stop.is_set():
            for child in self._children():
                child.kill()
        self._stop.set()

    async def _until_stopped(self, starting: Awaitable[None]) -> None:
        start = asyncio.ensure_future(starting)
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
                await stop
        finally:
            start.cancel()
            stop.cancel()
            await asyncio.gather(start, stop, return_exceptions=True)

    async def _start_all(self) -> None:
        port = self._port()
        url = programs.url_of(self._settings, port)
        env = {"JOBCAST_PORT": str(port), "JOBCAST_REDIS_URL": await self._redis()}
        env["JOBCAST_LLM_BASE_URL"] = await self._model()
        if not self._settings.llm_base_url:
            env["JOBCAST_LLM_CONTINUES"] = "1"
        # Together, since each is seconds of imports; two stages, since readers leave before workers do.
        await asyncio.gather(
            self._start(programs.workers(env, self._data, self._settings)), self._start([programs.api(env, url)])
        )
        auth = "-H 'Authorization: Bearer KEY' " if self._settings.api_keys else ""
        self._console.say(WELCOME.format(url=url, auth=auth, data=self._data))

    def _port(self) -> int:
        host, port = self._settings.host, self._settings.port
        if not port:
            return free_port(host)
        if not is_free(host, port):
            raise StartError(f"port {port} is taken: set JOBCAST_PORT to another one, or to 0 for any")
        return port

    async def _redis(self) -> str:
        url = self._settings.redis_url
        if not url:
            port = free_port()
            await self._start([programs.redis(port, self._data)])
            return programs.redis_url(port)
        if (error := await programs.redis_error(url)) is not None:
            raise StartError(f"JOBCAST_REDIS_URL: no Redis answers there: {error}")
        return url

    async def _model(self) -> str:
        if self._settings.llm_base_url:
            return self._settings.llm_base_url
        port = free_port()
        await self._start([programs.model(port)])
        return programs.model_url(port)

    async def _start(self, stage: Sequence[Program]) -> None:
        children = [Child(program, self._console.line) for program in stage]
        self._stages.append(children)
        await asyncio.gather(*(child.start() for child in children))

    async def _stop_all(self) -> None:
        if self._stages:
            self._console.say("jobcast: stopping")
        for stage in reversed(self._stages):
            await asyncio.gather(*(child.stop() for child in stage))

    def _children(self) -> Iterator[Child]:
        for stage in self._stages:
            yield from stage


@contextmanager
def _on_signals(handler: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for signum in SIGNALS:
        loop.add_signal_handler(signum, handler)
    try:
        yield
    finally:
        for signum in SIGNALS:
            loop.remove_signal_handler(signum)


@contextmanager
def _only_one(data: Path) -> Iterator[None]:
    """Two launchers on one folder would be two servers on one append-only file."""
    with (data / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip()
            raise StartError(
                f"jobcast up runs here already, as process {holder}: stop that one, "
                "or start from another directory with another JOBCAST_PORT"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
