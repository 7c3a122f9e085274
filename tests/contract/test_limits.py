"""Limits on jobs that run at once: decided with the claim, kept whatever dies, and given back."""

from progress.commands import Begun, LongWaiting, Sweep, Waiting
from tests.support.backend import ERROR, LEASE_MS, Backend

TWO = (("generate", 2),)


def begin(backend: Backend, job_id: str, lease_ms: int = LEASE_MS) -> Begun:
    return backend.begin(job_id, limits=TWO, lease_ms=lease_ms)


def called(backend: Backend) -> list[str]:
    return [waiting.job_id for waiting in backend.run(Sweep("w", 10_000, running=TWO)) or []]


def test_no_more_than_so_many_of_a_kind_run(backend: Backend) -> None:
    ids = [backend.create() for _ in range(4)]
    assert [begin(backend, job_id).answer for job_id in ids] == ["ok", "ok", "full", "full"]
    assert begin(backend, backend.create(kind="score")).answer == "ok", "of another kind"
    late = backend.read(ids[2])
    assert (late.status, late.attempt, late.last_seq) == ("queued", 0, 1), "as it was"
    assert late.queue_position in (1, 2)
    assert called(backend) == []


def test_the_next_one_is_called_once_one_has_ended(backend: Backend) -> None:
    first, second = (backend.create() for _ in range(2))
    begin(backend, first)
    begin(backend, second)
    normal = backend.create()
    begin(backend, normal)
    urgent = backend.create(priority=9)
    begin(backend, urgent)
    backend.finish(first, 1, "succeeded", "1")
    assert called(backend) == [urgent]
    assert begin(backend, urgent).answer == "ok"
    assert called(backend) == []
    backend.finish(second, 1, "retrying", ERROR, delay_ms=60_000)
    assert called(backend) == [normal], "one that waits for its next attempt does not run"
    assert begin(backend, normal).answer == "ok"


def test_a_newcomer_does_not_pass_those_who_stand_in_line(backend: Backend) -> None:
    ids = [backend.create() for _ in range(3)]
    for job_id in ids:
        begin(backend, job_id)
    backend.finish(ids[0], 1, "succeeded", "1")
    backend.pass_time(2)
    assert begin(backend, backend.create()).answer == "full"
    assert begin(backend, backend.create(priority=9)).answer == "ok", "more urgent"


def test_an_attempt_that_is_lost_gives_its_place_back(backend: Backend) -> None:
    lost, other, late = (backend.create() for _ in range(3))
    begin(backend, lost, lease_ms=0)
    begin(backend, other)
    assert begin(backend, late).answer == "full"
    assert set(called(backend)) == {lost, late}, "the lost one is to go on, and there is room for one"
    assert begin(backend, lost).answer == "ok"
    assert begin(backend, late).answer == "full"
    backend.finish(other, 1, "succeeded", "1")
    assert called(backend) == [late]


def test_those_who_stand_in_line_need_no_message(backend: Backend) -> None:
    ids = [backend.create() for _ in range(3)]
    for job_id in ids:
        begin(backend, job_id)
    behind = backend.create()
    assert backend.run(LongWaiting("llm", 0, limit=1)) == [Waiting(behind, "llm", 5)]
    backend.finish(ids[0], 1, "succeeded", "1")
    assert called(backend) == [ids[2]]
    assert Waiting(ids[2], "llm", 5) in backend.run(LongWaiting("llm", 0)), "its message may be lost like any other"


def test_one_that_has_ended_in_line_is_not_called(backend: Backend) -> None:
    ids = [backend.create() for _ in range(4)]
    for job_id in ids:
        begin(backend, job_id)
    backend.cancel(ids[2])
    backend.finish(ids[0], 1, "succeeded", "1")
    assert called(backend) == [ids[3]]


def test_without_the_limit_all_are_called(backend: Backend) -> None:
    ids = [backend.create() for _ in range(4)]
    for job_id in ids:
        begin(backend, job_id)
    assert set(backend.swept() or []) == set(ids[2:])
    assert [backend.begin(job_id).answer for job_id in ids[2:]] == ["ok", "ok"]


def test_what_a_crash_has_lost_of_a_claim_is_written_again_whatever_the_limit(backend: Backend) -> None:
    ids = [backend.create() for _ in range(3)]
    crash = backend.save()
    begun = [begin(backend, job_id) for job_id in ids[:2]]
    crash()
    backend.settle()
    assert begin(backend, ids[2]).answer == "ok", "nobody has spoken yet"
    for claim in begun:
        assert claim.again
        assert backend.run(claim.again).answer == "ok", "it runs already"
