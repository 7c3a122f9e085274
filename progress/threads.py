"""Threads that others depend on: they outlive what goes wrong in them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def surviving(logger: logging.Logger, message: str, *args: object) -> Iterator[None]:
    """Logs whatever is raised inside, with a traceback, and goes on after it.

    For code that may fail in ways nobody knows of, in a thread whose end nobody would see.
    """
    try:
        yield
    except Exception:  # the thread goes on with what it keeps alive
        logger.exception(message, *args)
