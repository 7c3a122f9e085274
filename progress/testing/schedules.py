"""The twin's scripts on schedules.

Each function is a script under its name: it takes the ARGV that Redis would get, as text, and answers what Redis would.
The contract suite holds the two together; where they differ, the twin is wrong.
"""

from typing import Any

from progress.keys import DELETED_TTL_S
from progress.testing.keyspace import Keyspace, Record, flat


def put_schedule(space: Keyspace, schedule_id: str, most: str, next_ms: str, again: str, *named: str) -> Any:
    """put_schedule.lua"""
    space.now()
    if schedule_id in space.schedules:
        return "existing"
    if again == "1" and schedule_id in space.deleted:
        return "deleted"
    if len(space.schedules) >= int(most):
        return "full"
    space.schedules[schedule_id] = {"id": schedule_id, "next_run_at": next_ms, **_fields(named)}
    return "created"


def read_schedules(space: Keyspace, schedule_id: str, due: str, most: str) -> Any:
    """read_schedules.lua"""
    now = space.now()
    if schedule_id:
        found = [space.schedules[schedule_id]] if schedule_id in space.schedules else []
    else:
        found = sorted(space.schedules.values(), key=lambda one: (_next(one), one["id"]))
        found = [one for one in found if due != "1" or _next(one) <= now][: int(most)]
    return [now, [flat(one) for one in found]]


def set_schedule(space: Keyspace, schedule_id: str, next_ms: str, *named: str) -> Any:
    """set_schedule.lua"""
    if schedule_id not in space.schedules:
        return 0
    space.schedules[schedule_id] |= {"next_run_at": next_ms, **_fields(named)}
    return 1


def ran_schedule(space: Keyspace, schedule_id: str, due_ms: str, next_ms: str, job_id: str) -> Any:
    """ran_schedule.lua"""
    schedule = space.schedules.get(schedule_id)
    if schedule is None or (due_ms and due_ms != schedule["next_run_at"]):
        return 0
    if due_ms:
        schedule["next_run_at"] = next_ms
    if job_id:
        schedule |= {"last_run_at": str(space.now()), "last_job": job_id}
    return 1


def delete_schedule(space: Keyspace, schedule_id: str) -> Any:
    """delete_schedule.lua"""
    space.deleted[schedule_id] = 1
    space.ttls["deleted", schedule_id] = space.now() + DELETED_TTL_S * 1000
    return int(space.schedules.pop(schedule_id, None) is not None)


def _next(schedule: Record) -> float:
    return float(schedule["next_run_at"] or "inf")


def _fields(named: tuple[str, ...]) -> Record:
    return dict(zip(named[::2], named[1::2], strict=True))
