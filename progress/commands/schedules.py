"""Commands on schedules. In a cluster all of them are in the first partition."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from progress.commands.command import Arg, Command
from progress.commands.jobs import fields_of
from progress.events import encode_json
from progress.schedules import MOST, Schedule, Timing

Put = Literal["created", "existing", "full", "deleted"]


@dataclass(frozen=True)
class PutSchedule(Command[Put]):
    """Keeps a schedule, unless there is one of its id. ``again``: it was kept before, and Redis may have lost it."""

    script = "put_schedule"
    schedule: Schedule
    again: bool = False

    def args(self) -> list[Arg]:
        """See ``put_schedule.lua``."""
        one = self.schedule
        return [one.id, MOST, _moment(one.next_run_at), int(self.again), *_fields(one)]

    def parse(self, reply: Any) -> Put:
        """One word."""
        answer: Any = reply.decode()
        put: Put = answer
        return put


@dataclass(frozen=True)
class Agenda:
    """Schedules, the next one first, and the epoch ms at which they were read."""

    now: int
    schedules: list[Schedule]


@dataclass(frozen=True)
class ReadSchedules(Command[Agenda]):
    """The schedules that there are: one by its id, all, or those that are due."""

    script = "read_schedules"
    schedule_id: str = ""
    due: bool = False
    limit: int = MOST

    def args(self) -> list[Arg]:
        """See ``read_schedules.lua``."""
        return [self.schedule_id, int(self.due), self.limit]

    def parse(self, reply: Any) -> Agenda:
        """``[now, [[field, value, …], …]]``."""
        return Agenda(int(reply[0]), [_read(flat) for flat in reply[1]])


@dataclass(frozen=True)
class SetSchedule(Command[bool]):
    """Writes a schedule's times, work and whether it is paused; False where there is none."""

    script = "set_schedule"
    schedule: Schedule

    def args(self) -> list[Arg]:
        """See ``set_schedule.lua``."""
        return [self.schedule.id, _moment(self.schedule.next_run_at), *_fields(self.schedule)]

    def parse(self, reply: Any) -> bool:
        """1 or 0."""
        return bool(reply)


@dataclass(frozen=True)
class RanSchedule(Command[bool]):
    """Notes a run (``due_at`` None: one that was asked for) and the next one; False where somebody else has."""

    script = "ran_schedule"
    schedule_id: str
    due_at: int | None
    next_run_at: int | None
    made: str

    def args(self) -> list[Arg]:
        """See ``ran_schedule.lua``."""
        return [self.schedule_id, _moment(self.due_at), _moment(self.next_run_at), self.made]

    def parse(self, reply: Any) -> bool:
        """1 or 0."""
        return bool(reply)


@dataclass(frozen=True)
class DeleteSchedule(Command[bool]):
    """Deletes a schedule; False where there is none."""

    script = "delete_schedule"
    schedule_id: str

    def args(self) -> list[Arg]:
        """See ``delete_schedule.lua``."""
        return [self.schedule_id]

    def parse(self, reply: Any) -> bool:
        """1 or 0."""
        return bool(reply)


def _moment(epoch_ms: int | None) -> Arg:
    return "" if epoch_ms is None else epoch_ms


def _fields(one: Schedule) -> list[Arg]:
    timing = {"cron": one.timing.cron, "every_s": one.timing.every_s, "timezone": one.timing.timezone}
    named: dict[str, Arg] = {
        "work": encode_json(one.work),
        "timing": encode_json(timing),
        "created_at": one.created_at,
        "name": one.name or "",
        "catch_up": int(one.catch_up),
        "built_in": int(one.built_in),
        "paused": int(one.paused),
    }
    return [part for name, value in named.items() for part in (name, value)]


def _read(flat: Any) -> Schedule:
    record = {name: value.decode() for name, value in fields_of(flat).items()}

    def moment(name: str) -> int | None:
        return int(record[name]) if record.get(name) else None

    return Schedule(
        record["id"],
        json.loads(record["work"]),
        Timing(**json.loads(record["timing"])),
        int(record["created_at"]),
        name=record["name"] or None,
        **{name: record[name] == "1" for name in ("catch_up", "built_in", "paused")},
        next_run_at=moment("next_run_at"),
        last_run_at=moment("last_run_at"),
        last_job=record.get("last_job"),
    )
