"""Turns at what all workers together may do only so often, or are to leave alone for a while."""

import random
from collections.abc import Callable, Mapping
from typing import Final

from progress.commands.turns import Pause, TakeTurn
from progress.connect import Executor
from progress.errors import StoreUnavailable
from progress.limits import Rate

AGAIN_S: Final = 0.5
"""How long to wait for a Redis that is away before it is asked again."""
SPREAD: Final = 0.1
"""By how much of itself, at most, a wait grows for what has no rate: else all would go on in one moment."""


class Turns:
    """Gives turns by name; safe to use from several threads.

    Args:
        rates: how often what may be done; of others only pauses count.
    """

    def __init__(self, executor: Executor, rates: Mapping[str, Rate]) -> None:
        self._executor = executor
        self._rates = rates

    def has_rate(self, name: str) -> bool:
        """Whether a name has a rate."""
        return name in self._rates

    def take(self, name: str, wait: Callable[[float], object]) -> None:
        """Returns when it is the caller's turn.

        A turn is taken once and waited for, so that many who wait cost two questions each. Without Redis what has a
        rate waits for it, and all else goes on.

        Args:
            wait: waits for so many seconds, and raises where the caller is to stop.
        """
        rate, taken = self._rates.get(name), None
        while True:
            try:
                turn = self._executor.run(
                    TakeTurn(name, rate.every_ms if rate else 0, rate.burst if rate else 1, taken)
                )
            except StoreUnavailable:
                if rate is None:
                    return
                wait(AGAIN_S)
                continue
            if turn.wait_s <= 0:
                return
            taken = turn.at
            # Nobody's guard: it spreads those who were all told the same.
            wait(turn.wait_s if rate else turn.wait_s * random.uniform(1, 1 + SPREAD))

    def pause(self, name: str, seconds: float) -> None:
        """Asks everybody to leave something alone for so long; where Redis is away nobody hears of it."""
        try:
            self._executor.run(Pause(name, max(1, round(seconds * 1000))))
        except StoreUnavailable:
            return
