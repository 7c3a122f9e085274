"""Where jobs of a kind wait, how many run, and how often one begins, as settings say it. Values only, no I/O."""

import re
from dataclasses import dataclass
from typing import Final

_RATE: Final = re.compile(r"(\d{1,6})/([smh])(?:\+(\d{1,6}))?")
_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000}
_QUEUE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")


def pairs(text: str) -> dict[str, str]:
    """``name=value`` pairs, separated by commas.

    Raises:
        ValueError: something is no pair, or a name comes twice.
    """
    parts = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    if not all(name.strip() and value.strip() for name, _, value in parts):
        raise ValueError("give name=value pairs, separated by commas")
    found = {name.strip(): value.strip() for name, _, value in parts}
    if len(found) < len(parts):
        raise ValueError("two pairs have the same name")
    return found


def queues(text: str) -> dict[str, str]:
    """``kind=queue,other=queue``. Raises ValueError."""
    for kind, queue in pairs(text).items():
        if not _QUEUE.fullmatch(queue):
            raise ValueError(f"{kind}: {queue!r} is no name of a queue")
    return pairs(text)


def counts(text: str) -> dict[str, int]:
    """``kind=4,other=1``: how many jobs of a kind run at once. Raises ValueError."""
    for kind, count in pairs(text).items():
        if not _NAME.fullmatch(kind):
            raise ValueError(f"{kind!r} is no name of a kind")
        if not count.isdecimal() or int(count) == 0:
            raise ValueError(f"{kind}: {count!r} is no whole number above 0")
    return {kind: int(count) for kind, count in pairs(text).items()}


@dataclass(frozen=True)
class Rate:
    """How often something may be done: with so many ms between two times, and ``burst`` times at once after a rest."""

    every_ms: float
    burst: int = 1
    text: str = ""

    def __str__(self) -> str:
        return self.text


def rates(text: str) -> dict[str, Rate]:
    """``kind=5/s,model:NAME=100/m+10``: how often, and after the + how many at once. Kinds come as ``kind:NAME``.

    Raises:
        ValueError: something is no rate.
    """
    found: dict[str, Rate] = {}
    for name, value in pairs(text).items():
        told = _RATE.fullmatch(value)
        if told is None or int(told[1]) == 0 or told[3] == "0":
            raise ValueError(f"{name}: {value!r} is no rate, as 10/s, 100/m or 5/s+20 are")
        if not (_NAME.fullmatch(name) or name.removeprefix("model:") not in ("", name)):
            raise ValueError(f"{name!r} is neither the name of a kind nor model: and the name of a model")
        full = name if name.startswith("model:") else f"kind:{name}"
        found[full] = Rate(_UNITS_MS[told[2]] / int(told[1]), int(told[3] or 1), value)
    return found
