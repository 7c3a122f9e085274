"""The command that reads what has been counted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from progress import keys
from progress.commands.command import Arg
from progress.commands.spread import Answers, Spread, complete
from progress.figures import added

OPEN_STATUSES = ("queued", "running", "retrying")


@dataclass(frozen=True)
class Counted:
    """What has been counted: fields as in progress/figures.py.

    ``recent`` is of the last ``recent_s`` seconds. ``jobs`` are those that have not ended, by kind and status;
    ``delayed`` wait for their time.
    """

    ever: Mapping[str, int]
    recent: Mapping[str, int]
    recent_s: float
    jobs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    delayed: int = 0


@dataclass(frozen=True)
class ReadFigures(Spread[Counted]):
    """What has been counted, with the last ``parts`` of the hour; and the jobs of these kinds that have not ended."""

    script = "figures"
    kinds: tuple[str, ...]
    parts_of_hour: int = keys.FIGURES_PARTS

    def args(self) -> list[Arg]:
        """See ``figures.lua``."""
        return [self.parts_of_hour, *self.kinds]

    def parse(self, reply: Any) -> Counted:
        """``[ever, parts, [kind, queued, running, retrying, …], delayed, epoch ms]``."""
        ever, parts, jobs, delayed, now = reply
        per_kind = zip(jobs[::4], zip(jobs[1::4], jobs[2::4], jobs[3::4], strict=True), strict=True)
        by_status = {
            (kind.decode(), status): int(count)
            for kind, counts in per_kind
            for status, count in zip(OPEN_STATUSES, counts, strict=True)
        }
        since_ms = (now // keys.FIGURES_PART_MS - self.parts_of_hour + 1) * keys.FIGURES_PART_MS
        return Counted(
            _counts(ever), added(map(_counts, parts)), max(0, now - since_ms) / 1000, by_status, int(delayed)
        )

    def merge(self, answers: Answers) -> Counted:
        """All together. Without a partition counts would fall, which they must not."""
        found: list[Counted] = complete(answers)
        jobs = {place: sum(one.jobs[place] for one in found) for place in found[0].jobs}
        return Counted(
            added(one.ever for one in found),
            added(one.recent for one in found),
            max(one.recent_s for one in found),
            jobs,
            sum(one.delayed for one in found),
        )


def _counts(flat: Any) -> dict[str, int]:
    return {name.decode(): int(count) for name, count in zip(flat[::2], flat[1::2], strict=True)}
