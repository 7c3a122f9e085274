"""What an ended job leaves in a real server: nothing that stays for ever."""

from progress import keys
from progress.commands import (
    CreateJob,
    DeleteJob,
    Heartbeat,
    LongWaiting,
    Outcome,
    SettleDelivery,
    TakeDeliveries,
    Tried,
    WorkerSeen,
)
from progress.connect import RedisExecutor
from progress.jobs import NewJob
from tests.support.backend import ERROR, LEASE_MS, LIFETIMES, checkpoint, keys_without_ttl, on_redis, token
from tests.support.redis_server import RedisServer

FOR_EVER = {"server", "alive", "figures"}
UNTIL_SWEPT = {"expiry", "index:generate:", "index::"}
"""What the sweeper empties once the records have gone; see keys.py."""


def test_no_key_of_an_ended_job_is_without_a_ttl(executor: RedisExecutor, redis_server: RedisServer) -> None:
    store = on_redis(executor, redis_server)
    outcomes: tuple[Outcome, ...] = ("succeeded", "failed", "cancelled")
    for outcome in outcomes:
        job_id = store.started()
        store.append(job_id, 1, token(), checkpoint(1))
        store.finish(job_id, 2, "retrying", ERROR)
        store.swept()
        store.run(LongWaiting("llm", 0))
        store.begin(job_id, machine="m", process="1.1")
        store.run(Heartbeat(LEASE_MS, ((store.claim(job_id, 2), 0),)))
        store.finish(job_id, 1, outcome, ERROR, attempt=2)
        store.run(Heartbeat(LEASE_MS, ((store.claim(job_id, 2), 0),)))
        store.cancel(job_id)
    store.ended(webhook="https://example.com/")
    (due,) = store.run(TakeDeliveries(LEASE_MS, 10))
    store.run(SettleDelivery(due.job_id, due.claim, Tried(204, None, 1)))
    store.cancel(store.create(delay_s=60))
    store.run(DeleteJob(store.create()))
    store.run(WorkerSeen("w", ("llm",)))
    store.run(CreateJob(NewJob("generate", {}, "llm", id=job_id), LIFETIMES, "key", "f"))
    ends = {f"index:{kind}:{status}" for kind in ("generate", "") for status in ("succeeded", "failed", "cancelled")}
    assert keys_without_ttl(redis_server) == FOR_EVER | {"codes"} | UNTIL_SWEPT | ends


def test_of_deleted_jobs_nothing_is_left_but_that(executor: RedisExecutor, redis_server: RedisServer) -> None:
    store = on_redis(executor, redis_server)
    job_ids = (store.ended(), store.create(), store.create(delay_s=60))
    for job_id in job_ids:
        store.run(DeleteJob(job_id))
    assert keys_without_ttl(redis_server) == FOR_EVER
    with redis_server.client() as client:
        left = {str(key) for key in client.scan_iter()}
    parts = {key for key in left if key.startswith(keys.FIGURES_PART)}
    assert parts
    assert left - parts == {
        *(keys.PREFIX + name for name in FOR_EVER),
        *(keys.DELETED + job_id for job_id in job_ids),
    }
