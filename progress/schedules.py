"""The schedule: work that is submitted again and again, and when. No I/O."""

import hashlib
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from progress.jobs import Json, NewJob, uuid7

MOST: Final = 1_000
"""How many schedules there may be."""
LONGEST_S: Final = 366 * 86_400
"""From one run to the next."""
LATE_MS: Final = 60_000
"""A run that is later than this was missed: without ``catch_up`` it is left out."""
NAMED: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_EACH: Final = frozenset({"id", "delay_s", "retry_of", "group", "member", "parent"})
"""What belongs to one job, and not to all of a schedule."""


class InvalidTiming(ValueError):
    """Times that cannot be; ``field`` is the one that is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Timing:
    """When work is due: by ``cron`` in a time zone, or every ``every_s`` seconds. Just one of both is set.

    ``cron`` has five fields as Debian's cron has them, or is one of NAMED. When clocks are put forward, a run at a time
    that there is not comes at the end of the gap; when they are put back, one at a time that comes twice comes once.
    """

    cron: str | None = None
    every_s: float | None = None
    timezone: str = "UTC"

    def check(self) -> None:
        """Raises InvalidTiming."""
        if (self.cron is None) == (self.every_s is None):
            raise InvalidTiming("cron", "give cron or every_s, and not both")
        if self.every_s is not None:
            if not 1 <= self.every_s <= LONGEST_S:
                raise InvalidTiming("every_s", "give 1 second to 366 days")
            return
        self._zone()
        if self.after(0, datetime.now(UTC).timestamp() * 1000) is None:
            raise InvalidTiming("cron", "there is no such day")

    def after(self, since_ms: float, now_ms: float) -> int | None:
        """The first epoch ms after now at which it is due, None for never; ``every_s`` counts from ``since_ms``."""
        if self.every_s is not None:
            every_ms = self.every_s * 1000
            return round(since_ms + (max(0, (now_ms - since_ms) // every_ms) + 1) * every_ms)
        now = datetime.fromtimestamp(now_ms / 1000, self._zone())
        # Where clocks are put back, the first run that is found may lie before now.
        later = (found for found in self._runs(now) if found.timestamp() * 1000 > now_ms)
        found = next(later, None)
        return None if found is None else round(found.timestamp() * 1000)

    def _runs(self, now: datetime) -> CronSim:
        cron = NAMED.get(str(self.cron).strip().lower(), str(self.cron))
        if len(cron.split()) != 5:
            raise InvalidTiming("cron", "give minute hour day month weekday, or @hourly, @daily, @weekly, @monthly")
        try:
            return CronSim(cron, now)
        except CronSimError as error:
            raise InvalidTiming("cron", f"{error}: give minute hour day month weekday") from None

    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            message = f"there is no time zone {self.timezone[:64]!r}: name one of IANA's"
            raise InvalidTiming("timezone", message) from None


@dataclass(frozen=True)
class Schedule:
    """Work and when it is due. Times are epoch ms, by Redis's clock; ``next_run_at`` is None while it is paused."""

    id: str
    work: Json
    """The fields of a NewJob that each run gets."""
    timing: Timing
    created_at: int
    name: str | None = None
    catch_up: bool = True
    built_in: bool = False
    paused: bool = False
    next_run_at: int | None = None
    last_run_at: int | None = None
    last_job: str | None = None

    def next_after(self, now_ms: int) -> int | None:
        """When it is due next."""
        return self.timing.after(self.created_at, now_ms)

    def job(self, job_id: str) -> NewJob:
        """The job of a run."""
        # A field that another version of Jobcast has put there is nothing to this one.
        known = {one.name for one in fields(NewJob)} - _EACH
        return NewJob(**{name: value for name, value in self.work.items() if name in known}, id=job_id)

    def job_id(self, tick_ms: int) -> str:
        """The id of the job of a run, whoever makes it: made twice it is one job."""
        digest = hashlib.sha256(f"{self.id} {tick_ms}".encode()).hexdigest()
        stamp = uuid7(tick_ms)[:13]
        return f"{stamp}-7{digest[:3]}-{'89ab'[int(digest[3], 16) % 4]}{digest[4:7]}-{digest[7:19]}"

    def is_missed(self, tick_ms: int, now_ms: int) -> bool:
        """Whether a run is to be left out, as it comes too late."""
        return not self.catch_up and now_ms - tick_ms > LATE_MS


def work_of(new: NewJob) -> Json:
    """What a schedule keeps of the job that each of its runs is to make."""
    return {name: value for name, value in asdict(new).items() if name not in _EACH}
