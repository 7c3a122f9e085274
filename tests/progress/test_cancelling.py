"""Tasks that are to end, and what they make of that."""

import asyncio

from progress import cancelling
from tests.support.waiting import turns


async def goes_on_after(cancels: int) -> None:
    """A task that loses some cancels, as ``wait_for`` does."""
    for _ in range(cancels):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue
    await asyncio.Event().wait()


async def fails() -> None:
    """A task that does not take being cancelled well."""
    try:
        await asyncio.Event().wait()
    finally:
        raise RuntimeError("never mind")


async def test_a_cancel_that_is_lost_is_said_again() -> None:
    tasks = [asyncio.create_task(goes_on_after(cancels)) for cancels in (0, 1, 2)]
    await turns()
    await cancelling.end(*tasks, again_s=0.001)
    assert all(task.cancelled() for task in tasks)


async def test_one_that_fails_instead_has_ended_too() -> None:
    task, done = asyncio.create_task(fails()), asyncio.create_task(asyncio.sleep(0))
    await done
    await cancelling.end(task, done)
    assert task.done()
    assert not task.cancelled()


async def test_of_none_there_is_nothing_to_wait_for() -> None:
    await cancelling.end()
