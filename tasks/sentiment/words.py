"""What the model sees of a text: its words, with those that a negation reaches marked, and how people rate them."""

import re
from functools import cache
from itertools import pairwise
from typing import Final

from tasks.sentiment.corpus import DATA

NEGATED: Final = "NOT_"
REACH: Final = 3
"""How many words a negation turns round."""
TURNED: Final = -0.7
"""What a rating is worth then: "not great" is less bad than "great" is good."""
CONCEDED: Final = 0.6
"""What a rating is worth before a "but"."""
LARGEST: Final = 4.0
"""Of the lexicon's ratings, either way."""
_TOKEN: Final = re.compile(r"[a-z']+|[.,;:!?]")
_STOPS: Final = frozenset(".,;:!?")
_TURNS: Final = frozenset({"but", "yet", "however"})
_ENDS: Final = _TURNS | _STOPS | {"though", "and"}
_NEGATIONS: Final = frozenset(
    ["not", "no", "never", "nothing", "nobody", "none", "neither", "nor", "hardly", "without", "cannot", "barely"]
)


def words(text: str) -> list[str]:
    """The words of a text in lower case; one that a negation reaches begins with NEGATED."""
    found: list[str] = []
    reach = 0
    for token in _TOKEN.findall(text.lower().replace("’", "'")):
        if token in _ENDS:
            reach = 0
        if token in _NEGATIONS or token.endswith("n't"):
            found.append("NOT")
            reach = REACH
        elif token not in _STOPS:
            found.append(NEGATED + token if reach > 0 else token)
            reach -= 1
    return found


def terms(text: str) -> list[str]:
    """The words of a text, and each pair of neighbours."""
    single = words(text)
    return single + [f"{first} {second}" for first, second in pairwise(single)]


@cache
def lexicon() -> dict[str, float]:
    """Words and how people rate them, from -4 (bad) to 4 (good); see data/NOTICE."""
    lines = (DATA / "valence.tsv").read_text("utf-8").splitlines()
    return {word: float(rating) for word, rating in (line.split("\t") for line in lines)}


def ratings(text: str) -> tuple[float, float, float]:
    """The sums of good and of bad ratings in a text, in units of the largest one, and which prevails (-1 to 1)."""
    single, known = words(text), lexicon()
    turn = max((place for place, word in enumerate(single) if word in _TURNS), default=-1)
    good = bad = 0.0
    for place, word in enumerate(single):
        rating = known.get(word.removeprefix(NEGATED), 0.0)
        rating *= (TURNED if word.startswith(NEGATED) else 1.0) * (CONCEDED if place < turn else 1.0)
        if rating > 0:
            good += rating
        else:
            bad -= rating
    return good / LARGEST, bad / LARGEST, (good - bad) / (1 + good + bad)
