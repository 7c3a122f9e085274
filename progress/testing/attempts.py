"""The twin's scripts of whoever runs a job.

Each function is a script under its name: it takes the ARGV that Redis would get, as text, and answers what Redis would.
The contract suite holds the two together; where they differ, the twin is wrong.
"""

import math
from typing import Any

from progress.jobs import ENDED
from progress.keys import HOLDERS_TTL_S, PASSED_TTL_S, SETTLE_MS
from progress.testing.keyspace import REQUESTED, UNSETTLED, Keyspace, Record, flat
from progress.testing.limits import limit_of, stands_back


def begin_attempt(space: Keyspace, job_id: str, *argv: str) -> Any:
    """begin_attempt.lua"""
    argv, limits = argv[:10], argv[10:]
    now, again = space.now(), argv[-1]
    space.notice(now)
    job = space.jobs.get(job_id)
    if job is None:
        return ["gone" if again else space.missing(now)]
    if job["status"] == "running" and job["claim"] == argv[2]:
        return ["ok", int(job["attempt"]), int(job["last_seq"]), flat(job)]
    if again:
        return ["ended"] if job["status"] in ENDED else _begin_again(space, job, argv)
    before, why = job["last_seq"], _unclaimable(space, job, now) or _too_many(space, job, limits)
    if why:
        return [why]
    return _begin(space, job, now, argv, before, space.leave_room(job, now))


def _too_many(space: Keyspace, job: Record, limits: tuple[str, ...]) -> str:
    limit = limit_of(job["kind"], limits)
    goes_on = "waiting_for" in job and job["status"] == "running"
    return "full" if limit < math.inf and not goes_on and stands_back(space, job, limit) else ""


def _redelivered(space: Keyspace, job: Record, now: int, answer: str) -> str:
    space.count(now, f"redelivered {job['kind']} {answer}")
    return answer


def _begin_again(space: Keyspace, job: Record, argv: tuple[str, ...]) -> Any:
    attempt, before, seq, at = argv[6:]
    if (int(job["attempt"]) + 1, job["last_seq"]) != (int(attempt), before):
        return ["stale"]
    held = job["status"] == "running" and "waiting_for" not in job
    last = int(seq) - (2 if held else 1)
    upto = last if last > int(before) else 0
    if held:
        if not space.lose(job, int(at), upto):
            return ["ended"]
        upto = 0
    return _begin(space, job, int(at), argv, before, space.leave_room(job, int(at), upto))


def _unclaimable(space: Keyspace, job: Record, now: int) -> str:
    if job["status"] in ENDED:
        return _redelivered(space, job, now, "ended")
    waits = job["status"] == "running" and "waiting_for" in job
    if (job["status"] != "running" or waits) and job.get("server") != space.server and space.unsettled > now:
        return "unsettled"
    if waits and job["waiting_for"] != "ready":
        return "early"
    if job["status"] == "running" and not waits:
        if space.paused(now) or not space.is_lost(job["id"], now):
            return _redelivered(space, job, now, "held")
        return "" if space.lose(job, now) else "ended"
    return "early" if int(job.get("due_at", 0)) > now else ""


def _begin(space: Keyspace, job: Record, now: int, argv: tuple[str, ...], before: str, follows: str) -> Any:
    worker, lease_ms, claim, worker_json, machine, process = argv[:6]
    job |= {"attempt": str(int(job["attempt"]) + 1), "worker": worker, "claim": claim, "append_number": "0"}
    job |= {"begun_after": before, "begun_at": str(now)}
    waits = job["id"] in space.queues[job["queue"]]
    since = int(job["entered_at"] if waits else job.get("due_at", now))
    space.observe(now, "wait", job["kind"], max(0, now - since))
    for name in ("due_at", "append_outcome", "waiting_for", "in_line"):
        job.pop(name, None)
    job.setdefault("started_at", str(now))
    rollback_to = job["checkpoint_seq"]
    started = f'"worker":{worker_json},"rollback_to":{rollback_to}{follows}'
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
        space.ttls["holders", machine] = space.now() + HOLDERS_TTL_S * 1000
    return ["ok", int(job["attempt"]), seq, flat(job)]


def append(space: Keyspace, *argv: str) -> Any:
    """append.lua"""
    replies, start = [], 0
    while start < len(argv):
        end = start + 1 + int(argv[start])
        replies.append(_append(space, *argv[start + 1 : end]))
        start = end
    return replies


def _append(space: Keyspace, job_id: str, attempt: str, claim: str, *argv: str) -> Any:
    number, lease_ms, progress, before, again, *drafts = argv
    now = space.now()
    why = space.refusal(job_id, attempt, claim, int(number))
    if why and why != "seen":
        return [why, 0, 0, 0]
    job = space.jobs[job_id]
    answer = "cancel" if "cancel_requested" in job else "ok"
    if why == "seen":
        return [answer, *(int(job.get(f"append_{name}", 0)) for name in ("seq", "at", "room"))]
    upto = space.goes_on(job, now, again)
    if upto == UNSETTLED:
        return ["unsettled", 0, 0, 0]
    at, room = int(before or now), _leave_room(space, job, now, upto, drafts)
    seq = space.write(job, at, attempt, tuple(drafts))
    job |= {"append_number": number, "append_seq": str(seq), "append_at": str(at), "append_room": str(room)}
    if progress:
        job["progress"] = progress
    space.leases[job_id] = (at if again else now) + int(lease_ms)
    return [answer, seq, at, room]


def _leave_room(space: Keyspace, job: Record, now: int, upto: int | None, drafts: list[str]) -> int:
    first = next((place for place in range(0, len(drafts), 2) if drafts[place] != "checkpoint"), None)
    if upto == 0:
        return 0
    if first is None:
        job["doubted"] = job["attempt"]
        return 0
    drafts[first + 1] += space.leave_room(job, now, upto)
    return int(job["last_seq"])


def finish(space: Keyspace, job_id: str, attempt: str, claim: str, number: str, *argv: str) -> Any:
    """finish.lua"""
    wanted, value, delay_ms, at, again, reason, *spoken = argv
    clock = space.now()
    now = int(at or clock)
    why = space.refusal(job_id, attempt, claim, int(number))
    if why:
        return _not_ended_now(space, why, job_id)
    job = space.jobs[job_id]
    upto = space.goes_on(job, clock, again)
    if upto == UNSETTLED:
        return ["unsettled", 0, 0, "", 0]
    outcome = wanted
    if not again:
        reason = job.get("cancel_requested", "")
        outcome = "cancelled" if reason else wanted
    follows = "" if outcome == "waiting" else space.leave_room(job, clock, upto)
    room = int(job["last_seq"]) if follows else 0
    if outcome == "released":
        job["handed_back"] = str(int(job.get("handed_back", 0)) + 1)
        outcome = "retrying"
    elif not again and outcome == "retrying" and space.counted(job) >= int(job["max_attempts"]):
        outcome = "failed"
    job |= {"append_number": number, "append_outcome": outcome, "append_at": str(now), "append_room": str(room)}
    _observe_end(space, job, now, *spoken)
    if wanted == "waiting":
        job["opened"] = value
    if outcome in ("waiting", "retrying"):
        _after_a_crash(space, job, now, clock, again)
    if outcome == "waiting":
        seq = space.wait(job, now, value)
    elif outcome == "retrying":
        space.count(now, f"retried {job['kind']} {space.code_of(value)}")
        seq = _retry(space, job, now, value, int(delay_ms), follows)
    else:
        ending = _ending(job, outcome, wanted, value, reason or REQUESTED)
        seq = space.finish(job, now, attempt, outcome, ending + follows)
    job["append_seq"] = str(seq)
    return [outcome, seq, now, reason, room]


def _after_a_crash(space: Keyspace, job: Record, now: int, clock: int, again: str) -> None:
    if now <= space.doubt:
        job["server"] = ""
    if again and "cancel_requested" in job:
        space.unread[job["id"]] = clock + SETTLE_MS


def _not_ended_now(space: Keyspace, why: str, job_id: str) -> Any:
    """What an attempt hears whose end is known already, or that has lost its job."""
    if why != "seen":
        return [why, 0, 0, "", 0]
    job = space.jobs[job_id]
    seq, told, room = (int(job.get(f"append_{name}", 0)) for name in ("seq", "at", "room"))
    return [job.get("append_outcome", "stale"), seq, told, job.get("cancel_requested", ""), room]


def _observe_end(space: Keyspace, job: Record, now: int, tokens: str, first_at: str) -> None:
    begun, kind = int(job["begun_at"]), job["kind"]
    space.observe(now, "run", kind, max(0, now - begun))
    if not first_at:
        return
    space.count(now, f"tokens {kind} ", int(tokens))
    space.observe(now, "first_token", kind, max(0, int(first_at) - begun))
    speaking = now - int(first_at)
    if int(tokens) > 1 and speaking > 0:
        space.observe(now, "speed", kind, (int(tokens) - 1) * 1_000_000 // speaking)


def _retry(space: Keyspace, job: Record, now: int, error: str, delay_ms: int, follows: str) -> int:
    fields = f'"delay_s":{delay_ms / 1000:.14g},"error":{error}{follows}'
    seq = space.write(job, now, job["attempt"], ("retrying", fields))
    space.set_status(job, "retrying")
    space.leases.pop(job["id"], None)
    space.due[job["id"]] = now + delay_ms
    job |= {"error": error, "due_at": str(now + delay_ms)}
    return seq


def _ending(job: Record, outcome: str, wanted: str, value: str, reason: str) -> str:
    """Notes result or error in the record; gives the fields of the last event."""
    if outcome == "failed":
        job["error"] = value
        return f'"error":{value}'
    job.pop("error", None)
    if value and wanted in ("succeeded", "cancelled"):
        job["result"] = value
    return f'"result":{value}' if outcome == "succeeded" else f'"reason":{reason}'


def heartbeat(space: Keyspace, lease_ms: str, *attempts: str) -> Any:
    """heartbeat.lua"""
    now = space.now()
    space.notice(now)
    quads = zip(*(attempts[part::4] for part in range(4)), strict=True)
    return [_beat(space, quad, now + int(lease_ms)) for quad in quads]


def _beat(space: Keyspace, attempt: tuple[str, ...], until: int) -> str:
    job_id, number, claim, appends = attempt
    why = space.refusal(job_id, number, claim, int(appends) + 1)
    if why == "seen":
        job = space.jobs[job_id]
        lets_go = job["status"] != "running" or "waiting_for" in job
        why = "closed" if job["status"] in ENDED else "stale" if lets_go else ""
    if why:
        return why
    job = space.jobs[job_id]
    doubt = space.doubtful(job, space.now())
    space.leases[job_id] = until
    job |= {"doubted": number} if doubt else {"server": space.server}
    return "cancel" if "cancel_requested" in job else "ok"
