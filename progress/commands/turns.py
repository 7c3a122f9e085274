"""Commands about what all workers together may do only so often. In a cluster each name is in one partition."""

from dataclasses import dataclass
from typing import Any

from progress import keys
from progress.commands.command import Arg, Command


@dataclass(frozen=True)
class Turn:
    """When a turn is (epoch ms by Redis's clock), and for how many seconds to wait for it."""

    at: float
    wait_s: float


@dataclass(frozen=True)
class TakeTurn(Command[Turn]):
    """Takes a turn at ``name``, or looks whether one that was ``taken`` still holds.

    ``every_ms`` lie between two turns, 0 where only pauses count; ``burst`` may be taken at once.
    """

    script = "take_turn"
    name: str
    every_ms: float = 0
    burst: int = 1
    taken: float | None = None

    @property
    def about(self) -> str:
        """See Command."""
        return keys.beside("0", self.name)

    def args(self) -> list[Arg]:
        """See ``take_turn.lua``."""
        return [self.name, self.every_ms, self.burst, "" if self.taken is None else self.taken]

    def parse(self, reply: Any) -> Turn:
        """``[at, wait in ms]``."""
        return Turn(float(reply[0]), float(reply[1]) / 1000)


@dataclass(frozen=True)
class Pause(Command[None]):
    """Asks everybody to leave ``name`` alone for so long."""

    script = "pause"
    name: str
    ms: int

    @property
    def about(self) -> str:
        """See Command."""
        return keys.beside("0", self.name)

    def args(self) -> list[Arg]:
        """See ``pause.lua``."""
        return [self.name, self.ms]

    def parse(self, reply: Any) -> None:
        """Nothing to tell."""
