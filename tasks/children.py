"""What a task asks of its children, and of whoever runs them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from progress.jobs import Json


@dataclass(frozen=True)
class Child:
    """A job that another one asks for. What is None is the kind's own.

    ``name`` tells people which of them it is.
    """

    kind: str
    input: Json
    name: str = ""
    max_attempts: int | None = None
    timeout_s: float | None = None


class Family(Protocol):
    """Where a task's children run: as jobs of their own, or in a script beside it."""

    def gather(self, step: str, children: Sequence[Child], share: tuple[float, float]) -> list[Any]:
        """See Progress.gather."""

    def job_of(self, step: str, place: int) -> str:
        """The id of a child that has succeeded."""
