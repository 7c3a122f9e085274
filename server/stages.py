"""Stages of programs: started in order, each when the one before is up, and stopped in the reverse order."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from server.console import Console
from server.processes import Child, Program

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stages:
    """What is started, and how, a subclass says."""

    def __init__(self, console: Console | None = None) -> None:
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
        raise NotImplementedError

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
