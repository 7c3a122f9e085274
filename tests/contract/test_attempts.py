"""Attempts: who may write, what is written once, and how it ends."""

from dataclasses import replace

import pytest

from progress.commands import Append, BeginAttempt, CancelJob, FinishAttempt, Heartbeat, Lifetimes, Outcome
from progress.events import Draft
from tests.support.backend import ERROR, LEASE_MS, Backend, checkpoint, token

DEAD = 0
"""A lease, in ms, that is over at once."""
BRIEF = 200
"""One that a test waits for. The mark ``brief`` is for machines that stand still for so long."""


def test_a_claim_starts_the_first_attempt(backend: Backend) -> None:
    job_id = backend.create(input={"prompt": "p"})
    begun = backend.begin(job_id, worker='host/1 "é"')
    assert begun.answer == "ok"
    assert begun.job is not None
    assert (begun.job.status, begun.job.attempt, begun.job.input) == ("running", 1, {"prompt": "p"})
    assert begun.job.started_at is not None
    assert begun.job.queue_position is None
    event = backend.last(job_id)
    assert (event["type"], event["attempt"], event["worker"], event["rollback_to"]) == ("started", 1, 'host/1 "é"', 0)


def test_a_job_that_is_held_cannot_be_claimed(backend: Backend) -> None:
    assert backend.begin(backend.started()).answer == "held"


def test_a_claim_sent_again_after_a_lost_reply_is_granted_once(backend: Backend) -> None:
    job_id = backend.create()
    claim = BeginAttempt(job_id, "w", LEASE_MS)
    first, again = backend.run(claim), backend.run(claim)
    assert first == again
    assert backend.read(job_id).attempt == 1


@pytest.mark.parametrize("job", ["gone", "ended"])
def test_a_message_for_a_job_that_is_over_is_nothing_to_run(backend: Backend, job: str) -> None:
    assert backend.begin("nope" if job == "gone" else backend.ended()).answer == job


def test_a_dead_lease_gives_the_job_to_the_next_attempt(backend: Backend) -> None:
    job_id = backend.started(lease_ms=DEAD)
    begun = backend.begin(job_id)
    assert (begun.answer, begun.job and begun.job.attempt) == ("ok", 2)
    assert backend.shown(job_id) == [(1, "queued", 0), (2, "started", 1), (3, "retrying", 1), (4, "started", 2)]
    assert backend.log(job_id).events[2].data["error"]["code"] == "worker_lost"


def test_a_job_whose_worker_was_lost_says_so_while_it_waits(backend: Backend) -> None:
    job_id = backend.started()
    backend.finish(job_id, 1, "retrying", ERROR)
    backend.begin(job_id, lease_ms=DEAD)
    assert backend.swept() == [job_id]
    job = backend.read(job_id)
    assert (job.status, job.error) == ("retrying", backend.last(job_id)["error"])
    assert backend.last(job_id)["error"]["code"] == "worker_lost"


def test_a_job_that_kills_its_workers_fails_in_the_end(backend: Backend) -> None:
    job_id = backend.started(lease_ms=DEAD, max_attempts=1)
    assert backend.begin(job_id).answer == "ended"
    job = backend.read(job_id)
    assert (job.status, job.error and job.error["code"]) == ("failed", "worker_lost")
    assert backend.last(job_id)["error"]["code"] == "worker_lost"


@pytest.mark.brief
def test_a_lost_attempt_of_a_job_that_was_cancelled_ends_it(backend: Backend) -> None:
    job_id = backend.started(lease_ms=BRIEF)
    assert backend.cancel(job_id, "disconnected") == "requested"
    backend.pass_time(BRIEF)
    assert backend.begin(job_id).answer == "ended"
    assert backend.last(job_id)["reason"] == "disconnected"


@pytest.mark.brief
def test_a_cancelled_job_keeps_no_error_of_an_attempt_before(backend: Backend) -> None:
    job_id = backend.started()
    backend.finish(job_id, 1, "retrying", ERROR)
    backend.begin(job_id, lease_ms=BRIEF)
    assert backend.cancel(job_id) == "requested"
    backend.pass_time(BRIEF)
    assert backend.swept() == []
    assert (backend.read(job_id).status, backend.read(job_id).error) == ("cancelled", None)


def test_events_stand_in_the_order_of_the_append(backend: Backend) -> None:
    job_id = backend.started()
    appended = backend.append(job_id, 1, token("a"), Draft.of("log", level="info", message="m"), token("b"))
    assert (appended.answer, appended.last_seq) == ("ok", 5)
    assert backend.shown(job_id, 2) == [(3, "token", 1), (4, "log", 1), (5, "token", 1)]
    assert [event.data.get("text") for event in backend.log(job_id, 2).events] == ["a", None, "b"]


def test_an_append_sent_again_is_written_once(backend: Backend) -> None:
    job_id = backend.started()
    first = backend.append(job_id, 1, token())
    assert backend.append(job_id, 1, token()) == first
    assert backend.read(job_id).last_seq == 3


def test_an_append_sent_again_is_no_error_although_the_job_has_ended_since(backend: Backend) -> None:
    job_id = backend.started()
    backend.append(job_id, 1, token())
    backend.finish(job_id, 2, "succeeded", "1")
    assert backend.append(job_id, 1, token()).answer == "ok"
    assert backend.shown(job_id, 2) == [(3, "token", 1), (4, "succeeded", 1)]


def test_a_stale_attempt_cannot_write(backend: Backend) -> None:
    job_id = backend.started(lease_ms=DEAD)
    backend.begin(job_id)
    assert backend.append(job_id, 1, token(), attempt=1).answer == "stale"
    assert backend.finish(job_id, 2, "succeeded", "1").answer == "stale"
    assert backend.append(job_id, 1, token(), attempt=2).answer == "ok"


def test_a_lost_attempt_cannot_write_before_another_begins(backend: Backend) -> None:
    job_id = backend.started(lease_ms=DEAD)
    assert backend.swept() == [job_id]
    assert backend.append(job_id, 1, token()).answer == "stale"


def test_an_attempt_that_was_only_slow_writes_on(backend: Backend) -> None:
    job_id = backend.started(lease_ms=DEAD)
    assert backend.append(job_id, 1, token()).answer == "ok"
    assert backend.begin(job_id).answer == "held"


def test_a_closed_log_takes_nothing(backend: Backend) -> None:
    job_id = backend.started()
    backend.finish(job_id, 1, "succeeded", "1")
    assert backend.append(job_id, 2, token()).answer == "closed"
    assert backend.finish(job_id, 2, "failed", ERROR).answer == "closed"
    assert backend.append("nope", 1, token()).answer == "gone"
    assert backend.finish("nope", 1, "failed", ERROR).answer == "gone"


def test_a_cancel_rides_home_on_the_next_append(backend: Backend) -> None:
    job_id = backend.started()
    backend.cancel(job_id)
    appended = backend.append(job_id, 1, token("kept"))
    assert (appended.answer, appended.last_seq) == ("cancel", 3)
    assert backend.append(job_id, 1, token("kept")).answer == "cancel"
    assert backend.last(job_id)["text"] == "kept"


def test_progress_is_kept_in_the_record(backend: Backend) -> None:
    job_id = backend.started()
    backend.append(job_id, 1, Draft.of("progress", fraction=0.5), progress='{"fraction":0.5}')
    backend.append(job_id, 2, token())
    assert backend.read(job_id).progress == {"fraction": 0.5}


def test_a_log_keeps_its_newest_events(backend: Backend) -> None:
    job_id = backend.started(lifetimes=Lifetimes(60, 60, max_events=10))
    backend.append(job_id, 1, *(token(str(n)) for n in range(30)))
    page = backend.log(job_id)
    assert [event.seq for event in page.events] == list(range(23, 33))
    assert page.last_seq == 32


def test_a_checkpoint_keeps_state_and_text_for_the_next_attempt(backend: Backend) -> None:
    job_id = backend.started()
    backend.append(job_id, 1, token("kept"), checkpoint({"at": 1}), token("void"))
    backend.finish(job_id, 2, "retrying", ERROR)
    begun = backend.begin(job_id)
    assert begun.job is not None
    assert (begun.job.checkpoint, begun.job.checkpoint_seq) == ({"at": 1}, 3)
    assert begun.job.void_ranges() == [(3, 6)]
    assert backend.last(job_id)["rollback_to"] == 3


def test_a_checkpoint_is_no_event(backend: Backend) -> None:
    job_id = backend.started()
    assert backend.append(job_id, 1, checkpoint(None)).last_seq == 2
    assert backend.append(job_id, 2).last_seq == 2
    assert len(backend.log(job_id).events) == 2


def test_each_attempt_voids_what_the_one_before_did_not_keep(backend: Backend) -> None:
    job_id = backend.started()
    backend.finish(job_id, 1, "retrying", ERROR)
    backend.begin(job_id)
    backend.append(job_id, 1, token(), checkpoint(1), attempt=2)
    backend.finish(job_id, 2, "retrying", ERROR, attempt=2)
    begun = backend.begin(job_id)
    assert begun.job is not None
    assert begun.job.void_ranges() == [(0, 4), (5, 7)]


def test_a_success_is_final(backend: Backend) -> None:
    job_id = backend.started()
    assert backend.finish(job_id, 1, "succeeded", '{"text":"t"}').answer == "succeeded"
    job = backend.read(job_id)
    assert (job.status, job.result, job.error, job.ended) == ("succeeded", {"text": "t"}, None, True)
    assert job.finished_at is not None
    assert backend.last(job_id)["result"] == {"text": "t"}
    assert backend.log(job_id).ended


def test_a_failure_is_final(backend: Backend) -> None:
    job_id = backend.ended("failed", ERROR)
    job = backend.read(job_id)
    assert (job.status, job.error and job.error["code"]) == ("failed", "e")
    assert backend.last(job_id)["error"]["message"] == "m"


def test_a_task_may_end_itself_as_cancelled(backend: Backend) -> None:
    job_id = backend.ended("cancelled", '{"partial":1}')
    job = backend.read(job_id)
    assert (job.status, job.result, job.error) == ("cancelled", {"partial": 1}, None)
    assert backend.last(job_id)["reason"] == "requested"


@pytest.mark.parametrize("delay_ms", [0, 500, 1500, 123])
def test_a_retry_waits_until_it_is_due(backend: Backend, delay_ms: int) -> None:
    job_id = backend.started()
    assert backend.finish(job_id, 1, "retrying", ERROR, delay_ms=delay_ms).answer == "retrying"
    job = backend.read(job_id)
    assert (job.status, job.error and job.error["code"], job.queue_position) == ("retrying", "e", None)
    assert backend.last(job_id)["delay_s"] == delay_ms / 1000
    assert backend.begin(job_id).answer == ("early" if delay_ms else "ok")


def test_a_success_after_a_retry_forgets_the_error(backend: Backend) -> None:
    job_id = backend.started()
    backend.finish(job_id, 1, "retrying", ERROR)
    backend.begin(job_id)
    backend.finish(job_id, 1, "succeeded", "1", attempt=2)
    assert (backend.read(job_id).status, backend.read(job_id).error) == ("succeeded", None)


def test_a_last_attempt_that_asks_for_another_has_failed(backend: Backend) -> None:
    job_id = backend.started(max_attempts=1)
    assert backend.finish(job_id, 1, "retrying", ERROR).answer == "failed"
    assert backend.last(job_id)["type"] == "failed"


@pytest.mark.parametrize(
    ("outcome", "value", "result"),
    [("succeeded", "1", 1), ("failed", ERROR, None), ("retrying", ERROR, None), ("cancelled", "", None)],
)
def test_a_cancel_wins_over_any_outcome(backend: Backend, outcome: Outcome, value: str, result: int | None) -> None:
    job_id = backend.started()
    backend.cancel(job_id, "no longer needed")
    assert backend.run(FinishAttempt(backend.claim(job_id), 1, outcome, value)).answer == "cancelled"
    job = backend.read(job_id)
    assert (job.status, job.result, job.error) == ("cancelled", result, None)
    assert backend.last(job_id)["reason"] == "no longer needed"


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled", "retrying"])
def test_an_end_sent_again_is_answered_as_before(backend: Backend, outcome: Outcome) -> None:
    job_id = backend.started()
    command = FinishAttempt(backend.claim(job_id), 1, outcome, ERROR)
    first = backend.run(command)
    assert backend.run(command) == first
    assert backend.read(job_id).last_seq == first.last_seq == 3


def test_an_end_under_the_number_of_an_append_is_refused(backend: Backend) -> None:
    job_id = backend.started()
    backend.finish(job_id, 1, "retrying", ERROR)
    backend.begin(job_id)
    backend.append(job_id, 1, token(), attempt=2)
    assert backend.finish(job_id, 1, "succeeded", "1", attempt=2).answer == "stale"


def test_an_attempt_that_was_handed_back_does_not_count(backend: Backend) -> None:
    job_id = backend.started(max_attempts=1)
    for attempt in (1, 2, 3):
        assert backend.finish(job_id, 1, "released", ERROR, attempt=attempt).answer == "retrying"
        assert backend.swept() == [job_id]
        begun = backend.begin(job_id, lease_ms=DEAD)
        assert (begun.answer, begun.job and begun.job.attempt) == ("ok", attempt + 1)
    assert backend.begin(job_id).answer == "ended"
    assert backend.read(job_id).status == "failed"


def test_a_cancelled_job_is_not_handed_back(backend: Backend) -> None:
    job_id = backend.started()
    backend.cancel(job_id)
    assert backend.finish(job_id, 1, "released", ERROR).answer == "cancelled"


@pytest.mark.brief
def test_heartbeats_renew_leases_and_bring_home_what_has_happened(backend: Backend) -> None:
    alive, cancelled, lost = (backend.started(lease_ms=BRIEF) for _ in range(3))
    ended, queued = backend.ended(), backend.create()
    backend.cancel(cancelled)
    claims = [backend.claim(job_id) for job_id in (alive, cancelled, ended, queued, "nope")]
    foreign = replace(backend.claim(lost), token="another")
    answers = backend.run(Heartbeat(LEASE_MS, tuple((claim, 0) for claim in (*claims, foreign))))
    assert answers == ["ok", "cancel", "closed", "behind", "gone", "stale"]
    backend.pass_time(BRIEF)
    assert backend.begin(alive).answer == "held"
    assert backend.begin(lost).answer == "ok"


def test_nobody_to_renew_is_no_answer(backend: Backend) -> None:
    assert backend.run(Heartbeat(LEASE_MS, ())) == []


def test_commands_sent_together_are_answered_in_order(backend: Backend) -> None:
    ids = [backend.started() for _ in range(3)]
    answers = backend.executor.run_many([Append(backend.claim(job_id), 1, LEASE_MS, (token(),)) for job_id in ids])
    assert [answer.last_seq for answer in answers] == [3, 3, 3]
    assert [cancelled.answer for cancelled in backend.executor.run_many([CancelJob(ids[0])])] == ["requested"]


def test_appends_sent_together_are_each_answered_for_themselves(backend: Backend) -> None:
    alive, other, cancelled = (backend.started() for _ in range(3))
    backend.cancel(cancelled)
    one, two = (Append(backend.claim(alive), number, LEASE_MS, (token(str(number)),)) for number in (1, 2))
    asked = [
        one,
        Append(backend.claim(other), 2, LEASE_MS, (token(),)),
        Append(backend.claim(cancelled), 1, LEASE_MS, (token("a"), token("b")), '{"fraction":1}'),
        two,
        Append(backend.claim("nope"), 1, LEASE_MS, (token(),)),
        one,
    ]
    answers = backend.executor.run_many(asked)
    assert [(answer.answer, answer.last_seq) for answer in answers] == [
        *(("ok", 3), ("behind", 0), ("cancel", 4), ("ok", 4), ("gone", 0), ("ok", 4)),
    ]
    assert [event.data["text"] for event in backend.log(alive).events[2:]] == ["1", "2"]
    assert backend.read(cancelled).progress == {"fraction": 1}
