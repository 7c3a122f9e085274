"""The twin's scripts on whole jobs and on logs.

Each function is a script under its name: it takes the ARGV that Redis would get, as text, and answers what Redis would.
The contract suite holds the two together; where they differ, the twin is wrong.
"""

from typing import Any, Final

from progress.jobs import ENDED
from progress.keys import DELETED_TTL_S
from progress.testing.keyspace import Keyspace, Record, flat

LISTED: Final = (
    *("id", "kind", "status", "queue", "priority", "attempt", "max_attempts", "created_at", "last_seq", "metadata"),
    *("started_at", "finished_at", "due_at", "progress", "result", "error", "retry_of", "cancel_requested"),
    *("group", "parent", "member"),
)


def create(space: Keyspace, *argv: str) -> Any:
    """create.lua"""
    job_id, idem, fingerprint, idem_ttl_s, delay_ms, queued, before, *fields = argv
    clock = space.now()
    server = space.notice(clock)
    now = int(before or clock)
    if held := space.idempotency.get(idem):
        owner, known = held.split(" ")
        if owner in space.jobs and before and owner != job_id:
            idem = ""
        elif owner in space.jobs:
            fresh = "created" if owner == job_id else "existing"
            return _made(space, fresh if known == fingerprint else "conflict", owner)
    if job_id in space.jobs:
        return _made(space, "created", job_id)
    if before and job_id in space.deleted:
        return ["deleted"]
    job = space.jobs[job_id] = dict.fromkeys(("attempt", "last_seq", "append_number", "append_seq"), "0")
    job |= {"id": job_id, "status": "queued", "checkpoint_seq": "0", "created_at": str(now)}
    # Of one that is made again more may have been lost: no server is known to have all of it.
    job["server"] = "" if before else server
    job |= dict(zip(fields[::2], fields[1::2], strict=True))
    for status in ("", "queued"):
        space.enlist(job_id, job["kind"], status)
    space.write(job, now, "0", ("queued", queued))
    if "group" in job:
        _join(space, job, now)
    if int(delay_ms) > 0:
        space.due[job_id] = now + int(delay_ms)
        job["due_at"] = str(now + int(delay_ms))
    else:
        space.enter_queue(job, now)
    space.watched(job, now, 0)
    space.count(now, f"submitted {job['kind']} ")
    if idem:
        space.idempotency[idem] = f"{job_id} {fingerprint}"
        space.ttls["idempotency", idem] = clock + int(idem_ttl_s) * 1000
    return _made(space, "created", job_id)


def _join(space: Keyspace, job: Record, now: int) -> None:
    """Adds a new job to its group."""
    group = job["group"]
    space.members[group][job["id"]] = int(job["member"])
    space.goes_with("members", group)
    space.count_in_group(job, "", "queued")
    if space.jobs.get(job.get("parent", ""), {}).get("status") in ("failed", "cancelled"):
        space.groups[group].pop("abandoned_upto", None)
        space.abandoned[group] = now


def _made(space: Keyspace, outcome: str, job_id: str) -> Any:
    record, *rest = read_job(space, job_id)
    # Whoever submits has the input, and it may be large.
    record[2 * record[::2].index("input") + 1] = ""
    return [outcome, [record, *rest]]


def cancel(space: Keyspace, job_id: str, reason: str, *again: str) -> Any:
    """cancel.lua"""
    now = space.now()
    space.notice(now)
    job = space.jobs.get(job_id)
    if job is None:
        return [space.missing(now), 0, 0, 0]
    answer, *made = space.cancel(job, now, reason, again if again[0] else ())
    if again[0] and answer == "unsettled":
        job.setdefault("cancel_requested", reason)
    return [answer, *map(int, made or (0, 0, 0))]


def delete(space: Keyspace, job_id: str, again: str) -> Any:
    """delete.lua"""
    now = space.now()
    space.notice(now)
    job = space.jobs.get(job_id)
    if again == "1":
        _bury(space, job_id, now)
    if job is None:
        return "gone" if again == "1" else space.missing(now)
    if again == "1":
        _drop(space, job, now)
    elif job["status"] in ("running", "retrying"):
        return "running"
    elif job["status"] not in ENDED:
        follows = space.leave_room(job, now)
        space.finish(job, now, job["attempt"], "cancelled", f'"reason":"deleted"{follows}')
    for status in ("", job["status"]):
        space.delist(job_id, job["kind"], status)
    space.expiry.pop(f"{job_id} {job['kind']} {job['status']}", None)
    for place in (space.jobs, space.logs, space.deliveries, space.tries):
        place.pop(job_id, None)
    for kind in ("jobs", "logs", "tries"):
        space.ttls.pop((kind, job_id), None)
    _bury(space, job_id, now)
    return "deleted"


def _drop(space: Keyspace, job: Record, now: int) -> None:
    for listed in (space.leases, space.due, space.unread, space.waiters, space.queues[job["queue"]]):
        listed.pop(job["id"], None)
    if job["status"] not in ENDED:
        space.set_status(job, "cancelled")
        if "opened" in job:
            space.abandoned[job["opened"]] = now


def _bury(space: Keyspace, job_id: str, now: int) -> None:
    space.deleted[job_id] = 1
    space.ttls["deleted", job_id] = now + DELETED_TTL_S * 1000


def read_job(space: Keyspace, job_id: str) -> Any:
    """read_job.lua"""
    now = space.now()
    job = space.jobs.get(job_id)
    if job is None:
        return space.missing(now)
    queue = space.ranked(job["queue"])
    served = any(until >= now for until in space.workers[job["queue"]].values())
    if job_id not in queue:
        return [flat(job), 0, int(served), ""]
    return [flat(job), queue.index(job_id) + 1, int(served), f"{space.queues[job['queue']][job_id]:.17g}"]


def list_jobs(space: Keyspace, kind: str, status: str, cursor: str, limit: str) -> Any:
    """list_jobs.lua"""
    space.now()
    listed = space.index[kind, status]
    listed &= space.jobs.keys()
    page = [job_id for job_id in sorted(listed, reverse=True) if not cursor or job_id < cursor][: int(limit)]
    return [flat(space.jobs[job_id], LISTED) for job_id in page]


def read_log(space: Keyspace, job_id: str, after: str, limit: str, most_bytes: str) -> Any:
    """read_log.lua"""
    now = space.now()
    job = space.jobs.get(job_id)
    if job is None:
        return [-1 if space.missing(now) == "gone" else -2, 0, [], [], 0]
    events: list[str] = []
    left = int(most_bytes)
    for seq, event in space.logs.get(job_id, []):
        if seq > int(after) and len(events) < int(limit) and left > 0:
            events.append(event)
            left -= len(event.encode())
    kept = [pair.partition("-")[0] for pair in job.get("voids", "").split(",") if pair]
    return [
        int(job["last_seq"]),
        int(job["status"] in ENDED),
        events,
        [job["checkpoint_seq"], *kept],
        int("cancel_after_s" in job),
    ]


def read_heads(space: Keyspace, *job_ids: str) -> Any:
    """read_heads.lua"""
    space.now()
    return [int(space.jobs[job_id]["last_seq"]) if job_id in space.jobs else -1 for job_id in job_ids]


def watched(space: Keyspace, slack_ms: str, *job_ids: str) -> Any:
    """watched.lua"""
    now = space.now()
    for job_id in job_ids:
        if job_id in space.jobs:
            space.watched(space.jobs[job_id], now, int(slack_ms))
    return 1
