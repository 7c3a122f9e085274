"""The twin's scripts on groups.

Each function is a script under its name: it takes the ARGV that Redis would get, as text, and answers what Redis would.
The contract suite holds the two together; where they differ, the twin is wrong.
"""

from typing import Any, Final

from progress.testing.groups import add
from progress.testing.keyspace import Keyspace

LISTED: Final = (
    *("id", "kind", "status", "queue", "priority", "attempt", "max_attempts", "created_at", "last_seq", "metadata"),
    *("started_at", "finished_at", "due_at", "progress", "error", "retry_of", "cancel_requested"),
    *("group", "parent", "member"),
)


def open_group(space: Keyspace, group: str, expected: str, call: str, ttl_s: str, adopt: str, *fields: str) -> Any:
    """open_group.lua"""
    now = space.now()
    space.notice(now)
    record = space.groups.setdefault(group, {})
    if f"call:{call}" not in record:
        record[f"call:{call}"] = expected
        add(record, "expected", int(expected))
        record.setdefault("created_at", str(now))
        record.pop("finished_at", None)
        add(record, "revision")
        record |= dict(zip(fields[::2], fields[1::2], strict=True))
        for job_id in space.placed(adopt):
            if space.jobs.get(job_id, {}).get("status") == "succeeded":
                space.members[group][job_id] = space.members[adopt][job_id]
                for name in ("total", "ended", "succeeded"):
                    add(record, name)
    for place in ("groups", "members", "failures"):
        if group in getattr(space, place):
            space.ttls[place, group] = now + int(ttl_s) * 1000
    parent = space.jobs.get(record.get("parent", ""))
    if parent is not None:
        parent["opened"] = group
    counted = space.counted_group(group)
    if counted.done and counted.total > 0:
        record.setdefault("finished_at", str(now))
    return [counted.expected, counted.total, counted.ended]


def read_group(space: Keyspace, group: str, known: str) -> Any:
    """read_group.lua"""
    space.now()
    record = space.groups.get(group, {})
    return [[part for pair in record.items() for part in pair], space.failures.get(group, [])[int(known) :]]


def members(space: Keyspace, group: str, first: str, limit: str) -> Any:
    """members.lua"""
    space.now()
    page = space.placed(group)[int(first) : int(first) + int(limit)]
    there = [space.jobs.get(job_id, {}) for job_id in page]
    return [
        [str(space.members[group][job_id]), [part for name in LISTED if name in job for part in (name, job[name])]]
        for job_id, job in zip(page, there, strict=True)
    ]
