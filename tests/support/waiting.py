"""Waiting for what another process does, and knowing when it is gone."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

POLL_S = 0.01
LIMIT_S = 30.0
"""Only there to end a hang: a machine that is busy, or stands still for some seconds, does not come near it."""


async def turns(count: int = 1) -> None:
    """Lets what is ready run: so many turns of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool | Awaitable[bool]], timeout_s: float = LIMIT_S) -> None:
    """Returns once the condition holds; one that awaits may also do something for that. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(POLL_S)


def wait_until(condition: Callable[[], bool], timeout_s: float = LIMIT_S) -> None:
    """The same, blocking. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(POLL_S)


def gone(pid: int) -> bool:
    """Whether no such process runs; one that nobody has waited for yet does not run either."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return state_of(pid) == "Z"
    except FileNotFoundError:  # it went just now, or this system has no /proc
        return False


def state_of(pid: int) -> str:
    """What a process does, as Linux says it: ``S`` waits, ``R`` runs, ``T`` is stopped, ``Z`` has ended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
