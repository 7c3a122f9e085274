"""Programs that the launcher keeps running: started, heard, started again when they die, stopped."""

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0
STEADY_S: Final = 10.0
"""A program that ran for this long died of something new: it is started again at once."""
MAX_LINE_BYTES: Final = 64 * 1024
LAST_WORDS_S: Final = 1.0
POLL_S: Final = 0.05

Say = Callable[[str, str], None]
"""Takes a program's name and one line of text."""


@dataclass(frozen=True)
class Program:
    """What to run and how to tell that it is up.

    ``env`` is added to the launcher's own. ``is_up`` is asked again and again until it says yes; ``up_line``
    is a pattern of the line that the program prints when it is. A program with neither is up once started.
    Lines that ``mute`` matches are not passed on.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    is_up: Callable[[], Awaitable[bool]] | None = None
    up_line: re.Pattern[str] | None = None
    mute: re.Pattern[str] | None = None
    grace_s: float = 10.0
    start_timeout_s: float = 30.0


class StartError(Exception):
    """The launcher cannot start something; the text is one line that names it and the mend."""


class Child:
    """One program that is kept running until it is stopped."""

    def __init__(self, program: Program, say: Say) -> None:
        self.program = program
        self.pid: int | None = None
        self._say = say
        self._spoke_up = asyncio.Event()
        self._stopping = asyncio.Event()
        self._died = asyncio.Event()
        self._was_up = False
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts it and returns when it is up.

        Raises:
            StartError: it died first, or took longer than its time.
        """
        run = await self._spawn()
        self._keeper = asyncio.create_task(self._keep(run), name=f"keep {self.program.name}")
        up = asyncio.create_task(self._until_up())
        died = asyncio.create_task(self._died.wait())
        try:
            timeout_s = self.program.start_timeout_s
            await asyncio.wait({up, died}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if self._died.is_set():
                raise self._failed(how_it_ended(run.returncode))
            if not up.done():
                raise self._failed(f"not ready after {timeout_s:g} s")
            up.result()
            self._was_up = True
        finally:
            up.cancel()
            died.cancel()

    async def stop(self) -> None:
        """Asks it to end, and kills it and all it started when its grace is over. May be called twice."""
        self._stopping.set()
        if self._keeper is not None:
            await self._keeper

    def kill(self) -> None:
        """Kills it and all it started at once."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    def _failed(self, reason: str) -> StartError:
        return StartError(f"{self.program.name} did not start: {reason}; its own lines above may say why")

    async def _until_up(self) -> None:
        if self.program.up_line is not None:
            await self._spoke_up.wait()
        while self.program.is_up is not None:
            if await self.program.is_up():
                return
            await asyncio.sleep(POLL_S)

    async def _spawn(self) -> "_Run":
        transport, run = await asyncio.get_running_loop().subprocess_exec(
            lambda: _Run(self._heard),
            *leashed(self.program.argv),
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.program.env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Ctrl-C in a terminal reaches a whole process group; the launcher alone shall decide the order.
            start_new_session=True,
        )
        self.pid = transport.get_pid()
        return run

    async def _keep(self, run: "_Run") -> None:
        """Sees one run after another through, until stopped."""
        pauses = _pauses()
        while True:
            began = time.monotonic()
            await self._see_through(run)
            self._died.set()
            if self._stopping.is_set() or not self._was_up:
                return
            if time.monotonic() - began > STEADY_S:
                pauses = _pauses()
            self._say(self.program.name, f"died ({how_it_ended(run.returncode)}); starting it again")
            if await _within(next(pauses), self._stopping.wait()):
                return
            run = await self._spawn()

    async def _see_through(self, run: "_Run") -> None:
        ended = asyncio.create_task(run.ended.wait())
        told = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if not ended.done():
            # It alone: pool processes would die of this in the middle of their jobs, which it is about to hand back.
            self._signal(signal.SIGTERM, os.kill)
            await _within(self.program.grace_s, asyncio.shield(ended))
        # What a killed program started itself, such as pool processes, goes with it.
        self._signal(signal.SIGKILL)
        await ended
        # Its output ends with it, unless something that left its process group still holds the pipe.
        await _within(LAST_WORDS_S, run.silent.wait())
        run.close()

    def _heard(self, text: str) -> None:
        if self.program.up_line is not None and self.program.up_line.search(text):
            self._spoke_up.set()
        if text and not (self.program.mute and self.program.mute.search(text)):
            self._say(self.program.name, text)

    def _signal(self, signum: int, send: Callable[[int, int], None] = os.killpg) -> None:
        if self.pid is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            send(self.pid, signum)


class _Run(asyncio.SubprocessProtocol):
    """One process: its lines, its end, and the end of its output.

    A protocol and no ``asyncio.subprocess.Process``, whose ``wait()`` waits for the end of the output too: that
    is when the last process that the dead one started has gone, and those are to be killed then.
    """

    def __init__(self, heard: Callable[[str], None]) -> None:
        self.ended = asyncio.Event()
        self.silent = asyncio.Event()
        self._heard = heard
        self._rest = b""
        self._transport: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._heard(line.decode(errors="replace").rstrip())

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._heard(self._rest.decode(errors="replace").rstrip())
        self.silent.set()

    def process_exited(self) -> None:
        self.ended.set()

    @property
    def returncode(self) -> int | None:
        """As of ``subprocess.Popen``: negative where a signal ended it."""
        return self._transport.get_returncode() if self._transport else None

    def close(self) -> None:
        """Lets go of the pipe."""
        if self._transport:
            self._transport.close()


def leashed(argv: Sequence[str]) -> list[str]:
    """The command line that runs ``argv`` so that it dies with this process."""
    # -P: a folder named `server` or `progress` in the current directory must not come before ours.
    return [sys.executable, "-P", "-m", "server.leash", str(os.getpid()), *argv]


def how_it_ended(returncode: int | None) -> str:
    """``exit status 1`` or ``killed by SIGKILL``."""
    if returncode is None:
        return "still running"
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return f"exit status {returncode}"


def _pauses() -> Iterator[float]:
    yield 0.0
    pause = FIRST_PAUSE_S
    while True:
        yield pause
        pause = min(pause * 2, LONGEST_PAUSE_S)


async def _within(seconds: float, awaitable: Awaitable[object]) -> bool:
    """Whether it was done within ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            await awaitable
    except TimeoutError:
        return False
    return True
