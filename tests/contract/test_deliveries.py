"""Deliveries: each end of a job with a webhook is due, one worker's at a time, until it is settled."""

from typing import Any

import pytest

from progress.commands import (
    DeleteJob,
    Due,
    Lifetimes,
    PutBackDeliveries,
    ReadDeliveries,
    Redeliver,
    SettleDelivery,
    TakeDeliveries,
    Tried,
)
from tests.support.backend import ERROR, Backend

URL = "https://example.com/jobs"
TOLD = Tried(204, None, 12)
REFUSED = Tried(500, None, 3)
LEASE_MS = 60_000


def take(backend: Backend, lease_ms: int = LEASE_MS, limit: int = 10) -> list[Due]:
    return backend.run(TakeDeliveries(lease_ms, limit))


def taken(backend: Backend, **options: Any) -> list[str]:
    return [due.job_id for due in take(backend, **options)]


def test_every_way_in_which_a_job_ends_makes_a_delivery_due(backend: Backend) -> None:
    succeeded = backend.ended(webhook=URL)
    failed = backend.ended("failed", ERROR, webhook=URL)
    cancelled = backend.create(webhook=URL)
    backend.cancel(cancelled)
    lost = backend.started(lease_ms=0, max_attempts=1, webhook=URL)
    backend.swept()
    backend.ended()
    backend.started(webhook=URL)
    assert sorted(taken(backend)) == sorted([succeeded, failed, cancelled, lost])


def test_only_the_ends_that_were_asked_for_are_told(backend: Backend) -> None:
    backend.ended(webhook=URL, webhook_events="failed,cancelled")
    failed = backend.ended("failed", ERROR, webhook=URL, webhook_events="failed,cancelled")
    assert taken(backend) == [failed]
    assert backend.read(failed).webhook_events == "failed,cancelled"


def test_what_one_has_taken_nobody_else_gets_before_its_lease_is_over(backend: Backend) -> None:
    job_id = backend.ended(webhook=URL)
    assert taken(backend) == [job_id]
    assert taken(backend) == []


def test_whoever_dies_with_a_delivery_leaves_it_to_the_next(backend: Backend) -> None:
    job_id = backend.ended(webhook=URL)
    assert taken(backend, lease_ms=0) == [job_id]
    assert taken(backend) == [job_id]


def test_a_try_is_noted_and_the_next_one_waits_for_its_time(backend: Backend) -> None:
    job_id = backend.ended(webhook=URL)
    (due,) = take(backend)
    assert (due.tries, due.age_ms < 60_000) == (0, True)
    backend.run(SettleDelivery(job_id, due.claim, REFUSED, 600_000))
    log = backend.run(ReadDeliveries(job_id))
    assert [(one["status"], one["error"], one["duration_ms"]) for one in log.tries] == [(500, None, 3)]
    assert log.tries[0]["at"] < log.tries[0]["next_at"]
    assert log.next_at is not None
    assert taken(backend) == []


def test_a_try_that_may_be_made_at_once_is(backend: Backend) -> None:
    job_id = backend.ended(webhook=URL)
    (due,) = take(backend)
    backend.run(SettleDelivery(job_id, due.claim, REFUSED, 0))
    (due,) = take(backend)
    assert due.tries == 1
    backend.run(SettleDelivery(job_id, due.claim, TOLD))
    log = backend.run(ReadDeliveries(job_id))
    assert (log.next_at, [one["next_at"] is None for one in log.tries]) == (None, [False, True])
    assert taken(backend) == []


def test_who_was_too_slow_leaves_the_next_try_to_the_one_who_has_it(backend: Backend) -> None:
    job_id = backend.ended(webhook=URL)
    (slow,) = take(backend, lease_ms=0)
    (now,) = take(backend, lease_ms=LEASE_MS)
    backend.run(SettleDelivery(job_id, slow.claim, REFUSED, 0))
    assert taken(backend) == []
    log = backend.run(ReadDeliveries(job_id))
    assert (log.next_at, log.tries[0]["next_at"]) == (now.claim, None)


def test_what_is_put_back_is_due_later_and_was_not_tried(backend: Backend) -> None:
    soon, later = backend.ended(webhook=URL), backend.ended(webhook=URL)
    times = {soon: 0, later: 600_000}
    backend.run(PutBackDeliveries(tuple((due, times[due.job_id]) for due in take(backend))))
    (due,) = take(backend)
    assert (due.job_id, due.tries) == (soon, 0)
    assert backend.run(ReadDeliveries(soon)).tries == []


def test_no_more_are_taken_than_there_is_room_for(backend: Backend) -> None:
    ids = {backend.ended(webhook=URL) for _ in range(3)}
    assert {*taken(backend, limit=2), *taken(backend, limit=2)} == ids


def test_a_delivery_can_be_asked_for_once_more(backend: Backend) -> None:
    job_id = backend.ended(webhook=URL)
    (due,) = take(backend)
    backend.run(SettleDelivery(job_id, due.claim, TOLD))
    assert backend.run(Redeliver(job_id))
    (due,) = take(backend)
    assert (due.job_id, due.tries) == (job_id, 0)
    assert not backend.run(Redeliver("none"))


def test_of_a_job_that_is_deleted_nobody_is_told(backend: Backend) -> None:
    ended, waiting = backend.ended(webhook=URL), backend.create(webhook=URL)
    (due,) = take(backend, lease_ms=0)
    backend.run(SettleDelivery(ended, due.claim, REFUSED, 0))
    for job_id in (ended, waiting):
        backend.run(DeleteJob(job_id))
    assert taken(backend) == []
    backend.run(SettleDelivery(ended, due.claim, REFUSED, 0))
    assert backend.run(ReadDeliveries(ended)).tries == []


@pytest.mark.slow
def test_a_delivery_ends_with_the_record(backend: Backend) -> None:
    backend.ended(webhook=URL, lifetimes=Lifetimes(1, 1, 10))
    backend.pass_time(1_001)
    assert taken(backend) == []


def test_an_end_that_a_crash_has_lost_is_due_again_once_it_is_written_again(backend: Backend) -> None:
    job_id = backend.started(webhook=URL)
    crash = backend.save()
    finished = backend.finish(job_id, 1, "succeeded", "1")
    assert taken(backend) == [job_id]
    crash()
    assert taken(backend) == []
    backend.finish(job_id, 1, "succeeded", "1", at=finished.at, told=finished)
    assert taken(backend) == [job_id]
