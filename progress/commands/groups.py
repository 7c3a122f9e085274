"""Commands on groups: jobs that are counted together, a batch or the children of one step of a job.

All jobs of a group are in the partition that the last digit of its id, or of its parent's, names.
"""

import json
from dataclasses import dataclass
from typing import Any

from progress.commands.command import Arg, Command
from progress.commands.jobs import fields_of, read_record
from progress.events import encode_json
from progress.jobs import STATUSES, Job, Json


@dataclass(frozen=True)
class Opened:
    """How many jobs a group will have, how many there are, and how many of them have ended."""

    expected: int
    total: int
    ended: int


@dataclass(frozen=True)
class OpenGroup(Command[Opened]):
    """Makes a group, or makes it larger by ``expected`` jobs. ``call`` names this growth: sent twice, it counts once.

    ``base`` and ``span``, 0 to 1 each, are what of the parent's progress lies before the group, and is it. Of the group
    ``adopt`` those jobs that have succeeded are counted in this one as well. ``ttl_s`` holds until it has ended.
    """

    script = "open_group"
    group: str
    expected: int
    call: str
    ttl_s: int
    parent: str = ""
    step: str = ""
    base: float = 0.0
    span: float = 1.0
    adopt: str = ""

    @property
    def about(self) -> str:
        """See Command."""
        return self.parent or self.group

    def args(self) -> list[Arg]:
        """See ``open_group.lua``."""
        fields: list[Arg] = []
        if self.parent:
            fields = ["parent", self.parent, "step", encode_json(self.step), "base", self.base, "span", self.span]
        return [self.group, self.expected, self.call, self.ttl_s, self.adopt, *fields]

    def parse(self, reply: Any) -> Opened:
        """Three numbers."""
        return Opened(*map(int, reply))


@dataclass(frozen=True)
class Group:
    """A group as it stands: its jobs by status, and some of those that have failed: ``{job, kind, error}``.

    ``revision`` grows with each change. Times are epoch milliseconds; ``finished_at`` None while jobs are to come or
    have not ended.
    """

    id: str
    expected: int
    total: int
    ended: int
    revision: int
    created_at: int
    finished_at: int | None
    states: dict[str, int]
    failures: tuple[Json, ...]


@dataclass(frozen=True)
class ReadGroup(Command[Group | None]):
    """A group, or None. Of its failures those after the first ``known``. ``beside`` is the id of its parent, if any."""

    script = "read_group"
    group: str
    known: int = 0
    beside: str = ""

    @property
    def about(self) -> str:
        """See Command."""
        return self.beside or self.group

    def args(self) -> list[Arg]:
        """See ``read_group.lua``."""
        return [self.group, self.known]

    def parse(self, reply: Any) -> Group | None:
        """``[record, failures]``."""
        record = fields_of(reply[0])
        if "created_at" not in record:
            return None

        def number(name: str) -> int:
            return int(record.get(name, 0))

        return Group(
            id=self.group,
            expected=number("expected"),
            total=number("total"),
            ended=number("ended"),
            revision=number("revision"),
            created_at=number("created_at"),
            finished_at=number("finished_at") or None,
            states={status: number(status) for status in sorted(STATUSES)},
            failures=tuple(json.loads(failure) for failure in reply[1]),
        )


@dataclass(frozen=True)
class Members(Command[list[tuple[int, Job | None]]]):
    """Jobs of a group and their places in it, from the one at ``first`` of the list on; None for one that is gone.

    Inputs and results are left out. ``beside`` is the parent's id, where the group has one.
    """

    script = "members"
    group: str
    first: int = 0
    limit: int = 100
    beside: str = ""

    @property
    def about(self) -> str:
        """See Command."""
        return self.beside or self.group

    def args(self) -> list[Arg]:
        """See ``members.lua``."""
        return [self.group, self.first, self.limit]

    def parse(self, reply: Any) -> list[tuple[int, Job | None]]:
        """``[place, record]`` each."""
        return [(int(float(place)), read_record(flat) if flat else None) for place, flat in reply]
