"""A crash of Redis that loses the last writes: they are made again as they were, and no ``seq`` has two contents."""

from dataclasses import dataclass
from typing import Any

import pytest

from progress import keys
from progress.commands import (
    Answer,
    Append,
    Appended,
    BeginAttempt,
    Begun,
    Bury,
    CancelJob,
    Claim,
    Command,
    CreateJob,
    DeleteJob,
    FinishAttempt,
    Heartbeat,
    ListJobs,
    LongWaiting,
    Outcome,
    ReadJob,
    ReadLog,
)
from progress.errors import StoreUnavailable
from progress.events import Draft
from progress.jobs import NewJob
from tests.support.backend import ERROR, LEASE_MS, LIFETIMES, Backend, checkpoint, on_memory, token

DEAD = 0
"""A lease, in ms, that is over at once."""


class Writer:
    """Runs commands and keeps those that make them again, with what was on disk before each and after the last."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._again: list[Command[Any]] = []
        self.crashes = [backend.save()]

    def run(self, command: Any) -> Any:
        """Runs one."""
        answer = self._backend.run(command)
        again = answer.again if isinstance(answer, Begun) else command.again(answer)
        assert again
        self._again.append(again)
        self.crashes.append(self._backend.save())
        return answer

    def write_again(self) -> None:
        """What a crash may have lost."""
        for command in self._again:
            self._backend.run(command)


def whole(backend: Backend, job_id: str) -> tuple[Any, list[bytes]]:
    """A job and its log."""
    job = backend.read(job_id)
    assert job.queue_position is None
    return job, [event.raw for event in backend.log(job_id).events]


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled", "retrying", "released"])
@pytest.mark.parametrize("lost", range(7))
def test_what_was_lost_is_made_again_as_it_was(backend: Backend, outcome: Outcome, lost: int) -> None:
    writer, new = Writer(backend), NewJob("generate", {"prompt": "p"}, "llm")
    writer.run(CreateJob(new, LIFETIMES))
    claim = writer.run(BeginAttempt(new.id, "w", LEASE_MS)).claim
    for number in (1, 2, 3):
        drafts = (token(f"{number}"), checkpoint(number), token("t"))
        writer.run(Append(claim, number, LEASE_MS, drafts, '{"fraction":0.5}'))
    writer.run(FinishAttempt(claim, 4, outcome, ERROR, 60_000))
    before = whole(backend, new.id)
    backend.pass_time(5)
    writer.crashes[-1 - lost]()
    for _ in range(2):
        writer.write_again()
        assert whole(backend, new.id) == before
    assert backend.read(new.id).handed_back == (outcome == "released")


@pytest.mark.parametrize("lost", range(1, 4))
def test_an_attempt_that_took_over_from_a_lost_one_comes_back_with_it(backend: Backend, lost: int) -> None:
    job_id = backend.started(lease_ms=DEAD)
    writer = Writer(backend)
    claim = writer.run(BeginAttempt(job_id, "w2", LEASE_MS)).claim
    writer.run(Append(claim, 1, LEASE_MS, (token(),)))
    writer.run(FinishAttempt(claim, 2, "succeeded", "1"))
    before = whole(backend, job_id)
    backend.pass_time(5)
    writer.crashes[-1 - lost]()
    writer.write_again()
    assert whole(backend, job_id) == before
    assert [kind for _, kind, _ in backend.shown(job_id)][2:4] == ["retrying", "started"]


def test_a_cancel_waits_for_the_holder_who_is_to_end_the_job(backend: Backend) -> None:
    job_id = backend.create()
    writer = Writer(backend)
    claim = writer.run(BeginAttempt(job_id, "w", LEASE_MS)).claim
    writer.run(Append(claim, 1, LEASE_MS, (token(),)))
    before = backend.log(job_id)
    asked = backend.run(CancelJob(job_id, "enough"))
    writer.crashes[0]()
    again = CancelJob(job_id, "enough").again(asked)
    assert backend.run(again).answer == "unsettled"
    assert backend.read(job_id).status == "queued"
    writer.write_again()
    assert backend.run(again).answer == "again"
    assert backend.log(job_id) == before
    assert backend.run(Heartbeat(LEASE_MS, ((claim, 1),))) == ["cancel"]


@pytest.mark.parametrize("cancelled", ["queued", "running"])
def test_a_cancel_that_was_lost_is_made_again(backend: Backend, cancelled: str) -> None:
    job_id = backend.create() if cancelled == "queued" else backend.started()
    writer = Writer(backend)
    writer.run(CancelJob(job_id, "enough"))
    before = whole(backend, job_id)
    backend.pass_time(5)
    writer.crashes[0]()
    writer.write_again()
    assert whole(backend, job_id) == before
    assert before[0].cancel_requested


def test_an_end_that_readers_saw_stays_whatever_was_asked_for_since(backend: Backend) -> None:
    job_id = backend.started()
    writer = Writer(backend)
    writer.run(FinishAttempt(backend.claim(job_id), 1, "succeeded", "1"))
    seen = backend.last(job_id)
    writer.crashes[0]()
    assert backend.cancel(job_id) == "requested"
    writer.write_again()
    assert backend.last(job_id) == seen


def test_a_cancelled_end_keeps_its_reason(backend: Backend) -> None:
    job_id = backend.started()
    crash = backend.save()
    backend.cancel(job_id, "enough")
    writer = Writer(backend)
    writer.run(FinishAttempt(backend.claim(job_id), 1, "failed", ERROR))
    before = whole(backend, job_id)[1]
    backend.pass_time(5)
    crash()
    writer.write_again()
    assert whole(backend, job_id)[1] == before
    assert (backend.last(job_id)["reason"], backend.read(job_id).result) == ("enough", None)


def test_a_job_that_may_come_back_is_not_said_to_be_gone(backend: Backend) -> None:
    backend.create()
    crash = backend.save()
    writer, new = Writer(backend), NewJob("generate", {}, "llm")
    writer.run(CreateJob(new, LIFETIMES))
    crash()
    asked: tuple[Command[Any], ...] = (ReadJob(new.id), ReadLog(new.id, 0), CancelJob(new.id), DeleteJob(new.id))
    for command in asked:
        with pytest.raises(StoreUnavailable, match="crashed just now"):
            backend.run(command)
    assert backend.begin(new.id).answer == "unsettled"
    writer.write_again()
    assert backend.read(new.id).status == "queued"
    backend.settle()
    assert backend.begin(new.id).answer == "ok"


def test_a_job_that_did_not_come_back_is_gone(backend: Backend) -> None:
    backend.create()
    crash = backend.save()
    job_id = backend.create()
    crash()
    with pytest.raises(StoreUnavailable):
        backend.run(ReadJob(job_id))
    backend.settle()
    assert backend.run(ReadJob(job_id)) is None
    assert backend.log(job_id).last_seq is None
    assert (backend.cancel(job_id), backend.run(DeleteJob(job_id)), backend.begin(job_id).answer) == ("gone",) * 3


def test_a_writer_hears_that_the_record_is_behind(backend: Backend) -> None:
    job_id = backend.create()
    crashes = [backend.save()]
    backend.begin(job_id)
    crashes.append(backend.save())
    backend.append(job_id, 1, token())
    for crash in reversed(crashes):
        crash()
        assert backend.run(Heartbeat(LEASE_MS, ((backend.claim(job_id), 1),))) == ["behind"]
        assert backend.append(job_id, 2, token()).answer == "behind"
        assert backend.finish(job_id, 2, "succeeded", "1").answer == "behind"
    assert backend.read(job_id).last_seq == 1


def test_another_claim_to_an_attempt_of_the_same_number_may_not_write(backend: Backend) -> None:
    job_id = backend.create()
    crash = backend.save()
    backend.begin(job_id)
    first = backend.claim(job_id)
    crash()
    backend.settle()
    backend.begin(job_id)
    assert backend.claim(job_id).attempt == first.attempt
    assert backend.run(Append(first, 1, LEASE_MS, (token(),))).answer == "stale"
    assert backend.run(Heartbeat(LEASE_MS, ((first, 0),))) == ["stale"]


def test_nobody_else_takes_a_job_before_its_holder_could_speak(backend: Backend) -> None:
    job_id = backend.create()
    crash = backend.save()
    writer = Writer(backend)
    writer.run(BeginAttempt(job_id, "w", LEASE_MS))
    crash()
    assert backend.begin(job_id, worker="w2").answer == "unsettled"
    assert backend.begin(backend.create()).answer == "ok", "a job that is new since has no other holder"
    writer.write_again()
    assert backend.begin(job_id, worker="w2").answer == "held"


def test_nobody_else_takes_a_job_that_was_made_again_with_its_holder_to_follow(backend: Backend) -> None:
    writer, new = Writer(backend), NewJob("generate", {}, "llm")
    backend.run(Heartbeat(LEASE_MS, ()))
    crash = backend.save()
    made = writer.run(CreateJob(new, LIFETIMES))
    claim = writer.run(BeginAttempt(new.id, "w", LEASE_MS)).claim
    before = whole(backend, new.id)[1]
    crash()
    backend.run(CreateJob(new, LIFETIMES).again(made))
    assert backend.begin(new.id, worker="w2").answer == "unsettled"
    writer.write_again()
    assert whole(backend, new.id)[1] == before
    assert backend.run(Append(claim, 1, LEASE_MS, (token(),))).answer == "ok"


def test_no_attempt_is_lost_before_its_holder_could_renew_it(backend: Backend) -> None:
    job_id = backend.started(lease_ms=DEAD)
    crash = backend.save()
    crash()
    assert backend.swept() == []
    assert backend.run(Bury("m", ("1.1",))) == []
    backend.settle()
    assert backend.swept() == [job_id]


@pytest.mark.parametrize("loss", ["begun", "lost", "cancelled"])
def test_numbers_that_readers_may_have_seen_are_passed_over(backend: Backend, loss: str) -> None:
    job_id = backend.create() if loss == "begun" else backend.started(lease_ms=DEAD)
    last = backend.read(job_id).last_seq
    backend.save()()
    backend.settle()
    if loss == "begun":
        assert backend.begin(job_id).answer == "ok"
    elif loss == "lost":
        assert backend.swept() == [job_id]
    else:
        assert backend.cancel(job_id) == "cancelled"
    event = backend.log(job_id, last).events[0]
    assert (event.seq > last + keys.ROOM, event.follows) == (True, last)
    backend.begin(job_id)
    rest = backend.log(job_id, last).events
    assert [one.seq for one in rest] == list(range(event.seq, event.seq + len(rest))), "once is enough"


def test_an_attempt_that_renews_itself_has_lost_nothing(backend: Backend) -> None:
    job_id = backend.started()
    backend.save()()
    assert backend.run(Heartbeat(DEAD, ((backend.claim(job_id), 0),))) == ["ok"]
    backend.settle()
    assert backend.swept() == [job_id]
    assert backend.last(job_id)["seq"] == 3


@pytest.mark.parametrize("first", ["running", "queued"])
def test_room_that_was_left_is_left_again(backend: Backend, first: str) -> None:
    job_id = backend.started(lease_ms=DEAD) if first == "running" else backend.create()
    backend.save()()
    backend.settle()
    writer = Writer(backend)
    writer.run(BeginAttempt(job_id, "w", LEASE_MS))
    before = whole(backend, job_id)[1]
    backend.pass_time(5)
    writer.crashes[0]()
    writer.write_again()
    assert whole(backend, job_id)[1] == before


def test_a_claim_is_not_made_again_where_others_have_gone_on(backend: Backend) -> None:
    job_id = backend.create()
    crash = backend.save()
    begun = backend.begin(job_id)
    crash()
    backend.settle()
    backend.begin(job_id)
    assert begun.again
    assert backend.run(begun.again).answer == "stale"
    backend.finish(job_id, 1, "succeeded", "1")
    assert backend.run(begun.again).answer == "ended"


def test_a_submission_is_made_again_under_its_key(backend: Backend) -> None:
    writer, new = Writer(backend), NewJob("generate", {}, "llm", delay_s=60)
    writer.run(CreateJob(new, LIFETIMES, "key", "f"))
    before = whole(backend, new.id)
    backend.pass_time(5)
    writer.crashes[0]()
    writer.write_again()
    assert whole(backend, new.id) == before
    again = backend.run(CreateJob(NewJob("generate", {}, "llm"), LIFETIMES, "key", "f"))
    assert (again.outcome, again.job_id, again.job.created_at) == ("existing", new.id, before[0].created_at)


def test_no_room_is_left_twice_up_to_the_same_number(backend: Backend) -> None:
    job_id = backend.create()
    crash = backend.save()
    seen = set()
    for _ in range(3):
        crash()
        backend.settle()
        backend.pass_time(5)
        backend.begin(job_id)
        seen.add(backend.read(job_id).last_seq)
    assert len(seen) == 3


def test_an_event_that_was_lost_with_its_answer_gets_the_same_time(backend: Backend) -> None:
    job_id = backend.started()
    commands: list[Command[Any]] = [
        Append(backend.claim(job_id), 1, LEASE_MS, (token(),), at=1_700_000_000_000),
        FinishAttempt(backend.claim(job_id), 2, "succeeded", "1", at=1_700_000_000_005),
    ]
    for command in commands:
        crash = backend.save()
        backend.run(command)
        seen = backend.log(job_id).events
        backend.pass_time(5)
        crash()
        backend.run(command)
        assert backend.log(job_id).events == seen
    assert backend.last(job_id)["at"] == "2023-11-14T22:13:20.005Z"


@pytest.mark.parametrize("outcome", ["succeeded", "retrying"])
def test_a_cancel_wins_over_an_end_that_comes_with_its_time(backend: Backend, outcome: Outcome) -> None:
    job_id = backend.started()
    backend.cancel(job_id)
    command = FinishAttempt(backend.claim(job_id), 1, outcome, ERROR, at=1_700_000_000_000)
    assert backend.run(command).answer == "cancelled"


def test_right_after_a_crash_nothing_is_cancelled_that_may_have_ended(backend: Backend) -> None:
    job_id = backend.create()
    crash = backend.save()
    writer = Writer(backend)
    claim = writer.run(BeginAttempt(job_id, "w", LEASE_MS)).claim
    writer.run(FinishAttempt(claim, 1, "succeeded", "1"))
    crash()
    with pytest.raises(StoreUnavailable):
        backend.cancel(job_id)
    writer.write_again()
    assert backend.cancel(job_id) == "ended"


@dataclass
class Frozen:
    """A holder that was frozen until another attempt had taken its job, and Redis has lost that one's writes."""

    backend: Backend
    job_id: str
    other: Writer
    claim: Claim
    """That of the other one."""
    seen: list[bytes]
    """The log before the crash."""

    def append(self, number: int, *drafts: Draft, **more: Any) -> Appended:
        """The frozen one writes."""
        return self.backend.append(self.job_id, number, *drafts, **more)

    def beat(self) -> list[Answer | None]:
        """It renews its lease."""
        return self.backend.run(Heartbeat(LEASE_MS, ((self.backend.claim(self.job_id), 0),)))


@pytest.fixture
def frozen(backend: Backend) -> Frozen:
    """One that has just woken."""
    job_id = backend.started(lease_ms=DEAD)
    other = Writer(backend)
    claim = other.run(BeginAttempt(job_id, "w2", LEASE_MS)).claim
    other.run(Append(claim, 1, LEASE_MS, (token("other"),)))
    seen = whole(backend, job_id)[1]
    backend.pass_time(5)
    other.crashes[0]()
    return Frozen(backend, job_id, other, claim, seen)


def test_a_holder_that_was_frozen_waits_for_whoever_may_have_its_job(frozen: Frozen) -> None:
    backend = frozen.backend
    assert frozen.beat() == ["ok"]
    assert frozen.append(1, token()).answer == "unsettled"
    assert backend.finish(frozen.job_id, 1, "succeeded", "1").answer == "unsettled"
    frozen.other.write_again()
    assert whole(backend, frozen.job_id)[1] == frozen.seen
    assert (frozen.append(1, token()).answer, frozen.beat()) == ("stale", ["stale"])
    backend.settle()
    goes_on = Append(frozen.claim, 2, LEASE_MS, (token(),))
    assert backend.run(goes_on).last_seq == len(frozen.seen) + 1


@pytest.mark.parametrize("first", ["beat", "append", "checkpoint"])
def test_where_no_other_speaks_it_uses_none_of_the_other_one_s_numbers(frozen: Frozen, first: str) -> None:
    backend, last = frozen.backend, frozen.backend.read(frozen.job_id).last_seq
    if first == "beat":
        frozen.beat()
    backend.settle()
    if first == "checkpoint":
        assert frozen.append(1, checkpoint(1)).last_seq == last
    writer, number = Writer(backend), 2 if first == "checkpoint" else 1
    made = writer.run(
        Append(backend.claim(frozen.job_id), number, LEASE_MS, (checkpoint(2), token("a"), token("b")), at=5)
    )
    rest = backend.log(frozen.job_id, last).events
    assert [(event.seq, event.follows) for event in rest] == [(made.room + 1, last), (made.room + 2, made.room + 1)]
    assert made.room >= last + keys.ROOM
    assert frozen.append(number + 1, token()).last_seq == made.room + 3, "once is enough"
    before = rest
    backend.pass_time(5)
    writer.crashes[0]()
    writer.write_again()
    assert backend.log(frozen.job_id, last).events == before


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled", "retrying"])
def test_its_end_uses_none_of_them_either(frozen: Frozen, outcome: Outcome) -> None:
    backend, last = frozen.backend, frozen.backend.read(frozen.job_id).last_seq
    backend.settle()
    writer, end = Writer(backend), FinishAttempt(backend.claim(frozen.job_id), 1, outcome, ERROR)
    made = writer.run(end)
    before = whole(backend, frozen.job_id)
    (event,) = backend.log(frozen.job_id, last).events
    assert (event.seq, event.follows, event.seq > last + keys.ROOM) == (made.last_seq, last, True)
    assert backend.run(end) == made, "its reply was lost"
    backend.pass_time(5)
    writer.crashes[0]()
    writer.write_again()
    assert whole(backend, frozen.job_id) == before


def test_a_holder_whose_lease_was_not_over_goes_on_however_long_redis_was_away() -> None:
    backend = on_memory()
    backend.pass_time(0)
    job_id = backend.started(lease_ms=10_000)
    crash = backend.save()
    backend.pass_time(60_000)
    crash()
    assert (backend.append(job_id, 1, token()).answer, backend.last(job_id)["seq"]) == ("ok", 3)


def test_a_cancel_ends_a_job_at_once_whose_holder_has_not_come_back(backend: Backend) -> None:
    job_id = backend.create()
    crash = backend.save()
    backend.begin(job_id)
    again = CancelJob(job_id, "enough").again(backend.run(CancelJob(job_id, "enough")))
    crash()
    assert backend.run(again).answer == "unsettled"
    backend.settle()
    assert backend.run(again).answer == "cancelled"
    last = backend.last(job_id)
    assert (last["type"], last["reason"], last["follows"]) == ("cancelled", "enough", 1)


@pytest.mark.parametrize("first", ["cancel", "holder"])
def test_a_cancel_comes_back_after_what_came_before_it(backend: Backend, first: str) -> None:
    job_id = backend.create()
    holder, api = Writer(backend), Writer(backend)
    claim = holder.run(BeginAttempt(job_id, "w", LEASE_MS)).claim
    holder.run(FinishAttempt(claim, 1, "retrying", ERROR, 60_000))
    api.run(CancelJob(job_id, "enough"))
    before = whole(backend, job_id)
    backend.pass_time(5)
    holder.crashes[0]()
    if first == "cancel":
        api.write_again()
        assert backend.read(job_id).status == "queued"
    holder.write_again()
    api.write_again()
    assert whole(backend, job_id) == before


@pytest.mark.parametrize("room", ["room", "no room"])
def test_a_cancel_whose_reply_was_lost_is_made_again(backend: Backend, room: str) -> None:
    job_id = backend.create()
    if room == "room":
        backend.save()()
        backend.settle()
    crash = backend.save()
    backend.cancel(job_id, "enough")
    backend.pass_time(5)
    asked = backend.run(CancelJob(job_id, "enough"))
    assert (asked.answer, asked.before) == ("again", 1)
    before = whole(backend, job_id)
    assert (asked.seq == 2) == (room == "no room")
    crash()
    assert backend.run(CancelJob(job_id, "enough").again(asked)).answer == "cancelled"
    assert whole(backend, job_id) == before


@pytest.mark.parametrize("state", ["queued", "running", "delayed", "ended"])
def test_a_delete_that_was_lost_is_made_again_whatever_the_job_seems_to_do(backend: Backend, state: str) -> None:
    job_id = backend.ended() if state == "ended" else backend.create(delay_s=60 if state == "delayed" else 0)
    if state == "running":
        backend.begin(job_id)
    crash = backend.save()
    backend.cancel(job_id)
    if state == "running":
        backend.finish(job_id, 1, "cancelled", "1")
    assert backend.run(DeleteJob(job_id)) == "deleted"
    crash()
    assert [backend.run(DeleteJob(job_id, again=True)) for _ in range(2)] == ["deleted", "gone"]
    backend.settle()
    assert backend.run(ReadJob(job_id)) is None
    assert backend.run(ListJobs()) == []
    assert (backend.swept(), backend.run(LongWaiting("llm", 0))) == ([], [])
    assert backend.run(Heartbeat(LEASE_MS, ((backend.claim(job_id), 0),))) == ["gone"]


@pytest.mark.parametrize("lost", ["nothing", "all"])
def test_nobody_makes_a_job_again_that_was_deleted(backend: Backend, lost: str) -> None:
    backend.create()
    crash, new = backend.save(), NewJob("generate", {}, "llm")
    again = CreateJob(new, LIFETIMES).again(backend.run(CreateJob(new, LIFETIMES)))
    assert backend.run(DeleteJob(new.id)) == "deleted"
    if lost == "all":
        crash()
        assert backend.run(DeleteJob(new.id, again=True)) == "gone"
    assert backend.run(again).outcome == "deleted"
    backend.settle()
    assert backend.run(ReadJob(new.id)) is None


def test_a_submission_comes_back_whoever_has_used_its_key_since(backend: Backend) -> None:
    backend.create()
    crash, new = backend.save(), NewJob("generate", {}, "llm")
    again = CreateJob(new, LIFETIMES, "key", "f").again(backend.run(CreateJob(new, LIFETIMES, "key", "f")))
    crash()
    later = CreateJob(NewJob("generate", {}, "llm"), LIFETIMES, "key", "f")
    assert [backend.run(command).job_id for command in (later, again, later)] == [later.job.id, new.id, later.job.id]
    assert backend.read(new.id).status == "queued"


def test_a_cancel_between_a_crash_and_the_end_of_an_attempt_ends_the_job() -> None:
    # On a server test_promises.py plays it, with a clock that need not be waited for.
    backend = on_memory()
    backend.pass_time(0)
    job_id = backend.started()
    writer = Writer(backend)
    writer.run(FinishAttempt(backend.claim(job_id), 1, "retrying", ERROR, 60_000))
    before = whole(backend, job_id)[1]
    writer.crashes[0]()
    assert backend.cancel(job_id, "enough") == "requested"
    writer.write_again()
    assert whole(backend, job_id)[1] == before
    assert backend.swept() == []
    backend.settle()
    assert backend.swept() == []
    assert backend.last(job_id)["reason"] == "enough"


def test_an_end_that_may_have_been_written_before_the_crash_leaves_room_for_what_followed(backend: Backend) -> None:
    job_id = backend.started()
    end = FinishAttempt(backend.claim(job_id), 1, "retrying", ERROR, at=backend.read(job_id).created_at)
    crash = backend.save()
    first = backend.run(end)
    backend.swept()
    assert backend.begin(job_id).answer == "ok"
    backend.pass_time(5)
    crash()
    assert backend.run(Heartbeat(LEASE_MS, ((backend.claim(job_id), 0),))) == ["ok"]
    assert backend.run(end) == first, "its reply was lost"
    assert backend.begin(job_id).answer == "unsettled"
    backend.settle()
    backend.begin(job_id)
    assert (backend.last(job_id)["type"], backend.last(job_id)["follows"]) == ("started", first.last_seq)


def test_after_a_claim_that_came_back_with_its_room_the_next_one_leaves_room_again(backend: Backend) -> None:
    job_id = backend.create()
    backend.save()()
    backend.settle()
    writer = Writer(backend)
    claim = writer.run(BeginAttempt(job_id, "w", DEAD)).claim
    backend.run(Append(claim, 1, DEAD, (token("its answer was lost"),)))
    last = backend.read(job_id).last_seq
    writer.crashes[0]()
    writer.write_again()
    backend.settle()
    assert backend.swept() == [job_id]
    assert backend.last(job_id)["seq"] > last + 1
