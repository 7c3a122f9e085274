"""What is counted: each fact once, where it happens, whatever is sent twice or lost in a crash."""

from typing import Any

import pytest

from progress import keys
from progress.commands import Append, Command, Counted, CreateJob, DeleteJob, FinishAttempt, ReadFigures
from progress.figures import Figures
from progress.jobs import NewJob
from tests.support.backend import ERROR, LEASE_MS, LIFETIMES, Backend, token

FINAL = '{"code":"bad_input","message":"m","retryable":false}'


def counted(backend: Backend) -> Counted:
    return backend.run(ReadFigures(("generate", "score")))


def counts(backend: Backend) -> dict[str, int]:
    return dict(counted(backend).ever)


def figures(backend: Backend) -> Figures:
    return Figures(counted(backend).ever)


def test_jobs_are_counted_by_kind_and_end(backend: Backend) -> None:
    for outcome in ("succeeded", "succeeded", "cancelled"):
        backend.ended(outcome)
    backend.ended("failed", FINAL, kind="score")
    backend.cancel(backend.create(kind="score"))
    backend.run(DeleteJob(backend.create(kind="score")))
    found = figures(backend)
    assert found.labelled("submitted", "generate") == {"": 3}
    assert found.labelled("ended", "generate") == {"cancelled": 1, "succeeded": 2}
    assert found.labelled("ended", "score") == {"cancelled": 2, "failed": 1}
    assert found.labelled("ended", "") == {"cancelled": 3, "failed": 1, "succeeded": 2}
    assert found.labelled("failed", "score") == {"bad_input": 1}
    assert found.labelled("exhausted", "") == {}


def test_jobs_that_have_not_ended_are_told_by_kind_and_status(backend: Backend) -> None:
    backend.create()
    backend.create(kind="score", delay_s=60)
    backend.started()
    found = counted(backend)
    assert {place: count for place, count in found.jobs.items() if count} == {
        ("generate", "queued"): 1,
        ("generate", "running"): 1,
        ("score", "queued"): 1,
    }
    assert found.delayed == 1


def test_retries_have_their_reasons_and_jobs_without_another_attempt_are_told(backend: Backend) -> None:
    job_id = backend.started(max_attempts=2)
    backend.finish(job_id, 1, "retrying", ERROR)
    backend.swept()
    backend.begin(job_id)
    backend.finish(job_id, 1, "retrying", ERROR, attempt=2)
    lost = backend.started(max_attempts=2, lease_ms=0)
    backend.swept()
    backend.begin(lost, lease_ms=0)
    backend.swept()
    found = figures(backend)
    assert found.labelled("retried", "generate") == {"e": 1, "worker_lost": 1}
    assert found.labelled("failed", "generate") == {"e": 1, "worker_lost": 1}
    assert found.labelled("exhausted", "generate") == {"e": 1, "worker_lost": 1}
    assert found.labelled("lost", "generate") == {"": 2}
    assert found.histogram("run", "generate").count == 2, "of a lost attempt nobody knows when it ended"


def test_messages_that_come_for_nothing_are_counted(backend: Backend) -> None:
    job_id = backend.started()
    assert backend.begin(job_id, worker="other").answer == "held"
    backend.finish(job_id, 1, "succeeded", "1")
    assert backend.begin(job_id).answer == "ended"
    assert backend.begin("nope").answer == "gone"
    assert figures(backend).labelled("redelivered", "generate") == {"ended": 1, "held": 1}


@pytest.mark.brief
def test_waiting_speaking_and_running_are_measured(backend: Backend) -> None:
    job_id = backend.create()
    backend.pass_time(30)
    backend.begin(job_id)
    backend.pass_time(60)
    first_at = backend.append(job_id, 1, token()).at
    backend.pass_time(120)
    backend.finish(job_id, 2, "succeeded", "1", tokens=13, first_token_at=first_at)
    found = figures(backend)
    waited, first, ran = (found.histogram(name, "generate") for name in ("wait", "first_token", "run"))
    assert (waited.count, first.count, ran.count) == (1, 1, 1)
    assert 0.030 <= waited.total < 5
    assert 0.060 <= first.total < 5
    assert 0.180 <= ran.total < 5
    assert found.count("tokens", "generate") == 13
    speed = found.histogram("speed", "generate")
    assert speed.count == 1
    assert 1 < speed.total <= 12 / 0.120


@pytest.mark.brief
def test_a_job_that_is_due_waits_from_then_on(backend: Backend) -> None:
    job_id = backend.create(delay_s=0.2)
    backend.pass_time(230)
    assert backend.begin(job_id).answer == "ok"
    waited = figures(backend).histogram("wait", "generate")
    assert 0.030 <= waited.total < 0.2 or waited.total > 5, "a machine that stood still"


def test_each_attempt_counts_its_own_text(backend: Backend) -> None:
    job_id = backend.started()
    at = backend.append(job_id, 1, token()).at
    backend.finish(job_id, 2, "retrying", ERROR, tokens=1, first_token_at=at)
    backend.swept()
    backend.begin(job_id)
    backend.finish(job_id, 1, "succeeded", "1", attempt=2)
    found = figures(backend)
    assert found.histogram("first_token", "generate").count == 1
    assert found.histogram("wait", "generate").count == 2
    assert found.histogram("run", "generate").count == 2
    assert found.count("tokens", "generate") == 1
    assert found.histogram("speed", "generate").count == 0, "one token has no speed"


def test_what_is_sent_twice_counts_once(backend: Backend) -> None:
    new = NewJob("generate", {}, "llm")
    for _ in range(2):
        backend.run(CreateJob(new, LIFETIMES))
    begun = backend.begin(new.id, token="t")
    backend.begin(new.id, token="t")
    assert begun.claim
    for _ in range(2):
        at = backend.append(new.id, 1, token()).at
        backend.run(FinishAttempt(begun.claim, 2, "succeeded", "1", tokens=5, first_token_at=at))
    once = dict.fromkeys(("submitted", "ended"), 1)
    found = figures(backend)
    assert {name: sum(found.labelled(name, "").values()) for name in once} == once
    assert [found.histogram(name, "").count for name in ("wait", "first_token", "run")] == [1, 1, 1]
    assert found.count("tokens", "") == 5


def test_what_a_crash_has_lost_counts_when_it_is_written_again(backend: Backend) -> None:
    crash = backend.save()
    create = CreateJob(NewJob("generate", {}, "llm"), LIFETIMES)
    created = backend.run(create)
    begun = backend.begin(created.job_id)
    append = Append(backend.claim(created.job_id), 1, LEASE_MS, (token(),))
    appended = backend.run(append)
    finish = FinishAttempt(backend.claim(created.job_id), 2, "succeeded", "1", tokens=5, first_token_at=appended.at)
    finished = backend.run(finish)
    before = counts(backend)
    crash()
    assert counts(backend) == {}
    assert begun.again
    again: tuple[Command[Any], ...] = (
        create.again(created),
        begun.again,
        append.again(appended),
        finish.again(finished),
    )
    for command in again * 2:
        backend.run(command)
    assert counts(backend) == before, "once, and as it was"


def test_codes_that_tasks_make_up_are_bounded(backend: Backend) -> None:
    for number in range(keys.MOST_CODES + 5):
        backend.ended("failed", f'{{"code":"code_{number}","message":"","retryable":false}}')
    backend.ended("failed", '{"code":"Odd code","message":"\\"code\\":\\"a\\"","retryable":false}')
    backend.ended("failed", f'{{"code":"{"a" * 65}","message":"","retryable":false}}')
    found = figures(backend).labelled("failed", "generate")
    assert len(found) == keys.MOST_CODES + 1
    assert found["other"] == 7
    assert found["code_0"] == 1


def test_the_last_hour_is_told_apart(backend: Backend) -> None:
    backend.ended()
    found = counted(backend)
    assert found.recent == found.ever
    minutes = found.recent_s / 60
    assert 55 <= minutes <= 60
    none = backend.run(ReadFigures((), 0))
    assert (none.recent, none.jobs) == ({}, {})
    assert none.ever == found.ever
