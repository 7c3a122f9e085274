"""Jobs from outside: cancelled, deleted, listed."""

from typing import get_args

import pytest

from progress.commands import DeleteJob, Lifetimes, ListJobs, Outcome, ReadHeads, ReadHealth, ReadJob
from progress.jobs import Status, uuid7
from tests.support.backend import ERROR, Backend

OUTCOMES: tuple[Outcome, ...] = ("succeeded", "failed", "cancelled")


def test_a_queued_job_that_is_cancelled_never_starts(backend: Backend) -> None:
    job_id = backend.create()
    assert backend.cancel(job_id, 'changed "my" mind') == "cancelled"
    assert backend.begin(job_id).answer == "ended"
    assert backend.last(job_id)["reason"] == 'changed "my" mind'
    assert backend.read(job_id).queue_position is None


def test_a_delayed_job_that_is_cancelled_never_comes_due(backend: Backend) -> None:
    job_id = backend.create(delay_s=0.005)
    assert backend.cancel(job_id) == "cancelled"
    backend.pass_time(5)
    assert backend.swept() == []


def test_a_retrying_job_is_cancelled_at_once(backend: Backend) -> None:
    job_id = backend.started()
    backend.finish(job_id, 1, "retrying", ERROR)
    assert backend.cancel(job_id) == "cancelled"
    assert backend.read(job_id).error is None


def test_a_running_job_is_asked_to_end_and_the_first_reason_counts(backend: Backend) -> None:
    job_id = backend.started()
    assert [backend.cancel(job_id, "first"), backend.cancel(job_id, "second")] == ["requested", "again"]
    assert backend.read(job_id).cancel_requested
    backend.finish(job_id, 1, "cancelled")
    assert backend.last(job_id)["reason"] == "first"
    assert backend.cancel(job_id) == "again"


def test_a_running_job_whose_worker_is_dead_is_cancelled_at_once(backend: Backend) -> None:
    job_id = backend.started(lease_ms=0)
    assert backend.cancel(job_id) == "cancelled"
    assert backend.swept() == []


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_a_job_that_has_ended_cannot_be_cancelled(backend: Backend, outcome: Outcome) -> None:
    job_id = backend.ended(outcome, ERROR)
    assert backend.cancel(job_id) == "ended"
    assert backend.cancel("nope") == "gone"


def test_a_deleted_job_leaves_nothing_behind(backend: Backend) -> None:
    job_id = backend.ended()
    assert backend.run(DeleteJob(job_id)) == "deleted"
    assert backend.run(DeleteJob(job_id)) == "gone"
    assert backend.run(ReadJob(job_id)) is None
    assert backend.log(job_id).last_seq is None
    assert backend.run(ListJobs()) == backend.run(ListJobs("generate", "succeeded")) == []


def test_deleting_a_job_that_waits_takes_it_out_of_its_queue(backend: Backend) -> None:
    waiting, delayed = backend.create(), backend.create(delay_s=60)
    assert [backend.run(DeleteJob(job_id)) for job_id in (waiting, delayed)] == ["deleted", "deleted"]
    assert backend.run(ReadHealth(("llm",))).queues["llm"].waiting == 0
    assert backend.begin(waiting).answer == "gone"


def test_a_job_that_a_worker_holds_cannot_be_deleted(backend: Backend) -> None:
    running, retrying = backend.started(), backend.started()
    backend.finish(retrying, 1, "retrying", ERROR)
    assert [backend.run(DeleteJob(job_id)) for job_id in (running, retrying)] == ["running", "running"]


def test_lists_are_newest_first_and_leave_inputs_out(backend: Backend) -> None:
    for stamp in (1, 3, 2):
        backend.create(id=uuid7(stamp), input={"n": stamp}, metadata={"n": stamp})
    jobs = backend.run(ListJobs())
    assert [(job.input, job.metadata) for job in jobs] == [({}, {"n": n}) for n in (3, 2, 1)]


def test_pages_join_to_the_whole_list(backend: Backend) -> None:
    ids = sorted((backend.create() for _ in range(5)), reverse=True)
    found: list[str] = []
    while page := backend.run(ListJobs(cursor=found[-1] if found else "", limit=2)):
        assert len(page) <= 2
        found += [job.id for job in page]
    assert found == ids


def test_lists_are_by_kind_and_by_status(backend: Backend) -> None:
    queued, running, scored = backend.create(), backend.started(), backend.create("score")
    ended = {outcome: backend.ended(outcome, ERROR) for outcome in OUTCOMES}
    retrying = backend.started()
    backend.finish(retrying, 1, "retrying", ERROR)
    expected = {"queued": queued, "running": running, "retrying": retrying} | {str(end): ended[end] for end in ended}
    for status in get_args(Status):
        assert [job.id for job in backend.run(ListJobs("generate", status))] == [expected[status]]
    assert {job.id for job in backend.run(ListJobs(status="queued"))} == {queued, scored}
    assert [job.id for job in backend.run(ListJobs("score"))] == [scored]
    assert len(backend.run(ListJobs())) == 7
    assert backend.run(ListJobs("nope")) == []


@pytest.mark.slow
def test_a_page_is_full_although_records_have_expired_between(backend: Backend) -> None:
    short = Lifetimes(events_ttl_s=1, result_ttl_s=1, max_events=10)
    kept = backend.create()
    for _ in range(3):
        backend.pass_time(1)
        backend.cancel(backend.create(lifetimes=short))
    backend.pass_time(1001)
    assert [job.id for job in backend.run(ListJobs(limit=2))] == [kept]


def test_heads_tell_where_logs_end(backend: Backend) -> None:
    queued, running = backend.create(), backend.started()
    assert backend.run(ReadHeads((queued, "nope", running))) == [1, None, 2]
