"""The sweeper, presence and health: what is said about all jobs at once."""

from progress import keys
from progress.commands import Lifetimes, ListJobs, LongWaiting, ReadHealth, Sweep, Waiting, WorkerSeen
from tests.support.backend import ERROR, Backend


def test_one_worker_sweeps_until_it_stops_doing_so(backend: Backend) -> None:
    assert backend.swept("a") == []
    assert backend.swept("b") is None
    assert backend.swept("a") == []
    backend.pass_time(keys.SWEEPER_TTL_MS + 1)
    assert backend.swept("b") == []
    assert backend.swept("a") is None


def test_a_sweep_finds_what_is_due(backend: Backend) -> None:
    job_id = backend.started(priority=8)
    backend.finish(job_id, 1, "retrying", ERROR)
    assert backend.run(Sweep("w")) == [Waiting(job_id, "llm", 8)]
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
    first = backend.run(Sweep("w", limit=2)) or []
    second = backend.run(Sweep("w", limit=2)) or []
    assert len(first) == 2
    assert {waiting.job_id for waiting in (*first, *second)} == ids


def test_a_sweep_forgets_jobs_that_have_expired(backend: Backend) -> None:
    backend.cancel(backend.create(lifetimes=Lifetimes(1, 1, 10)))
    backend.pass_time(1001)
    backend.swept()
    assert backend.run(ListJobs()) == []


def test_jobs_that_wait_for_long_are_told_once(backend: Backend) -> None:
    first = backend.create(priority=9)
    backend.pass_time(20)
    second = backend.create()
    waiting = LongWaiting("llm", 20)
    assert backend.run(waiting) == [Waiting(first, "llm", 9)]
    assert backend.run(waiting) == []
    assert {found.job_id for found in backend.run(LongWaiting("llm", 0))} == {first, second}
    assert len(backend.run(LongWaiting("llm", 0, limit=1))) == 1
    assert backend.run(LongWaiting("cpu", 0)) == []


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


def test_a_worker_that_is_silent_is_no_longer_counted(backend: Backend) -> None:
    backend.run(WorkerSeen("a", ("llm",), ttl_s=1))
    job_id = backend.create()
    backend.pass_time(1001)
    assert not backend.read(job_id).queue_served
    backend.run(WorkerSeen("b", ("llm",)))
    assert backend.run(ReadHealth(("llm",))).queues["llm"].workers == ("b",)
