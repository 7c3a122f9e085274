"""The turns of this process at model servers, and at kinds that may begin only so often: those of its Runner.

A script or a test has none, and asks as often as it likes.
"""

import threading
from typing import Final

from progress.errors import JobCancelled
from progress.turns import Turns
from tasks.progress import Progress

PAUSE_S: Final = 2.0
"""For how long nobody asks a model that answers 429 and does not say when to come again."""
LONGEST_PAUSE_S: Final = 600.0
"""Nobody waits longer than this at once, whatever a server asks for: the job's own retry heeds the rest."""

shared: Turns | None = None


def begin(kind: str, turns: Turns, progress: Progress) -> None:
    """Returns when it is a job's turn to begin, where its kind has a rate. Raises AttemptOver where it is to stop."""
    if not turns.has_rate(f"kind:{kind}"):
        return
    gone = threading.Event()
    progress.on_over(gone.set)

    def wait(seconds: float) -> None:
        gone.wait(seconds)
        if progress.cancelled:
            # What it really is, its Publisher knows.
            raise JobCancelled

    turns.take(f"kind:{kind}", wait)
