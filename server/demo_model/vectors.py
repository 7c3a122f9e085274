"""Vectors of texts, without a trained model: words and pieces of words, hashed into dimensions, and weighed.

Texts that share words, or the most of their letters, are near each other. The same text has the same vector everywhere.
"""

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Final

USUAL_DIMENSIONS: Final = 256
MOST_DIMENSIONS: Final = 4096
_WORD: Final = re.compile(r"\w+")
_PIECE_CHARS: Final = 4
_COMMON_WORDS: Final = (
    "a about after all an and are as at be been but by can do for from had has have he her his i if in is it its me my "
    "no not of on or our she so than that the their them there they this to up was we were what when which who will "
    "with would you your"
)
_COMMON: Final = frozenset(_COMMON_WORDS.split())
_WEIGHT_OF_COMMON: Final = 0.15
_WEIGHT_OF_PIECE: Final = 0.35
_PLACES: Final = 2
"""Dimensions that each feature goes to, so that two seldom share all of theirs."""


def vector(text: str, dimensions: int = USUAL_DIMENSIONS) -> list[float]:
    """A vector of length 1. Of a text without a word, that of its characters; of an empty one, zeros but the first."""
    values = [0.0] * dimensions
    counted = Counter(_features(text.lower())) or Counter({(character, 1.0): 1 for character in text or " "})
    for (feature, weight), count in counted.items():
        strength = weight * (1 + math.log(count))
        hashed = zlib.crc32(feature.encode())
        for _ in range(_PLACES):
            values[hashed % dimensions] += strength if hashed & 0x10000 else -strength
            hashed = zlib.crc32(hashed.to_bytes(4, "big"))
    length = math.sqrt(sum(value * value for value in values))
    if not length:  # its features have cancelled each other out
        values[0] = length = 1.0
    return [value / length for value in values]


def _features(text: str) -> Iterator[tuple[str, float]]:
    """Words, pairs of neighbours, and the pieces of each word, with their weights."""
    before = ""
    for word in _WORD.findall(text):
        if word in _COMMON:
            yield word, _WEIGHT_OF_COMMON
            continue
        yield word, 1.0
        if before:
            yield f"{before} {word}", 0.5
        before = word
        framed = f"^{word}$"
        for at in range(max(1, len(framed) - _PIECE_CHARS + 1)):
            yield f"~{framed[at : at + _PIECE_CHARS]}", _WEIGHT_OF_PIECE
