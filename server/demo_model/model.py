"""The language model: an interpolated n-gram over words, built from ``corpus.txt``; pure, no I/O after the build."""

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).with_name("corpus.txt")
CONTEXT_WORDS: Final = 3
PIECE_CHARS: Final = 6
LEAST_TEMPERATURE: Final = 0.2
"""Lower ones count as this: always the likeliest word would go round in circles."""
TOPIC_WEIGHT: Final = 20.0
TOPIC_JUMP: Final = 0.35
"""Chance that a new sentence is one that the prompt's words occur in; each is taken once."""
TOPIC_CHARS: Final = 4
"""Shorter words say nothing about what a prompt is about."""
USUAL_TOKENS: Final = (60, 250)
MOST_TOKENS: Final = 500

_WORD: Final = re.compile(r"\s*(?:\w[\w’'-]*|[^\w\s])")
_PIECE: Final = re.compile(rf"\s*(?:\w{{1,{PIECE_CHARS}}}|[^\w\s])|\s+")
_SENTENCE_END: Final = frozenset(".!?")
_SAY_NOTHING: Final = frozenset(
    re.findall(
        r"\w+",
        "about also because before could does explain from have here into make more please some tell than that their "
        "them then there they thing this very what when where which will with words would write your",
    )
)

Key = tuple[str, ...]


def split_pieces(text: str) -> list[str]:
    """Cuts text into tokens, which joined are the text again: words with the space before them, long ones in parts."""
    return _PIECE.findall(text)


def count_pieces(text: str) -> int:
    """How many tokens ``split_pieces`` would give."""
    return sum(1 for _ in _PIECE.finditer(text))


@dataclass(frozen=True)
class Prompt:
    """What a generation depends on; the same values with the same seed give the same text."""

    text: str
    temperature: float = 1.0
    seed: int | None = None
    given: str = ""
    """Text that is written already and to be gone on with."""


class LanguageModel:
    """What has followed each run of one to three words in the corpus, and how often."""

    def __init__(self, corpus: str) -> None:
        self._words: list[str] = _WORD.findall("\n\n" + corpus)
        self._keys = [_key(word) for word in self._words]
        self._follow: dict[Key, dict[str, int]] = defaultdict(dict)
        self._starts: list[int] = [0]
        self._topical: dict[str, list[int]] = defaultdict(list)
        self._learn()

    @classmethod
    def shipped(cls) -> "LanguageModel":
        """The model of the text that comes with it."""
        return cls(CORPUS.read_text(encoding="utf-8"))

    def _learn(self) -> None:
        keys = self._keys
        for at, word in enumerate(self._words):
            if at and keys[at - 1] in _SENTENCE_END and word[0].isspace():
                self._starts.append(at)
            self._topical[keys[at]].append(self._starts[-1])
            for length in range(1, CONTEXT_WORDS + 1):
                # The corpus is a ring, so every run of words is followed by something.
                context = tuple(keys[at - back] for back in range(length, 0, -1))
                counts = self._follow[context]
                counts[word] = counts.get(word, 0) + 1

    def pieces(self, prompt: Prompt, length: int | None = None) -> Iterator[str]:
        """Tokens for a prompt: ``length`` of them, else until a sentence ends after some 60 to 250.

        A seeded run that is continued from its own text goes on exactly as if it had not been interrupted.
        """
        fresh = self._pieces(prompt, [], length)
        if not prompt.given:
            return fresh
        if prompt.seed is not None and (rest := _after(fresh, prompt.given)) is not None:
            return rest
        return self._pieces(prompt, _WORD.findall(prompt.given), length)

    def _pieces(self, prompt: Prompt, given: Sequence[str], length: int | None) -> Iterator[str]:
        # Without a seed, None lets the generator seed itself from the system.
        rng = random.Random(f"{prompt.seed}:{prompt.text}" if prompt.seed is not None else None)
        least = rng.randint(*USUAL_TOKENS)
        made = 0
        for word in self._run(prompt, [_key(word) for word in given], rng):
            for piece in split_pieces(word if made or given else word.lstrip()):
                if made == length:
                    return
                yield piece
                made += 1
            if length is None and ((made >= least and _key(word) in _SENTENCE_END) or made >= MOST_TOKENS):
                return

    def _run(self, prompt: Prompt, context: list[str], rng: random.Random) -> Iterator[str]:
        topics = self._topics(prompt.text)
        starts = sorted({start for topic in topics for start in self._topical[topic]})
        ended = not context
        while True:
            if ended and (not context or (starts and rng.random() < TOPIC_JUMP)):
                at = starts.pop(rng.randrange(len(starts))) if starts else rng.choice(self._starts)
                word, context = self._words[at], [self._keys[at - 2], self._keys[at - 1]]
            else:
                word = self._next(context, prompt.temperature, topics, rng)
            yield word
            context = [*context, _key(word)][-CONTEXT_WORDS:]
            ended = context[-1] in _SENTENCE_END

    def _topics(self, text: str) -> frozenset[str]:
        said = {_key(word) for word in _WORD.findall(text)}
        keys = said | {f"{key}s" for key in said} | {key.removesuffix("s") for key in said}
        return frozenset(key for key in keys - _SAY_NOTHING if len(key) >= TOPIC_CHARS and key in self._topical)

    def _next(self, context: Sequence[str], temperature: float, topics: frozenset[str], rng: random.Random) -> str:
        known = [run for run in _runs(context) if run in self._follow]
        if not known:
            return self._words[rng.choice(self._starts)]
        power = 1 / max(temperature, LEAST_TEMPERATURE)
        # Drawing the order first and the word second is drawing from the interpolated mixture.
        trust = [len(run) ** (2 * power) for run in known]
        counts = self._follow[rng.choices(known, trust)[0]]
        weights = [count**power * (TOPIC_WEIGHT if _key(word) in topics else 1.0) for word, count in counts.items()]
        return rng.choices(list(counts), weights)[0]


def _key(word: str) -> str:
    return word.strip().lower()


def _runs(context: Sequence[str]) -> Iterator[Key]:
    for length in range(min(CONTEXT_WORDS, len(context)), 0, -1):
        yield tuple(context[-length:])


def _after(pieces: Iterator[str], given: str) -> Iterator[str] | None:
    """What follows ``given`` in a run that begins with it; None where it doesn't begin so."""
    at = 0
    for piece in pieces:
        left = given[at:]
        if not left.startswith(piece[: len(left)]):
            return None
        at += len(piece)
        if at >= len(given):
            return _joined(piece[len(left) :], pieces)
    return _joined("", pieces) if at >= len(given) else None


def _joined(head: str, rest: Iterator[str]) -> Iterator[str]:
    if head:
        yield head
    yield from rest
