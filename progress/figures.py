"""Figures: how often what has happened, how long it took, and what that says. Values only, no I/O.

Redis counts where things happen, in the same scripts, so the counts go back with the jobs where a crash loses both, and
grow anew as the last second is written again. A count is a field of a hash: its name, a kind of job and a label.

| field | counts |
| --- | --- |
| submitted KIND | jobs |
| wait KIND SIZE | attempts, by how long their job had waited since it could run |
| run KIND SIZE | attempts that said how they ended, by how long they took |
| first_token KIND SIZE | those of them with text, by the time from their beginning to the first |
| tokens KIND | pieces of text of such attempts: a model server sends one a token, as a rule |
| speed KIND SIZE | attempts with two at least, by their tokens a second after the first one |
| retried KIND CODE | attempts after which their job was to be tried again, by the code of their error |
| lost KIND | attempts whose worker died or stopped answering |
| ended KIND STATUS | jobs |
| failed KIND CODE | jobs that have failed |
| exhausted KIND CODE | those of them for which another attempt might have helped, but they had no more |
| redelivered KIND held, ended | messages whose job another attempt held, or had ended |

SIZE is a place among ``keys.BOUNDS`` from 1, the one after the last for what is larger; or ``sum``, which holds
thousandths.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from progress import keys

HISTOGRAMS: Final = {
    "wait": keys.BOUNDS["durations"],
    "first_token": keys.BOUNDS["durations"],
    "run": keys.BOUNDS["durations"],
    "speed": keys.BOUNDS["speeds"],
}
"""Upper bounds of what is counted by size, in thousandths."""


@dataclass(frozen=True)
class Histogram:
    """How many were of which size: for each bound those above the one before, then those above the last; and their sum.

    Sizes and sum are in seconds, or tokens a second.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        """Of all sizes."""
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """None where there are none."""
        return self.total / self.count if self.count else None

    def quantile(self, part: float) -> float | None:
        """The size that ``part`` (0–1) of them do not exceed, as well as the bounds tell; None where there are none.

        Within two bounds sizes are taken to lie evenly; those above the last one count as that.
        """
        wanted, below = part * self.count, 0
        if not self.count:
            return None
        for low, high, here in zip((0.0, *self.bounds), self.bounds, self.counts, strict=False):
            if here and below + here >= wanted:
                return low + (high - low) * (wanted - below) / here
            below += here
        return self.bounds[-1]


class Figures:
    """Counts, by name, kind and label. The kind "" is all kinds together."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._by_place: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        self.kinds = sorted({field.split(" ")[1] for field in counts})
        for field, count in counts.items():
            name, kind, label = field.split(" ")
            self._by_place[name, kind][label] = count
            whole = self._by_place[name, ""]
            whole[label] = whole.get(label, 0) + count

    @classmethod
    def summed(cls, parts: Iterable[Mapping[str, int]]) -> "Figures":
        """All of these together: of other times, or of other partitions."""
        return cls(added(parts))

    def count(self, name: str, kind: str, label: str = "") -> int:
        """One count."""
        return self.labelled(name, kind).get(label, 0)

    def labelled(self, name: str, kind: str) -> dict[str, int]:
        """All counts of a name and a kind by their labels."""
        return dict(sorted(self._by_place.get((name, kind), {}).items()))

    def histogram(self, name: str, kind: str) -> Histogram:
        """Of a name in HISTOGRAMS."""
        found, bounds = self.labelled(name, kind), HISTOGRAMS[name]
        counts = tuple(found.get(str(place), 0) for place in range(1, len(bounds) + 2))
        return Histogram(tuple(bound / 1000 for bound in bounds), counts, found.get("sum", 0) / 1000)


def added(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts of the same fields, added up."""
    found: dict[str, int] = defaultdict(int)
    for part in parts:
        for field, count in part.items():
            found[field] += count
    return dict(found)


def place_of(size: float, bounds: Sequence[int]) -> int:
    """Which of the bounds a size is not above, from 1."""
    return next((place for place, bound in enumerate(bounds, 1) if size <= bound), len(bounds) + 1)
