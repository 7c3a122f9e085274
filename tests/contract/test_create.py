"""Submission: one job for one request, whatever is sent twice."""

import pytest

from progress.commands import CreateJob, DeleteJob, Lifetimes, ReadJob
from progress.events import rfc3339
from progress.jobs import NewJob
from tests.support.backend import LIFETIMES, Backend


def submission(key: str = "", fingerprint: str = "f", *, owner: str | None = None) -> CreateJob:
    return CreateJob(NewJob("generate", {}, "llm", owner=owner), LIFETIMES, key, fingerprint)


def test_a_job_holds_what_was_asked_for(backend: Backend) -> None:
    new = NewJob(
        "generate",
        {"prompt": 'hé \u2028 "quoted" / 😀'},
        "llm",
        priority=9,
        max_attempts=2,
        timeout_s=1.5,
        cancel_after_s=2,
        webhook="https://x/y",
        metadata={"a": [1, None]},
        retry_of="older",
    )
    made = backend.run(CreateJob(new, LIFETIMES))
    job = backend.read(made.job_id)
    assert made.outcome == "created"
    for name in ("id", "kind", "input", "queue", "priority", "max_attempts", "timeout_s", "cancel_after_s", "webhook"):
        assert getattr(job, name) == getattr(new, name)
    assert (job.metadata, job.retry_of) == (new.metadata, "older")
    assert (job.status, job.attempt, job.last_seq, job.ended) == ("queued", 0, 1, False)


def test_a_log_begins_with_queued(backend: Backend) -> None:
    job_id = backend.create(priority=7, queue="a/b")
    job = backend.read(job_id)
    assert backend.log(job_id).events[0].data == {
        "seq": 1,
        "type": "queued",
        "attempt": 0,
        "at": rfc3339(job.created_at),
        "queue": "a/b",
        "priority": 7,
    }


def test_the_same_key_and_body_give_the_same_job(backend: Backend) -> None:
    first = backend.run(submission("k"))
    again = backend.run(submission("k"))
    assert (again.outcome, again.job_id) == ("existing", first.job_id)


def test_the_same_key_with_another_body_is_a_conflict(backend: Backend) -> None:
    first = backend.run(submission("k"))
    other = backend.run(submission("k", "g"))
    assert (other.outcome, other.job_id) == ("conflict", first.job_id)


def test_keys_of_different_owners_are_different_keys(backend: Backend) -> None:
    outcomes = [backend.run(submission("k", owner=owner)).outcome for owner in (None, "a", "b")]
    assert outcomes == ["created"] * 3


def test_no_key_means_a_new_job_each_time(backend: Backend) -> None:
    assert backend.run(submission()).job_id != backend.run(submission()).job_id


@pytest.mark.parametrize("key", ["", "k"])
def test_a_submission_sent_again_after_a_lost_reply_has_created_its_job(backend: Backend, key: str) -> None:
    command = submission(key)
    assert [backend.run(command).outcome for _ in range(2)] == ["created", "created"]
    assert backend.read(command.job.id).last_seq == 1


def test_a_deleted_job_lets_its_key_go(backend: Backend) -> None:
    first = backend.run(submission("k"))
    backend.run(DeleteJob(first.job_id))
    again = backend.run(submission("k", "g"))
    assert again.outcome == "created"
    assert again.job_id != first.job_id


@pytest.mark.brief
def test_a_delayed_job_waits_outside_its_queue_until_it_is_due(backend: Backend) -> None:
    job_id = backend.create(delay_s=0.2)
    job = backend.read(job_id)
    assert job.due_at == job.created_at + 200
    assert job.queue_position is None
    assert backend.begin(job_id).answer == "early"
    assert backend.swept() == []
    backend.pass_time(200)
    assert backend.swept() == [job_id]
    assert (backend.read(job_id).due_at, backend.read(job_id).queue_position) == (None, 1)
    assert backend.begin(job_id).answer == "ok"


def test_a_delayed_job_may_begin_once_it_is_due_even_before_a_sweep(backend: Backend) -> None:
    job_id = backend.create(delay_s=0.005)
    backend.pass_time(5)
    assert backend.begin(job_id).answer == "ok"
    assert backend.swept() == []


def test_the_most_urgent_is_first_in_its_queue_then_the_oldest(backend: Backend) -> None:
    ids = []
    for priority in (5, 5, 9, 0):
        ids.append(backend.create(priority=priority))
        backend.pass_time(1)
    other = backend.create(queue="cpu")
    assert [backend.read(job_id).queue_position for job_id in ids] == [2, 3, 1, 4]
    assert backend.read(other).queue_position == 1


def test_there_is_no_job_that_was_not_made(backend: Backend) -> None:
    assert backend.run(ReadJob("nope")) is None


@pytest.mark.slow
def test_a_record_expires_after_its_time(backend: Backend) -> None:
    lifetimes = Lifetimes(events_ttl_s=1, result_ttl_s=1, max_events=10)
    new = NewJob("generate", {}, "llm")
    backend.run(CreateJob(new, lifetimes, "k", "f"))
    backend.cancel(new.id)
    backend.pass_time(1001)
    assert backend.run(ReadJob(new.id)) is None
    assert backend.run(submission("k", "g")).outcome == "created"
