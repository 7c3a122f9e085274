"""The twin's scripts about all jobs at once.

Each function is a script under its name: it takes the ARGV that Redis would get, as text, and answers what Redis would.
The contract suite holds the two together; where they differ, the twin is wrong.
"""

from typing import Any

from progress import keys
from progress.commands.figures import OPEN_STATUSES
from progress.testing.keyspace import Keyspace, up_to
from progress.testing.limits import called, limit_of


def sweep(space: Keyspace, worker: str, lock_ms: str, limit: str, lease_ms: str, *more: str) -> Any:
    """sweep.lua"""
    _pulse_ttl_s, *limits = more
    now = space.now()
    space.notice(now)
    if space.paused(now):
        space.grace = now + int(lease_ms)
    space.pulse = now + int(lease_ms) // 2
    holder, until = space.sweeper
    if until > now and holder != worker:
        return [0, []]
    space.sweeper = (worker, now + int(lock_ms))
    found = [*_take_due(space, now, int(limit)), *_take_lost(space, now, int(limit))]
    for kind in space.lines:
        found += called(space, kind, limit_of(kind, tuple(limits)), int(limit))
    for job_id in up_to(space.unread, now, int(limit)):
        del space.unread[job_id]
        job = space.jobs[job_id]
        asked = job.get("cancel_requested", "")
        if not asked and space.is_heard(keys.live(job_id)):
            space.watched(job, now, 0)
        elif space.cancel(job, now, asked or '"abandoned"')[0] == "unsettled":
            space.unread[job_id] = now + 1000
    space.look_after(now, int(limit))
    _forget_expired(space, now, int(limit))
    return [1, _triples(space, found)]


def _take_due(space: Keyspace, now: int, limit: int) -> list[str]:
    taken = up_to(space.due, now, limit)
    for job_id in taken:
        del space.due[job_id]
        space.jobs[job_id].pop("due_at", None)
        space.enter_queue(space.jobs[job_id], now)
    return taken


def _take_lost(space: Keyspace, now: int, limit: int) -> list[str]:
    lost = [job_id for job_id in up_to(space.leases, now, limit) if space.is_lost(job_id, now)]
    return [job_id for job_id in lost if space.lose(space.jobs[job_id], now)]


def _forget_expired(space: Keyspace, now: int, limit: int) -> None:
    for gone in up_to(space.expiry, now, limit):
        del space.expiry[gone]
        job_id, kind, status = gone.split(" ")
        for listed in ("", status):
            space.delist(job_id, kind, listed)


def _triples(space: Keyspace, job_ids: list[str]) -> list[str]:
    return [part for job_id in job_ids for part in (job_id, *_place(space, job_id))]


def _place(space: Keyspace, job_id: str) -> tuple[str, str]:
    return space.jobs[job_id]["queue"], space.jobs[job_id]["priority"]


def waiting(space: Keyspace, queue: str, least_ms: str, empty: str, limit: str) -> Any:
    """waiting.lua"""
    now = space.now()
    found: list[str] = []
    score, at = space.passed.get(queue, (0, 0))
    in_turn = (job_id for job_id in space.ranked(queue) if "in_line" not in space.jobs[job_id])
    for job_id in list(in_turn)[: int(limit)]:
        job = space.jobs[job_id]
        since = int(job["queued_at"])
        passed = space.queues[queue][job_id] < score and at - since >= int(least_ms)
        if now - since >= int(least_ms) and (empty == "1" or passed):
            job["queued_at"] = str(now)
            found += [job_id, queue, str(9 - int(space.queues[queue][job_id] // 1e13))]
    return found


def age(space: Keyspace, queue: str, after_ms: str, limit: str) -> Any:
    """age.lua"""
    now, found = space.now(), []
    scores = space.queues[queue]
    for step in range(1, 10):
        first, last = step * 1e13, step * 1e13 + now - int(after_ms)
        for job_id in [one for one in space.ranked(queue) if first <= scores[one] <= last][: int(limit)]:
            scores[job_id] = first - 1e13 + now
            space.jobs[job_id]["queued_at"] = str(now)
            found += [job_id, queue, str(10 - step)]
    return found


def ahead(space: Keyspace, queue: str, score: str) -> Any:
    """ahead.lua"""
    return sum(other < float(score) for other in space.queues[queue].values())


def worker_seen(space: Keyspace, worker: str, ttl_s: str, *queues: str) -> Any:
    """worker_seen.lua"""
    now = space.now()
    for queue in queues:
        alive = {name: until for name, until in space.workers[queue].items() if until > now}
        space.workers[queue] = alive | {worker: now + int(ttl_s) * 1000}
    return 1


def holders(space: Keyspace, machine: str) -> Any:
    """holders.lua"""
    now = space.now()
    if machine in space.holders:
        space.ttls["holders", machine] = now + keys.HOLDERS_TTL_S * 1000
    return sorted(space.holders.get(machine, ()))


def bury(space: Keyspace, machine: str, *processes: str) -> Any:
    """bury.lua"""
    now, found = space.now(), []
    space.notice(now)
    if space.unsettled > now:
        return []
    for process in processes:
        space.holders.get(machine, set()).discard(process)
    for job_id in sorted(space.leases, key=lambda one: (space.leases[one], one)):
        job = space.jobs[job_id]
        holders = {f"{job['attempt']} {machine} {process}" for process in processes}
        if job["status"] == "running" and job.get("holder") in holders and space.lose(job, now):
            found.append(job_id)
    return _triples(space, found)


def figures(space: Keyspace, parts: str, *kinds: str) -> Any:
    """figures.lua"""
    now = space.now()
    newest = now // keys.FIGURES_PART_MS
    jobs = [[kind, *(len(space.index[kind, status]) for status in OPEN_STATUSES)] for kind in kinds]
    recent = [_flat(space.figure_parts.get(str(newest - back), {})) for back in range(int(parts))]
    return [_flat(space.figures), recent, [value for row in jobs for value in row], len(space.due), now]


def _flat(counts: dict[str, int]) -> list[str]:
    return [value for field, count in counts.items() for value in (field, str(count))]


def health(space: Keyspace, *queues: str) -> Any:
    """health.lua"""
    now, reply = space.now(), []
    for queue in queues:
        alive = sorted((until, name) for name, until in space.workers[queue].items() if until >= now)
        reply += [queue, len(space.queues[queue]), [name for _, name in alive]]
    return [len(space.leases), reply]
