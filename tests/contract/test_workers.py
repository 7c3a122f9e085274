"""The sweeper, presence and health: what is said about all jobs at once."""

import pytest

from progress import keys
from progress.commands import (
    Age,
    BeginAttempt,
    Lifetimes,
    ListJobs,
    LongWaiting,
    ReadFigures,
    ReadHealth,
    Sweep,
    Waiting,
    Watched,
    WorkerSeen,
)
from progress.figures import Figures
from tests.support.backend import ERROR, Backend


@pytest.mark.slow
@pytest.mark.brief
def test_one_worker_sweeps_until_it_stops_doing_so(backend: Backend) -> None:
    assert backend.swept("a") == []
    assert backend.swept("b") is None
    assert backend.swept("a") == []
    backend.pass_time(keys.SWEEPER_TTL_MS[0])
    assert backend.run(Sweep("b", 2_000)) is None
    backend.pass_time(keys.SWEEPER_TTL_MS[1] - keys.SWEEPER_TTL_MS[0] + 1)
    assert backend.swept("b") == []
    assert backend.swept("a") is None


@pytest.mark.slow
@pytest.mark.brief
def test_the_death_of_whoever_sweeps_delays_no_recovery(backend: Backend) -> None:
    lease_ms = 400
    assert [Sweep("a", ms).lock_ms for ms in (lease_ms, 4_000, 10_000)] == [1_000, 2_000, 3_000]
    backend.run(Sweep("a", lease_ms))
    lost = backend.started(lease_ms=lease_ms)
    found: list[Waiting] = []
    for _ in range(11):
        backend.pass_time(100)
        swept = backend.run(Sweep("b", lease_ms))
        found += swept or []
    assert [waiting.job_id for waiting in found] == [lost], "others were there all the time: that is no outage"


def test_a_sweep_finds_what_is_due(backend: Backend) -> None:
    job_id = backend.started(priority=8)
    backend.finish(job_id, 1, "retrying", ERROR)
    assert backend.run(Sweep("w", 10_000)) == [Waiting(job_id, "llm", 8)]
    assert backend.read(job_id).status == "retrying"
    assert backend.read(job_id).queue_position == 1
    assert backend.swept() == []


def test_a_sweep_finds_lost_attempts_and_ends_those_without_another(backend: Backend) -> None:
    lost, last, alive = (
        backend.started(lease_ms=0),
        backend.started(lease_ms=0, max_attempts=1),
        backend.started(),
    )
    assert backend.swept() == [lost]
    assert [backend.read(job_id).status for job_id in (lost, last, alive)] == ["retrying", "failed", "running"]


def test_a_sweep_takes_no_more_than_its_limit(backend: Backend) -> None:
    ids = {backend.started(lease_ms=0) for _ in range(3)}
    first = backend.run(Sweep("w", 10_000, limit=2)) or []
    second = backend.run(Sweep("w", 10_000, limit=2)) or []
    assert len(first) == 2
    assert {waiting.job_id for waiting in (*first, *second)} == ids


@pytest.mark.slow
def test_a_sweep_forgets_jobs_that_have_expired(backend: Backend) -> None:
    backend.cancel(backend.create(lifetimes=Lifetimes(1, 1, 10)))
    backend.pass_time(1001)
    backend.swept()
    assert backend.run(ListJobs()) == []


@pytest.mark.brief
def test_jobs_that_wait_for_long_are_told_once(backend: Backend) -> None:
    first = backend.create(priority=9)
    backend.pass_time(200)
    second = backend.create()
    waiting = LongWaiting("llm", 200)
    assert backend.run(waiting) == [Waiting(first, "llm", 9)]
    assert backend.run(waiting) == []
    assert {found.job_id for found in backend.run(LongWaiting("llm", 0))} == {first, second}
    assert len(backend.run(LongWaiting("llm", 0, limit=1))) == 1
    assert backend.run(LongWaiting("cpu", 0)) == []


@pytest.mark.brief
def test_jobs_that_others_have_passed_are_told_though_the_broker_has_messages(backend: Backend) -> None:
    waiting = LongWaiting("llm", 200, queue_empty=False)
    ids = [backend.create(), backend.create(priority=9)]
    early, late = (backend.create(priority=1) for _ in range(2))
    backend.begin(early)
    backend.pass_time(200)
    assert backend.run(waiting) == [], "they may be next: when the last one began they had just come"
    new = backend.create()
    backend.begin(late)
    assert {found.job_id for found in backend.run(waiting)} == set(ids)
    assert backend.run(waiting) == []
    backend.begin(new)
    assert backend.run(waiting) == [], "their message is on its way"


def test_a_queue_that_is_served_says_so(backend: Backend) -> None:
    job_id = backend.create()
    assert not backend.read(job_id).queue_served
    backend.run(WorkerSeen("w", ("llm", "cpu")))
    assert backend.read(job_id).queue_served


def test_health_counts_what_runs_and_what_waits(backend: Backend) -> None:
    backend.started()
    backend.create()
    backend.create(delay_s=60)
    backend.ended()
    for worker in ("a", "b"):
        backend.run(WorkerSeen(worker, ("llm",)))
        backend.pass_time(1)
    health = backend.run(ReadHealth(("llm", "cpu")))
    assert health.running == 1
    assert (health.queues["llm"].waiting, health.queues["llm"].workers) == (1, ("a", "b"))
    assert (health.queues["cpu"].waiting, health.queues["cpu"].workers) == (0, ())


@pytest.mark.slow
def test_a_worker_that_is_silent_is_no_longer_counted(backend: Backend) -> None:
    backend.run(WorkerSeen("a", ("llm",), ttl_s=1))
    job_id = backend.create()
    backend.pass_time(1001)
    assert not backend.read(job_id).queue_served
    backend.run(WorkerSeen("b", ("llm",)))
    assert backend.run(ReadHealth(("llm",))).queues["llm"].workers == ("b",)


@pytest.mark.slow
def test_after_a_pause_of_all_sweeping_nobody_is_lost_before_a_leases_time(backend: Backend) -> None:
    lease_ms = 300
    sweep = Sweep("w", lease_ms)
    backend.run(sweep)
    silent = backend.started(lease_ms=lease_ms)
    backend.pass_time(lease_ms + 1)
    assert backend.run(BeginAttempt(silent, "w2", lease_ms, "claim-1")).answer == "held", "a message may come first"
    assert backend.run(sweep) == [], "Redis may have been away, and the attempt may live"
    assert backend.run(BeginAttempt(silent, "w2", lease_ms, "claim-2")).answer == "held"
    assert backend.cancel(silent) == "requested", "its worker may still hear of it"

    def is_cancelled() -> bool:
        backend.pass_time(lease_ms // 3)
        backend.run(sweep)
        return backend.read(silent).status == "cancelled"

    # A busy machine may pause once more between two sweeps, and that gives another lease's time.
    assert any(is_cancelled() for _ in range(50)), "it has not renewed its lease, so it is lost"


def test_a_job_that_nobody_reads_is_cancelled_in_time(backend: Backend) -> None:
    unread, read_now, forgotten = (backend.create(cancel_after_s=seconds) for seconds in (0.02, 0.02, None))
    held = backend.started(cancel_after_s=0.02)
    backend.run(Watched((read_now, forgotten, "nope"), 60_000))
    backend.pass_time(21)
    backend.swept()
    assert [backend.read(job_id).status for job_id in (unread, read_now, forgotten)] == [
        "cancelled",
        "queued",
        "queued",
    ]
    assert backend.last(unread)["reason"] == "abandoned"
    assert backend.read(held).cancel_requested, "its worker hears of it"
    backend.finish(held, 1, "succeeded", "1")
    assert backend.last(held)["reason"] == "abandoned"


@pytest.mark.brief
def test_a_reader_who_leaves_starts_the_time_anew(backend: Backend) -> None:
    job_id = backend.create(cancel_after_s=0.2)
    backend.run(Watched((job_id,), 60_000))
    backend.run(Watched((job_id,), 0))
    backend.swept()
    assert backend.read(job_id).status == "queued"
    backend.pass_time(201)
    backend.swept()
    assert backend.read(job_id).status == "cancelled"
    backend.run(Watched((job_id,), 0))
    backend.swept()
    assert backend.last(job_id)["seq"] == 2, "an ended job has nobody to wait for"


@pytest.mark.brief
def test_jobs_become_more_urgent_step_by_step_by_waiting(backend: Backend) -> None:
    low, high = backend.create(priority=3), backend.create(priority=9)
    backend.pass_time(200)
    new = backend.create(priority=4)
    backend.pass_time(2)
    aging = Age("llm", 200)
    assert backend.run(aging) == [Waiting(low, "llm", 4)]
    assert backend.run(aging) == [], "it has not waited at this step yet"
    assert backend.run(Age("cpu", 0)) == []
    assert [backend.read(job_id).queue_position for job_id in (high, new, low)] == [1, 2, 3], (
        "it is the last of its step"
    )
    assert backend.read(low).priority == 3, "what it was given"
    assert [waiting.priority for waiting in backend.run(LongWaiting("llm", 0)) if waiting.job_id == low] == [4]
    for _ in range(5):
        assert Waiting(low, "llm", 9) not in backend.run(LongWaiting("llm", 0))
        backend.pass_time(2)
        backend.run(Age("llm", 1))
    assert Waiting(low, "llm", 9) in backend.run(LongWaiting("llm", 0))
    assert Waiting(high, "llm", 9) in backend.run(LongWaiting("llm", 0))
    backend.pass_time(2)
    assert backend.run(Age("llm", 1)) == [], "nothing is more urgent than 9"


@pytest.mark.brief
def test_becoming_more_urgent_does_not_shorten_the_wait_that_is_counted(backend: Backend) -> None:
    job_id = backend.create(priority=3)
    backend.pass_time(50)
    backend.run(Age("llm", 50))
    backend.begin(job_id)
    assert Figures(backend.run(ReadFigures(())).ever).histogram("wait", "generate").total >= 0.05
