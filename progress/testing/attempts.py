"""The twin's scripts of whoever runs a job.

Each function is a script under its name: it takes the ARGV that Redis would get, as text, and answers what Redis would.
The contract suite holds the two together; where they differ, the twin is wrong.
"""

from typing import Any

from progress.jobs import ENDED
from progress.keys import HOLDERS_TTL_S, PASSED_TTL_S
from progress.testing.keyspace import REQUESTED, Keyspace, Record, flat


def begin_attempt(space: Keyspace, job_id: str, *argv: str) -> Any:
    """begin_attempt.lua"""
    now, claim = space.now(), argv[2]
    job = space.jobs.get(job_id)
    if job is None:
        return ["gone"]
    if job["status"] == "running" and job["claim"] == claim:
        return ["ok", int(job["attempt"]), int(job["last_seq"]), flat(job)]
    why = _unclaimable(space, job, now)
    return [why] if why else _begin(space, job, now, argv)


def _unclaimable(space: Keyspace, job: Record, now: int) -> str:
    if job["status"] in ENDED:
        return "ended"
    if job["status"] == "running":
        if space.paused(now) or not space.is_lost(job["id"], now):
            return "held"
        return "" if space.lose(job, now) else "ended"
    return "early" if int(job.get("due_at", 0)) > now else ""


def _begin(space: Keyspace, job: Record, now: int, argv: tuple[str, ...]) -> Any:
    worker, lease_ms, claim, worker_json, machine, process = argv
    job |= {"attempt": str(int(job["attempt"]) + 1), "worker": worker, "claim": claim, "append_number": "0"}
    for name in ("due_at", "append_outcome"):
        job.pop(name, None)
    job.setdefault("started_at", str(now))
    rollback_to = job["checkpoint_seq"]
    started = f'"worker":{worker_json},"rollback_to":{rollback_to}'
    seq = space.write(job, now, job["attempt"], ("started", started))
    if int(job["attempt"]) > 1:
        job["voids"] = f"{job.get('voids', '')}{rollback_to}-{seq},"
    space.set_status(job, "running")
    ranked = space.ranked(job["queue"])
    if job["id"] in ranked[1:]:
        space.passed[job["queue"]] = (space.queues[job["queue"]][job["id"]], now)
        space.ttls["passed", job["queue"]] = now + PASSED_TTL_S * 1000
    space.queues[job["queue"]].pop(job["id"], None)
    space.due.pop(job["id"], None)
    space.leases[job["id"]] = now + int(lease_ms)
    job["holder"] = f"{job['attempt']} {machine} {process}"
    if machine:
        space.holders.setdefault(machine, set()).add(process)
        space.ttls["holders", machine] = now + HOLDERS_TTL_S * 1000
    return ["ok", int(job["attempt"]), seq, flat(job)]


def append(space: Keyspace, job_id: str, attempt: str, number: str, lease_ms: str, progress: str, *drafts: str) -> Any:
    """append.lua"""
    now = space.now()
    why = space.refusal(job_id, attempt, number)
    if why and why != "seen":
        return [why, 0]
    job = space.jobs[job_id]
    answer = "cancel" if "cancel_requested" in job else "ok"
    if why == "seen":
        return [answer, int(job["append_seq"])]
    seq = space.write(job, now, attempt, drafts)
    job |= {"append_number": number, "append_seq": str(seq)}
    if progress:
        job["progress"] = progress
    space.leases[job_id] = now + int(lease_ms)
    return [answer, seq]


def finish(space: Keyspace, job_id: str, attempt: str, number: str, *argv: str) -> Any:
    """finish.lua"""
    wanted, value, delay_ms = argv
    now = space.now()
    why = space.refusal(job_id, attempt, number)
    if why == "seen":
        job = space.jobs[job_id]
        return [job.get("append_outcome", "stale"), int(job["append_seq"])]
    if why:
        return [why, 0]
    job = space.jobs[job_id]
    outcome = "cancelled" if "cancel_requested" in job else wanted
    if outcome == "released":
        job["handed_back"] = str(int(job.get("handed_back", 0)) + 1)
        outcome = "retrying"
    elif outcome == "retrying" and space.counted(job) >= int(job["max_attempts"]):
        outcome = "failed"
    job |= {"append_number": number, "append_outcome": outcome}
    seq = _retry(space, job, now, value, int(delay_ms)) if outcome == "retrying" else 0
    seq = seq or space.finish(job, now, attempt, outcome, _ending(job, outcome, wanted, value))
    job["append_seq"] = str(seq)
    return [outcome, seq]


def _retry(space: Keyspace, job: Record, now: int, error: str, delay_ms: int) -> int:
    fields = f'"delay_s":{delay_ms / 1000:.14g},"error":{error}'
    seq = space.write(job, now, job["attempt"], ("retrying", fields))
    space.set_status(job, "retrying")
    space.leases.pop(job["id"], None)
    space.due[job["id"]] = now + delay_ms
    job |= {"error": error, "due_at": str(now + delay_ms)}
    return seq


def _ending(job: Record, outcome: str, wanted: str, value: str) -> str:
    """Notes result or error in the record; gives the fields of the last event."""
    if outcome == "failed":
        job["error"] = value
        return f'"error":{value}'
    job.pop("error", None)
    if value and wanted in ("succeeded", "cancelled"):
        job["result"] = value
    return f'"result":{value}' if outcome == "succeeded" else f'"reason":{job.get("cancel_requested", REQUESTED)}'


def heartbeat(space: Keyspace, lease_ms: str, *pairs: str) -> Any:
    """heartbeat.lua"""
    now = space.now()
    return [
        _beat(space, job_id, attempt, now + int(lease_ms))
        for job_id, attempt in zip(pairs[::2], pairs[1::2], strict=True)
    ]


def _beat(space: Keyspace, job_id: str, attempt: str, until: int) -> str:
    job = space.jobs.get(job_id)
    if job is None:
        return "gone"
    if job["status"] in ENDED:
        return "closed"
    if job["status"] != "running" or job["attempt"] != attempt:
        return "stale"
    space.leases[job_id] = until
    return "cancel" if "cancel_requested" in job else "ok"
