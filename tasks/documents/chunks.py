"""A long text in pieces that a model takes at once; pure."""

import re
from typing import Final

CHUNK_CHARS: Final = 8_000
"""Some 2,000 tokens, which leaves room in the smallest context that is still in use."""
_BREAKS: Final = (re.compile(r"\n\s*\n"), re.compile(r"(?<=[.!?…])\s"), re.compile(r"\s"))
"""Where to cut: between paragraphs, else between sentences, else between words."""


def chunks(text: str, size: int = CHUNK_CHARS) -> list[str]:
    """The text in pieces of at most ``size`` characters, none of them empty, cut where it hurts least."""
    found: list[str] = []
    start = 0
    while len(text) - start > size:
        end = _cut(text, start, start + size)
        found.append(text[start:end].strip())
        start = end
    found.append(text[start:].strip())
    return [chunk for chunk in found if chunk]


def _cut(text: str, start: int, end: int) -> int:
    """The last good place to cut in the second half of a piece; its end where there is none."""
    middle = (start + end) // 2
    for places in _BREAKS:
        ends = [match.end() for match in places.finditer(text, middle, end)]
        if ends:
            return ends[-1]
    return end


def packed(texts: list[str], size: int = CHUNK_CHARS) -> list[str]:
    """Texts joined to pieces of about ``size`` characters, in order."""
    found: list[str] = []
    for text in texts:
        if found and len(found[-1]) + len(text) < size:
            found[-1] += f"\n\n{text}"
        else:
            found.append(text)
    return found
