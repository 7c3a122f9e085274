"""The labelled sentences that come with Jobcast, in two parts: one to train on, and one that training never sees."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

DATA: Final = files("tasks.sentiment") / "data"
HELD_OUT_ONE_IN: Final = 4


@dataclass(frozen=True)
class Sample:
    """A text and whether it is positive."""

    text: str
    positive: bool

    @property
    def is_held_out(self) -> bool:
        """Whether it is kept for measuring. Its text alone decides, so a new sentence moves no other."""
        return hashlib.sha256(self.text.encode()).digest()[0] % HELD_OUT_ONE_IN == 0


def shipped() -> list[Sample]:
    """Every labelled sentence of data/."""
    return [
        Sample(text, positive)
        for name, positive in (("positive.txt", True), ("negative.txt", False))
        for text in (DATA / name).read_text("utf-8").splitlines()
    ]


def split(samples: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Those to train on, and those to measure with."""
    held_out = [sample for sample in samples if sample.is_held_out]
    return [sample for sample in samples if not sample.is_held_out], held_out
