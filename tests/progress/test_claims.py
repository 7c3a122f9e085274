"""Claims: what a worker asks of the store, and the Keeper that keeps silent attempts alive."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from progress.claims import GIVE_UP_S, Claims, Keeper
from progress.commands import Command, Heartbeat, Waiting
from progress.committer import Committer
from progress.errors import AttemptReleased, AttemptStale, AttemptTimeout, JobCancelled, LogClosed, StoreUnavailable
from progress.publisher import Publisher
from progress.testing import Memory
from tests.support.backend import ERROR, LEASE_MS, checkpoint, on_memory, token
from tests.support.waiting import wait_until


class Bench:
    def __init__(self) -> None:
        self.memory = Memory()
        self.store = on_memory(self.memory)
        self.claims = Claims(self.memory.executor, lease_ms=LEASE_MS)
        self.committer = Committer(self.memory.executor)

    def publisher(self, job_id: str, attempt: int = 1) -> Publisher:
        claim = replace(self.store.claim(job_id), attempt=attempt)
        return Publisher(self.committer, claim, lease_ms=LEASE_MS, flush_ms=0)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.committer.close()


@pytest.fixture
def keeper(bench: Bench) -> Iterator[Keeper]:
    keeper = Keeper(bench.claims, lease_s=0.04)
    yield keeper
    keeper.close()


def test_a_claim_gives_the_job(bench: Bench) -> None:
    job_id = bench.store.create()
    begun = bench.claims.begin(job_id, "w")
    assert (begun.answer, begun.job and begun.job.id) == ("ok", job_id)
    assert bench.claims.begin(job_id, "w").answer == "held"


def test_a_beat_tells_those_whose_attempt_is_over(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("progress.healing.PATIENCE_S", -1)
    alive, cancelled, ended, gone = (bench.publisher(bench.store.started()) for _ in range(4))
    stale = bench.publisher(bench.store.started(), attempt=0)
    bench.store.cancel(cancelled.job_id)
    bench.store.finish(ended.job_id, 1, "succeeded", "1")
    bench.store.finish(gone.job_id, 1, "succeeded", "1")
    bench.memory.space.jobs.pop(gone.job_id)
    publishers = (alive, cancelled, ended, gone, stale)
    bench.claims.beat(publishers)
    assert [type(one.over) for one in publishers] == [type(None), JobCancelled, LogClosed, LogClosed, AttemptStale]
    before = [one.over for one in publishers]
    bench.claims.beat(publishers)
    assert [one.over for one in publishers] == before


def test_a_worker_sees_to_what_nobody_works_on(bench: Bench) -> None:
    lost, waiting = bench.store.started(lease_ms=0), bench.store.create(queue="cpu")
    bench.claims.seen("w", ("llm",))
    assert bench.claims.sweep("w") == [Waiting(lost, "llm", 5)]
    assert bench.claims.sweep("other") is None
    bench.memory.advance(2000)
    assert bench.claims.long_waiting("cpu", 2.0, queue_empty=True) == [Waiting(waiting, "cpu", 5)]
    assert bench.claims.long_waiting("cpu", 2.0, queue_empty=True) == []


def test_a_job_can_be_read_and_cancelled(bench: Bench) -> None:
    job_id = bench.store.create()
    bench.claims.cancel(job_id, "parent cancelled")
    job = bench.claims.read(job_id)
    assert job is not None
    assert (job.status, bench.store.last(job_id)["reason"]) == ("cancelled", "parent cancelled")
    assert bench.claims.read("nope") is None


def kept(bench: Bench, job_id: str) -> str:
    job = bench.claims.read(job_id)
    assert job is not None
    return bench.claims.kept_text(job)


def test_the_text_up_to_the_last_checkpoint_is_kept(bench: Bench) -> None:
    job_id = bench.store.started()
    assert kept(bench, job_id) == ""
    bench.store.append(job_id, 1, token("a"), token("b"), checkpoint(1), token("void"))
    assert kept(bench, job_id) == "ab"


def test_text_of_attempts_that_were_rolled_back_is_not_kept(bench: Bench) -> None:
    job_id = bench.store.started()
    bench.store.append(job_id, 1, token("a"), checkpoint(1), token("void"))
    bench.store.finish(job_id, 2, "retrying", ERROR)
    bench.store.begin(job_id)
    bench.store.append(job_id, 1, token("b"), checkpoint(2), attempt=2)
    assert kept(bench, job_id) == "ab"


def test_only_the_main_text_is_kept_over_as_many_pages_as_it_has(bench: Bench) -> None:
    job_id = bench.store.started()
    publisher = bench.publisher(job_id)
    for n in range(700):
        publisher.token(str(n % 10))
        publisher.token("left", "left")
    publisher.checkpoint("1")
    publisher.flush(10)
    assert kept(bench, job_id) == "0123456789" * 70


def test_a_log_that_is_gone_leaves_no_text(bench: Bench) -> None:
    job_id = bench.store.started()
    bench.store.append(job_id, 1, token("a"), checkpoint(1))
    bench.memory.space.logs.clear()
    assert kept(bench, job_id) == ""


def test_a_silent_attempt_is_kept_alive(bench: Bench, keeper: Keeper) -> None:
    job_id = bench.store.started(lease_ms=0)
    keeper.hold(bench.publisher(job_id))
    wait_until(lambda: bench.memory.space.leases[job_id] > time.time() * 1000)
    assert bench.store.begin(job_id).answer == "held"


def test_a_silent_task_learns_of_a_cancel(bench: Bench, keeper: Keeper) -> None:
    publisher, told = bench.publisher(bench.store.started()), threading.Event()
    publisher.on_over = told.set
    keeper.hold(publisher)
    bench.store.cancel(publisher.job_id)
    assert told.wait(30)
    assert isinstance(publisher.over, JobCancelled)


def test_an_attempt_past_its_time_is_stopped(bench: Bench, keeper: Keeper) -> None:
    publisher, told = bench.publisher(bench.store.started()), threading.Event()
    publisher.on_over = told.set
    publisher.deadline = time.monotonic()
    keeper.hold(publisher)
    assert told.wait(30)
    assert isinstance(publisher.over, AttemptTimeout)


def test_an_attempt_that_is_released_is_renewed_no_more(bench: Bench, keeper: Keeper) -> None:
    beats: list[Heartbeat] = []
    bench.memory.after = lambda command: beats.append(command) if isinstance(command, Heartbeat) else None
    first, second = (bench.publisher(bench.store.started()) for _ in range(2))
    for publisher in (first, second):
        keeper.hold(publisher)
    wait_until(lambda: bool(beats) and len(beats[-1].attempts) == 2)
    keeper.release(first)
    wait_until(lambda: len(beats[-1].attempts) == 1)
    assert keeper.held == (second,)
    assert beats[-1].attempts == ((second.claim, 0),)


def test_the_keeper_outlives_a_redis_that_is_away(bench: Bench, keeper: Keeper) -> None:
    failures = [StoreUnavailable("away"), StoreUnavailable("away")]
    beats: list[Command[Any]] = []

    def fail_first(command: Command[Any]) -> None:
        if isinstance(command, Heartbeat):
            if failures:
                raise failures.pop()
            beats.append(command)

    bench.memory.before = fail_first
    keeper.hold(bench.publisher(bench.store.started()))
    wait_until(lambda: bool(beats))


def test_when_the_worker_lets_go_every_attempt_is_told_to_hand_its_job_back(bench: Bench) -> None:
    letting_go = threading.Event()
    keeper = Keeper(bench.claims, lease_s=0.04, let_go=letting_go.is_set)
    told = threading.Event()
    going, over = (bench.publisher(bench.store.started()) for _ in range(2))
    over.stop(JobCancelled())
    going.on_over = told.set
    try:
        for publisher in (going, over):
            keeper.hold(publisher)
        letting_go.set()
        assert told.wait(30)
    finally:
        keeper.close()
    assert (type(going.over), type(over.over)) == (AttemptReleased, JobCancelled)


@pytest.mark.slow
def test_a_task_that_goes_on_after_it_was_told_to_stop_is_given_up_once(bench: Bench) -> None:
    given_up: list[Publisher] = []
    beats: list[Command[Any]] = []
    bench.memory.after = lambda command: beats.append(command) if isinstance(command, Heartbeat) else None
    keeper = Keeper(bench.claims, lease_s=0.04, give_up=given_up.append)
    deaf, hearing = (bench.publisher(bench.store.started()) for _ in range(2))
    try:
        keeper.hold(deaf)
        keeper.hold(hearing)
        bench.store.cancel(deaf.job_id)
        wait_until(lambda: given_up == [deaf], GIVE_UP_S + 5)
        seen = len(beats)
        wait_until(lambda: len(beats) > seen + 2)
        assert given_up == [deaf]
    finally:
        keeper.close()


def test_an_end_that_redis_has_lost_is_written_again(bench: Bench, keeper: Keeper) -> None:
    job_id = bench.store.create()
    crash = bench.store.save()
    begun = bench.claims.begin(job_id, "w")
    assert begun.claim
    publisher = Publisher(bench.committer, begun.claim, lease_ms=LEASE_MS, flush_ms=0, begun=begun.again)
    keeper.hold(publisher)
    publisher.token("t")
    publisher.finish("succeeded", "1")
    seen = bench.store.log(job_id)
    keeper.release(publisher)
    crash()
    wait_until(lambda: bench.store.read(job_id).ended)
    assert bench.store.log(job_id) == seen


def test_an_end_is_watched_until_it_is_on_disk_and_no_longer(
    bench: Bench, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[Heartbeat] = []
    bench.memory.after = lambda command: beats.append(command) if isinstance(command, Heartbeat) else None
    publisher, other = (bench.publisher(bench.store.started()) for _ in range(2))
    keeper.hold(publisher)
    keeper.hold(other)
    publisher.finish("succeeded", "1")
    keeper.release(publisher)
    beats.clear()
    wait_until(lambda: len(beats) > 1)
    assert {len(beat.attempts) for beat in beats} == {2}
    monkeypatch.setattr("progress.claims.KEPT_S", 0)
    wait_until(lambda: len(beats[-1].attempts) == 1)


def test_an_end_that_cannot_be_written_again_is_given_up(
    bench: Bench, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("progress.healing.PATIENCE_S", 0.05)
    beats: list[Heartbeat] = []
    bench.memory.after = lambda command: beats.append(command) if isinstance(command, Heartbeat) else None
    publisher, other = (bench.publisher(bench.store.started()) for _ in range(2))
    keeper.hold(other)
    publisher.finish("succeeded", "1")
    bench.memory.space.jobs.pop(publisher.job_id)
    keeper.release(publisher)
    wait_until(lambda: bool(beats) and len(beats[-1].attempts) == 2)
    wait_until(lambda: len(beats[-1].attempts) == 1)
