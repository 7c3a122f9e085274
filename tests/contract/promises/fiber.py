"""Fibers: product code that blocks, taken on by a test from one request to the next.

A fiber runs in a thread of its own, but only one thread runs at a time: who runs is handed on, so that the same steps
are the same run.
"""

import threading
from collections.abc import Callable
from typing import Any

_running = threading.local()


class Killed(BaseException):
    """Raised in a fiber whose process is gone: nothing catches it."""


class Fiber:
    """A function that stops where it calls ``ask``. ``request`` is what it asks for; None once it is over."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.request: Any = None
        self._function = function
        self._answer: Any = None
        self._error: BaseException | None = None
        self._turn = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name="fiber", daemon=True)
        self._thread.start()
        self._wait()

    def answer(self, answer: object) -> None:
        """Gives what it has asked for, an exception to be raised there; returns when it asks again, or is over."""
        self._answer, self.request = answer, None
        self._turn.release()
        self._wait()

    def kill(self) -> None:
        """Ends it where it stands."""
        if self.request is not None:
            self.answer(Killed())

    def ask(self, request: object) -> Any:
        """See the function ``ask``."""
        self.request = request
        self._back.release()
        self._turn.acquire()
        return unless_error(self._answer)

    def _wait(self) -> None:
        self._back.acquire()
        if self.request is None:
            self._thread.join()
        if self._error and not isinstance(self._error, Killed):
            raise self._error

    def _run(self) -> None:
        _running.fiber = self
        try:
            self._function()
        except BaseException as error:  # noqa: BLE001  # raised again in the thread of the test
            self._error = error
        self._back.release()


def ask(request: object) -> Any:
    """Stops the fiber that calls it until the test answers. Outside of one, see ``answering``."""
    fiber: Fiber | None = getattr(_running, "fiber", None)
    return fiber.ask(request) if fiber else unless_error(_running.answer(request))


def answering(answer: Callable[[Any], Any], function: Callable[[], object]) -> None:
    """Runs a function whose requests are answered at once, without a thread of its own."""
    _running.answer = answer
    function()


def unless_error(answer: Any) -> Any:
    """An answer; an error is raised."""
    if isinstance(answer, BaseException):
        raise answer
    return answer
