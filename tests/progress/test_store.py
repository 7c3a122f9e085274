"""The Store: what each answer means to whoever asked."""

import pytest

from progress.errors import IdempotencyConflict, InvalidCursor, JobConflict, JobNotFound
from progress.jobs import NewJob
from progress.settings import Settings
from progress.store import Store
from progress.testing import Memory
from tests.support.backend import ERROR, on_memory


class Bench:
    def __init__(self) -> None:
        memory = Memory()
        self.backend = on_memory(memory)
        self.store = Store.with_settings(memory.async_executor, Settings(events_ttl_s=1, result_ttl_s=2, max_events=10))
        self.memory = memory


@pytest.fixture
def bench() -> Bench:
    return Bench()


def new() -> NewJob:
    return NewJob("generate", {"prompt": "p"}, "llm")


async def test_a_submission_gives_the_job_and_whether_it_is_new(bench: Bench) -> None:
    first = await bench.store.create(new(), idempotency_key="k", fingerprint="f")
    again = await bench.store.create(new(), idempotency_key="k", fingerprint="f")
    assert (first.created, again.created, again.job) == (True, False, first.job)
    assert first.job.input == {"prompt": "p"}


async def test_a_key_makes_one_job_though_redis_has_lost_it_in_between(bench: Bench) -> None:
    crash = bench.backend.save()
    first = await bench.store.create(new(), idempotency_key="k", fingerprint="f")
    other = await bench.store.create(new(), idempotency_key="other", fingerprint="f")
    crash()
    again = await bench.store.create(new(), idempotency_key="k", fingerprint="f")
    assert (again.created, again.job.id) == (False, first.job.id)
    assert await bench.store.write_again()
    assert {job.id for job in await bench.store.list()} == {other.job.id, first.job.id}


async def test_a_key_of_a_job_that_was_deleted_makes_another_one(bench: Bench) -> None:
    first = await bench.store.create(new(), idempotency_key="k", fingerprint="f")
    await bench.store.cancel(first.job.id)
    await bench.store.delete(first.job.id)
    again = await bench.store.create(new(), idempotency_key="k", fingerprint="f")
    assert again.created
    assert again.job.id != first.job.id


async def test_a_key_used_for_another_body_is_refused_with_both_named(bench: Bench) -> None:
    first = await bench.store.create(new(), idempotency_key="k", fingerprint="f")
    with pytest.raises(IdempotencyConflict) as caught:
        await bench.store.create(new(), idempotency_key="k", fingerprint="g")
    assert (caught.value.key, caught.value.job_id) == ("k", first.job.id)


async def test_jobs_are_kept_as_long_as_the_settings_say(bench: Bench) -> None:
    job_id = (await bench.store.create(new())).job.id
    await bench.store.cancel(job_id)
    bench.memory.advance(1001)
    assert (await bench.store.read_log(job_id, 0)).events == []
    bench.memory.advance(1000)
    with pytest.raises(JobNotFound):
        await bench.store.get(job_id)


async def test_a_cancel_says_whether_it_was_the_first(bench: Bench) -> None:
    job_id = bench.backend.started()
    assert [await bench.store.cancel(job_id), await bench.store.cancel(job_id)] == [True, False]


async def test_what_has_ended_cannot_be_cancelled(bench: Bench) -> None:
    job_id = bench.backend.ended("failed", ERROR)
    with pytest.raises(JobConflict, match="is failed") as caught:
        await bench.store.cancel(job_id)
    assert (caught.value.job_id, caught.value.status) == (job_id, "failed")


async def test_what_runs_cannot_be_deleted(bench: Bench) -> None:
    job_id = bench.backend.started()
    with pytest.raises(JobConflict, match="is running"):
        await bench.store.delete(job_id)
    bench.backend.finish(job_id, 1, "succeeded", "1")
    await bench.store.delete(job_id)


async def test_what_is_not_there_is_not_found(bench: Bench) -> None:
    store = bench.store
    for asked in (store.get("nope"), store.cancel("nope"), store.delete("nope"), store.read_log("nope", 0)):
        with pytest.raises(JobNotFound, match="no job nope"):
            await asked


async def test_lists_heads_and_health_are_passed_on(bench: Bench) -> None:
    job_id = bench.backend.started()
    assert [job.id for job in await bench.store.list(kind="generate", status="running", limit=1)] == [job_id]
    assert await bench.store.list(cursor=job_id) == []
    assert await bench.store.heads((job_id, "nope")) == [2, None]
    assert (await bench.store.health(("llm",))).running == 1


def test_a_cursor_that_cannot_be_read_says_what_one_is() -> None:
    assert "whole number" in str(InvalidCursor("x"))
    assert InvalidCursor("x").cursor == "x"


async def test_what_a_crash_has_lost_is_submitted_and_cancelled_again(bench: Bench) -> None:
    crash = bench.backend.save()
    kept, stopped, deleted = [(await bench.store.create(new())).job for _ in range(3)]
    await bench.store.cancel(stopped.id)
    await bench.store.delete(deleted.id)
    stopped = await bench.store.get(stopped.id)
    crash()
    await bench.store.write_again()
    assert [await bench.store.get(job.id) for job in (kept, stopped)] == [kept, stopped]
    with pytest.raises(JobNotFound):
        await bench.store.get(deleted.id)


async def test_whoever_submits_first_after_a_crash_makes_nobody_forgotten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = bench.backend.save()
    lost = (await bench.store.create(new())).job
    # Redis was away for longer than anything is kept.
    monkeypatch.setattr("progress.unsynced.KEPT_S", -1)
    crash()
    await bench.store.create(new())
    await bench.store.write_again()
    assert (await bench.store.get(lost.id)).created_at == lost.created_at


async def test_what_is_on_disk_by_now_is_not_submitted_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = bench.backend.save()
    job = (await bench.store.create(new())).job
    monkeypatch.setattr("progress.unsynced.KEPT_S", -1)
    bench.store.forget()
    crash()
    await bench.store.write_again()
    with pytest.raises(JobNotFound):
        await bench.store.get(job.id)


async def test_what_was_deleted_stays_so(bench: Bench) -> None:
    job = (await bench.store.create(new())).job
    crash = bench.backend.save()
    await bench.store.delete(job.id)
    crash()
    assert await bench.store.write_again()
    bench.backend.settle()
    with pytest.raises(JobNotFound):
        await bench.store.get(job.id)


async def test_what_another_one_has_to_write_again_first_is_asked_for_once_more(bench: Bench) -> None:
    bench.backend.create()
    crash = bench.backend.save()
    job_id = bench.backend.started()
    assert await bench.store.cancel(job_id)
    assert not await bench.store.cancel(job_id)
    crash()
    assert not await bench.store.write_again()
    bench.backend.settle()
    assert await bench.store.write_again()
