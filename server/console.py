"""What the launcher prints: its own words, and the lines of its programs behind their names."""

import os
import sys
from collections.abc import Callable
from typing import Final, TextIO

NAME_WIDTH: Final = 6
COLOURS: Final = (36, 35, 34, 33, 32, 96)
"""ANSI foreground colours, given to programs in the order in which they first speak."""


class Console:
    """Lines on a terminal, coloured there and plain elsewhere.

    Args:
        out: where to; standard output unless a test says otherwise.
        on_closed: called once when nobody reads any more, as in ``jobcast up | head``.
    """

    def __init__(self, out: TextIO | None = None, on_closed: Callable[[], None] = lambda: None) -> None:
        self._out = sys.stdout if out is None else out
        self._on_closed = on_closed
        self._colour = self._out.isatty() and "NO_COLOR" not in os.environ
        self._colours: dict[str, int] = {}

    def line(self, name: str, text: str) -> None:
        """One line of a program."""
        prefix = f"{name:<{NAME_WIDTH}} |"
        if self._colour:
            colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
            prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
        self.say(f"{prefix} {text}")

    def say(self, text: str) -> None:
        """The launcher's own words."""
        try:
            self._out.write(f"{text}\n")
            self._out.flush()
        except BrokenPipeError:
            # The interpreter flushes once more at its exit, which would print a second error.
            self._out = open(os.devnull, "w")  # noqa: SIM115, PTH123  # open until the process ends
            sys.stdout = self._out
            self._on_closed()
