"""Holders: which processes have taken jobs, and what becomes of the jobs of those that are gone."""

from typing import Any

import pytest

from progress import keys
from progress.commands import Bury, Holders, Sweep, Waiting
from progress.connect import RedisExecutor
from tests.support.backend import ERROR, LEASE_MS, Backend, on_memory, on_redis, token
from tests.support.redis_server import RedisServer

HERE, ELSEWHERE = "machine-1", "machine-2"


def held(backend: Backend, process: str = "10.1", machine: str = HERE, **fields: Any) -> str:
    """A job that a process runs."""
    job_id = backend.create(**fields)
    take(backend, job_id, process, machine)
    return job_id


def take(backend: Backend, job_id: str, process: str, machine: str = HERE, lease_ms: int = LEASE_MS) -> None:
    begun = backend.begin(job_id, lease_ms=lease_ms, machine=machine, process=process)
    assert begun.answer == "ok"


def buried(backend: Backend, *processes: str, machine: str = HERE) -> list[str]:
    return [waiting.job_id for waiting in backend.run(Bury(machine, processes))]


def test_a_machine_knows_its_processes_that_have_taken_jobs(backend: Backend) -> None:
    backend.started()
    assert backend.run(Holders(HERE)) == ()
    for process in ("10.1", "10.1", "11.2"):
        held(backend, process)
    held(backend, "10.1", ELSEWHERE)
    processes = backend.run(Holders(HERE))
    assert set(processes) == {"10.1", "11.2"}
    assert backend.run(Holders(ELSEWHERE)) == ("10.1",)


def test_the_jobs_of_a_process_that_is_gone_are_taken_at_once(backend: Backend) -> None:
    first, second = held(backend, queue="cpu", priority=8), held(backend)
    found = backend.run(Bury(HERE, ("10.1",)))
    assert sorted(found, key=lambda one: one.job_id) == sorted(
        [Waiting(first, "cpu", 8), Waiting(second, "llm", 5)], key=lambda one: one.job_id
    )
    assert backend.read(first).status == "retrying"
    assert backend.read(first).queue_position == 1
    assert backend.last(first)["error"]["code"] == "worker_lost"
    assert backend.append(first, 1, token()).answer == "stale"
    take(backend, first, "11.2")
    assert backend.read(first).attempt == 2


def test_a_process_is_buried_once(backend: Backend) -> None:
    held(backend)
    held(backend, "11.2")
    assert len(buried(backend, "10.1")) == 1
    assert buried(backend, "10.1") == []
    assert backend.run(Holders(HERE)) == ("11.2",)


def test_several_are_buried_together(backend: Backend) -> None:
    ids = {held(backend, process) for process in ("10.1", "11.2", "12.3")}
    alive = held(backend, "13.4")
    assert set(buried(backend, "10.1", "11.2", "12.3")) == ids
    assert backend.read(alive).status == "running"


def test_others_are_left_alone(backend: Backend) -> None:
    others = [held(backend, "10.12"), held(backend, "10.1", ELSEWHERE), backend.started()]
    assert buried(backend, "10.1") == []
    assert {backend.read(job_id).status for job_id in others} == {"running"}


@pytest.mark.parametrize("by", ["11.2", ""])
def test_a_job_that_has_moved_on_is_not_touched(backend: Backend, by: str) -> None:
    job_id = held(backend)
    backend.finish(job_id, 1, "retrying", ERROR)
    take(backend, job_id, by, HERE if by else "")
    ended = held(backend)
    backend.finish(ended, 1, "succeeded", "1")
    waiting = held(backend)
    backend.finish(waiting, 1, "retrying", ERROR, delay_ms=60_000)
    before = [backend.log(one).last_seq for one in (job_id, ended, waiting)]
    assert buried(backend, "10.1") == []
    assert [backend.log(one).last_seq for one in (job_id, ended, waiting)] == before
    assert backend.append(job_id, 1, token(), attempt=2).answer == "ok"


def test_a_last_attempt_ends_and_a_cancelled_job_is_cancelled(backend: Backend) -> None:
    last, cancelled = held(backend, max_attempts=1), held(backend)
    backend.cancel(cancelled, "no longer needed")
    assert buried(backend, "10.1") == []
    assert backend.read(last).status == "failed"
    assert backend.last(last)["error"]["code"] == "worker_lost"
    assert backend.last(cancelled)["reason"] == "no longer needed"


def test_after_a_pause_a_process_that_is_gone_has_no_grace(backend: Backend) -> None:
    lease_ms = 60
    backend.run(Sweep("w", lease_ms))
    dead, silent = held(backend), held(backend, "11.2")
    backend.pass_time(lease_ms + 1)
    assert backend.run(Sweep("w", lease_ms)) == []
    assert buried(backend, "10.1") == [dead]
    assert backend.read(silent).status == "running"
    take(backend, dead, "11.2")


def test_a_list_of_holders_goes_with_its_machine() -> None:
    store, ttl_ms = on_memory(), keys.HOLDERS_TTL_S * 1000
    store.pass_time(0)
    held(store)
    for _ in range(2):
        store.pass_time(ttl_ms - 1)
        assert store.run(Holders(HERE)) == ("10.1",), "whoever asks keeps it"
    store.pass_time(ttl_ms)
    assert store.run(Holders(HERE)) == ()


def ttl_s(server: RedisServer, key: str) -> int:
    return int(str(server.command("TTL", key)))


def test_a_server_forgets_it_like_the_twin(executor: RedisExecutor, redis_server: RedisServer) -> None:
    held(on_redis(executor, redis_server))
    key = f"{keys.HOLDERS}{HERE}"
    assert 0 < ttl_s(redis_server, key) <= keys.HOLDERS_TTL_S
    redis_server.command("EXPIRE", key, 10)
    executor.run(Holders(HERE))
    assert ttl_s(redis_server, key) > 10
