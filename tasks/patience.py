"""Asking a Redis that may be away for a moment."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from progress.errors import StoreUnavailable

logger = logging.getLogger(__name__)
R = TypeVar("R")


def patiently(ask: Callable[[], R], job_id: str) -> R:
    """Asks until Redis is there: it may be away for a moment, and giving up would leave the job to the sweeper."""
    pause = 0.1
    while True:
        try:
            return ask()
        except StoreUnavailable as error:
            logger.warning("job %s: Redis is away, asked again in %.1f s: %s", job_id, pause, error)
            time.sleep(pause)
            pause = min(pause * 2, 2.0)
