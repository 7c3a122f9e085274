"""Ending tasks of the event loop for sure."""

import asyncio
from typing import Any, Final

AGAIN_S: Final = 1.0


async def end(*tasks: "asyncio.Task[Any]", again_s: float = AGAIN_S) -> None:
    """Cancels tasks, and returns once they have ended, in whatever way.

    A cancel may be lost: until Python 3.12 ``asyncio.wait_for``, through which redis-py sends each command, ends as if
    there had been none where what it waits for ends in the same moment. So it is said again, every ``again_s`` seconds.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        ended, left = await asyncio.wait(left, timeout=again_s)
        for task in ended:
            # Looked at, or asyncio would complain of an error that nobody has.
            _ = task.cancelled() or task.exception()
