"""The world: one store with its clock and its crashes, and what it has told readers."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from progress import keys
from progress.commands import Command, Heartbeat, ReadJob, ReadLog
from progress.errors import StoreUnavailable
from progress.events import Event
from progress.jobs import Job
from tests.contract.promises.fiber import ask

R = TypeVar("R")
UNSYNCED_MS: Final = 2_000
"""How old a write is, at most, that a crash loses: Redis calls fsync every second, and waits for a slow one as long."""
READS: Final = frozenset({"read_job", "read_log", "read_heads"})
MOST: Final = 10_000


@dataclass(frozen=True)
class Pause:
    """What a fiber asks for that sleeps: to be woken at this time (ms)."""

    until: float


class Clock:
    """Stands in for the module ``time`` in the product: it passes only where a test says so."""

    def __init__(self) -> None:
        self.ms = 0

    def monotonic(self) -> float:
        """Seconds."""
        return self.ms / 1000

    def sleep(self, seconds: float) -> None:
        """Stops the fiber that calls it."""
        ask(Pause(self.ms + seconds * 1000))


class Party(Protocol):
    """Whoever sends commands."""

    def keeps(self, job_id: str) -> bool:
        """Whether it will write a job's end again, should a crash have lost it."""


class Site(Protocol):
    """A store in which time passes only where it is told to."""

    def run(self, command: Command[R]) -> R:
        """Runs a command."""

    def published(self) -> list[tuple[str, bytes]]:
        """What it has published since this was last asked: a job's id, and one event."""

    def pass_time(self, ms: int) -> None:
        """Moves its clock."""

    def save(self) -> Callable[[], None]:
        """See Backend.save."""

    def places(self, job_id: str) -> set[str]:
        """Where somebody would find a job: ``leases``, ``due``, ``queue``, ``waiters``."""

    def abandoned(self) -> set[str]:
        """The groups whose jobs the sweeper is to cancel."""

    def leftovers(self) -> set[str]:
        """Once all jobs have ended: what would stay for ever, beside what the sweeper empties."""

    def close(self) -> None:
        """Closes its connections."""


@dataclass(frozen=True)
class Seen:
    """An event that readers may have seen, and who has made it."""

    event: Event
    by: Party


class World:
    """Runs commands for all parties."""

    def __init__(self, site: Site, clock: Clock) -> None:
        self.site = site
        self.clock = clock
        clock.ms = 0
        self.seen: dict[str, dict[int, Seen]] = {}
        self.listeners: list[Callable[[str, Event], None]] = []
        self.watchers: list[Callable[[Command[Any], Any], None]] = []
        self.is_told: Callable[[str], bool] = lambda _job_id: False
        """Whether a client has been told of a job."""
        self.is_child: Callable[[str], bool] = lambda _job_id: False
        """Whether a job has a parent that makes it again."""
        self.reborn: list[Callable[[str], None]] = []
        """Who is told of a child that was made again."""
        self.changed = False
        self.crashes = 0
        self.crashed_at = -keys.SETTLE_MS
        site.run(Heartbeat(0, ()))
        self._on_disk: deque[tuple[int, Callable[[], None]]] = deque([(0, site.save())])

    def run(self, command: Command[R], by: Party) -> R | StoreUnavailable:
        """Runs a command of somebody's; gives the error of one that is to be asked again after a crash."""
        reply: R | StoreUnavailable
        try:
            reply = self.site.run(command)
        except StoreUnavailable as error:
            reply = error
        if command.script not in READS:
            self.changed = True
            self._on_disk.append((self.clock.ms, self.site.save()))
        for job_id, raw in self.site.published():
            self._publish(job_id, Event.parse(raw), by)
        if not isinstance(reply, StoreUnavailable):
            for watcher in self.watchers:
                watcher(command, reply)
        return reply

    def _publish(self, job_id: str, event: Event, by: Party) -> None:
        known = self.seen.setdefault(job_id, {})
        if event.seq == 1 and len(known) == 1 and self.crashes and not self.is_told(job_id):
            # The reply to its submission was lost, then it was, and it is submitted once more: another job of that id.
            del known[1]
        if event.seq == 1 and 1 in known and known[1].event.raw != event.raw and self.crashes and self.is_child(job_id):
            # A crash has lost it, and its parent has made it again: another job of that id.
            known.clear()
            for forget in self.reborn:
                forget(job_id)
        first = known.setdefault(event.seq, Seen(event, by)).event
        assert first.raw == event.raw, f"two contents: {first.raw!r} and {event.raw!r}"
        for listener in self.listeners:
            listener(job_id, event)

    def job(self, job_id: str) -> Job | None:
        """A job as it is now; none, too, while it may come back after a crash."""
        with suppress(StoreUnavailable):
            return self.site.run(ReadJob(job_id))
        return None

    def log(self, job_id: str) -> list[Event]:
        """All events that it has now."""
        with suppress(StoreUnavailable):
            return self.site.run(ReadLog(job_id, 0, MOST)).events
        return []

    def pass_time(self, ms: int) -> None:
        """Moves the clock of all. What is old enough is on disk."""
        self.clock.ms += ms
        self.site.pass_time(ms)
        while len(self._on_disk) > 1 and self._on_disk[1][0] < self.clock.ms - UNSYNCED_MS:
            self._on_disk.popleft()

    def crash(self, lost: int) -> None:
        """Redis comes back without its last writes: as many as ``lost``, but none that is on disk."""
        restore = self._on_disk[max(0, len(self._on_disk) - 1 - lost)][1]
        restore()
        self._on_disk = deque([(self.clock.ms, restore)])
        self.changed = True
        self.crashes += 1
        self.crashed_at = self.clock.ms
