"""The twin's scripts about what all workers together may do only so often."""

from typing import Any

from progress.testing.keyspace import Keyspace


def take_turn(space: Keyspace, name: str, every_ms: str, burst: str, before: str) -> Any:
    """take_turn.lua"""
    now, every = space.now(), float(every_ms)
    pause, taken = space.pauses.get(name, 0), float(before or -1)
    if not before or taken < pause:
        due = space.turns.get(name, 0.0) if every else 0.0
        taken = max(now, pause, due - (int(burst) - 1) * every)
        if every:
            space.turns[name] = max(taken, due) + every
    return [f"{taken:.3f}", f"{max(0.0, taken - now):.3f}"]


def pause(space: Keyspace, name: str, ms: str) -> Any:
    """pause.lua"""
    space.pauses[name] = max(space.pauses.get(name, 0), space.now() + int(ms))
    return 1
