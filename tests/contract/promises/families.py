"""Families: jobs whose tasks ask for children, and what is promised of these."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel

from progress.commands import Group, Members, ReadGroup, Waiting
from progress.jobs import ENDED, Job, child_id, group_id
from progress.settings import Settings
from tasks.children import Child
from tasks.queue import QueueUnavailable
from tasks.registry import Kind
from tests.contract.promises.world import World

STEP: Final = "s"
SETTINGS: Final = Settings(events_ttl_s=36_000, result_ttl_s=72_000)


class Nothing(BaseModel):
    """The input of a child."""


def never(_input: Any, _progress: Any) -> None:
    """What a child does: its Attempt is a model."""


KIND: Final = Kind("k", never, Nothing, "llm", None, None, (0, 0), "", "")


class SilentQueue:
    """A JobQueue whose messages come whenever they come: see Play.begin."""

    kinds: Final = {KIND.name: KIND}
    queues: Final = (KIND.queue,)

    def enqueue(self, job_id: str, queue: str, priority: int) -> None:
        """See JobQueue."""

    def enqueue_all(self, _jobs: Sequence[Waiting]) -> dict[str, QueueUnavailable]:
        """See JobQueue."""
        return {}

    def depth(self, _queue: str) -> int:
        """See JobQueue."""
        return 0

    def close(self) -> None:
        """See JobQueue."""


def children_of(count: int) -> list[Child]:
    """What a task asks for, each time the same."""
    return [Child(KIND.name, {}) for _ in range(count)]


class Families:
    """Which jobs ask for how many children, and how these are counted."""

    def __init__(self, world: World) -> None:
        self.sizes: dict[str, int] = {}
        self._world = world

    def children(self, parent: str) -> list[str]:
        """The ids of a job's children, by their places."""
        return [child_id(parent, STEP, place) for place in range(self.sizes.get(parent, 0))]

    @property
    def all_children(self) -> list[str]:
        """The ids of all, whether they are there or not."""
        return [child for parent in self.sizes for child in self.children(parent)]

    def check(self) -> None:
        """Looks at every family."""
        for parent in self.sizes:
            group = self._world.site.run(ReadGroup(group_id(parent, STEP), beside=parent))
            members = self._world.site.run(Members(group_id(parent, STEP), beside=parent))
            if group:
                self._check_counts(parent, group, members)
                self._check_parent(self._world.job(parent), group, [job for _, job in members if job])
            else:
                # Children that were made after a crash had lost their group: their parent opens it again.
                job = self._world.job(parent)
                assert job is None or job.waiting_for in (None, "ready"), f"{parent} waits for what is not there"

    def _check_counts(self, parent: str, group: Group, members: list[tuple[int, Job | None]]) -> None:
        """Each child is there once, at its place, and counted by its status. One that was deleted counts as ended."""
        ids = self.children(parent)
        places = [place for place, _ in members]
        assert places == sorted(set(places)), f"twice at one place: {places}"
        assert all(job is None or job.id == ids[place] for place, job in members), members
        assert {child for child in ids if self._world.job(child)} <= {job.id for _, job in members if job}
        assert (group.expected, group.total) == (len(ids), len(members)), group
        assert sum(group.states.values()) == group.total, group
        assert sum(group.states[status] for status in ENDED) == group.ended, group
        there = Counter(str(job.status) for _, job in members if job)
        for status, count in group.states.items():
            is_right = there[status] <= count if status in ENDED else there[status] == count
            assert is_right, f"{group}, and there are {there}"

    def _check_parent(self, parent: Job | None, group: Group, children: list[Job]) -> None:
        """It waits for what is still to end; once it has failed or was cancelled, its children are to end, too."""
        if parent is None:
            return
        if parent.waiting_for == group.id and not parent.ended:
            assert group.ended < group.expected <= group.total, f"nobody wakes {parent.id}: {group}"
        if parent.status in ("failed", "cancelled") and group.id not in self._world.site.abandoned():
            left = [child.id for child in children if not (child.ended or child.cancel_requested)]
            assert not left, f"{parent.id} is {parent.status}, and its children go on: {left}"

    def check_in_the_end(self) -> None:
        """All of them have ended."""
        for child in self.all_children:
            job = self._world.job(child)
            assert job is None or job.ended, f"nobody finds {child}"
