"""The twin's scripts on deliveries to webhooks.

Each function is a script under its name: it takes the ARGV that Redis would get, as text, and answers what Redis would.
The contract suite holds the two together; where they differ, the twin is wrong.
"""

from typing import Any

from progress.events import rfc3339
from progress.keys import MAX_TRIES
from progress.testing.keyspace import Keyspace, up_to


def take_deliveries(space: Keyspace, lease_ms: str, limit: str) -> Any:
    """take_deliveries.lua"""
    now, found = space.now(), []
    for job_id in up_to(space.deliveries, now, int(limit)):
        job = space.jobs.get(job_id)
        if job is None:
            del space.deliveries[job_id]
            continue
        claim = now + int(lease_ms)
        space.deliveries[job_id] = claim
        since = int(job.get("deliver_from", job["finished_at"]))
        found += [job_id, claim, job.get("tries", "0"), max(0, now - since)]
    return found


def settle_delivery(space: Keyspace, job_id: str, claim: str, took_ms: str, told: str, again_ms: str) -> Any:
    """settle_delivery.lua"""
    now, next_at = space.now(), "null"
    job = space.jobs.get(job_id)
    if job is None:
        return 0
    if space.deliveries.get(job_id) == int(claim):
        if again_ms:
            next_at = f'"{rfc3339(now + int(again_ms))}"'
            space.deliveries[job_id] = now + int(again_ms)
        else:
            del space.deliveries[job_id]
    job["tries"] = str(int(job.get("tries", 0)) + 1)
    tries = space.tries.setdefault(job_id, [])
    tries.append(f'{{"at":"{rfc3339(now - int(took_ms))}",{told},"next_at":{next_at}}}')
    del tries[:-MAX_TRIES]
    space.ttls["tries", job_id] = space.ttls["jobs", job_id]
    return 1


def put_back_deliveries(space: Keyspace, *argv: str) -> Any:
    """put_back_deliveries.lua"""
    now = space.now()
    for job_id, claim, after_ms in zip(argv[::3], argv[1::3], argv[2::3], strict=True):
        if space.deliveries.get(job_id) == int(claim):
            space.deliveries[job_id] = now + int(after_ms)
    return 1


def redeliver(space: Keyspace, job_id: str) -> Any:
    """redeliver.lua"""
    now = space.now()
    job = space.jobs.get(job_id)
    if job is None:
        return 0
    job |= {"deliver_from": str(now), "tries": "0"}
    space.deliveries[job_id] = now
    return 1


def read_deliveries(space: Keyspace, job_id: str) -> Any:
    """read_deliveries.lua"""
    space.now()
    due = space.deliveries.get(job_id)
    return ["" if due is None else f"{due:.17g}", list(space.tries.get(job_id, ()))]
