"""Several parts of a test beside each other, which together take no longer than the longest: they mostly wait."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def side_by_side(here: Callable[[], object], *elsewhere: Callable[[], object]) -> None:
    """Does the first in this thread and each other one in a thread of its own, and raises what one of them raises.

    What those in other threads start goes with their threads, when all are over (server/leash.py).
    """
    with ThreadPoolExecutor(len(elsewhere)) as threads:
        doing = [threads.submit(part) for part in elsewhere]
        here()
    for done in doing:
        done.result()
