"""How much may be done at once, and how often, as settings say it. Values only, no I/O."""

import re
from typing import Final

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


def counts(text: str) -> dict[str, int]:
    """``kind=4,other=1``: how many jobs of a kind run at once. Raises ValueError."""
    for kind, count in pairs(text).items():
        if not _NAME.fullmatch(kind):
            raise ValueError(f"{kind!r} is no name of a kind")
        if not count.isdecimal() or int(count) == 0:
            raise ValueError(f"{kind}: {count!r} is no whole number above 0")
    return {kind: int(count) for kind, count in pairs(text).items()}
