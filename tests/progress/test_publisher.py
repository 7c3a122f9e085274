"""The Publisher: the first token at once, the last ones never held back, nothing lost and nothing twice."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from progress.commands import Append, Appended, CancelJob, Command, FinishAttempt, Heartbeat
from progress.committer import Committer
from progress.errors import AttemptOver, AttemptStale, AttemptTimeout, JobCancelled, LogClosed, StoreUnavailable
from progress.events import Draft, rfc3339
from progress.keys import ROOM, SETTLE_MS
from progress.publisher import APPEND_EVENTS, HELD_BYTES, Publisher, progress_draft
from progress.testing import Memory
from tests.support.backend import ERROR, LEASE_MS, on_memory
from tests.support.machine import Stalls

AGES_MS: Final = 60_000
"""A time to flush in that no test waits for."""
LONG_S: Final = 30
"""What has not come by then never will, also where this machine has stood still for a while."""


class Bench:
    """A job with an attempt on a Memory, and whoever writes it."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.store = on_memory(self.memory)
        self.committer = Committer(self.memory.executor)
        self.job_id = self.store.started()
        self.written = threading.Condition()
        self.sent: list[Command[Any]] = []
        self.memory.after = self._note

    def _note(self, command: Command[Any]) -> None:
        with self.written:
            self.sent.append(command)
            self.written.notify_all()

    def publisher(self, flush_ms: int = 0) -> Publisher:
        return Publisher(self.committer, self.store.claim(self.job_id), lease_ms=LEASE_MS, flush_ms=flush_ms)

    @property
    def appends(self) -> list[Append]:
        return [command for command in self.sent if isinstance(command, Append)]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.written:
            assert self.written.wait_for(condition, LONG_S)

    def hold(self) -> "Gate":
        """Holds every append back until it is let go."""
        gate = Gate()
        self.memory.before = gate
        return gate

    def events(self) -> list[tuple[str, Any]]:
        after_start = self.store.log(self.job_id, 2).events
        return [(event.type, event.data.get("text", event.data.get("message"))) for event in after_start]

    def text(self, channel: str = "main") -> str:
        found, after = [], 0
        while page := self.store.log(self.job_id, after).events:
            found += [str(event.data["text"]) for event in page if event.type == "token" and event.channel == channel]
            after = page[-1].seq
        return "".join(found)


class Gate:
    """Stands before each append; ``reached`` tells that one has come."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, command: Command[Any]) -> None:
        if isinstance(command, Append):
            self.reached.set()
            assert self.opened.wait(LONG_S)


class Away:
    """A Redis that is away, or whose replies are lost, for a number of writes."""

    def __init__(self, times: int, kinds: type[Command[Any]] | tuple[type[Command[Any]], ...] = Append) -> None:
        self.left = times
        self._kinds = kinds

    def __call__(self, command: Command[Any]) -> None:
        if isinstance(command, self._kinds) and self.left:
            self.left -= 1
            raise StoreUnavailable("away")


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.committer.close()


def test_the_first_token_goes_at_once(bench: Bench) -> None:
    publisher = bench.publisher(AGES_MS)
    publisher.token("first")
    bench.wait_for(lambda: len(bench.appends) == 1)
    assert bench.text() == "first"


@pytest.mark.brief
def test_tokens_that_follow_are_joined_until_the_time_to_flush(bench: Bench) -> None:
    publisher = bench.publisher(50)
    publisher.token("a")
    bench.wait_for(lambda: len(bench.appends) == 1)
    before = time.monotonic()
    for text in "bcdef":
        publisher.token(text)
    bench.wait_for(lambda: len(bench.appends) == 2)
    assert time.monotonic() - before > 0.02
    assert bench.events() == [("token", "a"), ("token", "bcdef")]


class Watch:
    """The time, as told to a Publisher; and a Committer that takes at once whatever is due, and is answered at once."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, flush_ms: int) -> None:
        self.now = 1000.0
        self.appends: list[float] = []
        self._due: float | None = None
        monkeypatch.setattr("progress.publisher.time", SimpleNamespace(monotonic=lambda: self.now))
        self.write_again = bench.committer.write_again
        claim = bench.store.claim(bench.job_id)
        self.publisher = Publisher(cast(Any, self), claim, lease_ms=LEASE_MS, flush_ms=flush_ms)

    def schedule(self, _writer: Publisher, due: float) -> None:
        self._due = due

    def pass_until(self, then: float) -> None:
        while self._due is not None and self._due <= then:
            self.now, self._due = max(self.now, self._due), None
            assert self.publisher.take()
            self.appends.append(self.now)
            self.publisher.done(Appended("ok", at=round(self.now * 1000), last_seq=0))
        self.now = then

    def say(self, at: float) -> None:
        self.pass_until(at)
        self.publisher.token("a")
        self.pass_until(at)


def test_a_stream_at_the_pace_of_flushing_does_not_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though each of its tokens may come a little early or late."""
    watch, jitter = Watch(bench, monkeypatch, 20), random.Random(1)
    said = [1000 + number * 0.02 + jitter.uniform(-0.0025, 0.0025) for number in range(1, 500)]
    for at in said:
        watch.say(at)
    assert watch.appends == said


def test_a_fast_stream_is_an_append_each_time_to_flush(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(bench, monkeypatch, 20)
    for number in range(1000):
        watch.say(1000 + number * 0.001)
    assert len(watch.appends) == 51
    assert min(later - earlier for earlier, later in pairwise(watch.appends)) >= 0.0149


def test_the_last_tokens_are_not_held_back_although_none_follows(bench: Bench) -> None:
    publisher = bench.publisher(20)
    publisher.token("a")
    publisher.token("last")
    bench.wait_for(lambda: bench.text() == "alast")


@pytest.mark.brief
def test_a_token_after_a_silence_goes_at_once(bench: Bench) -> None:
    publisher = bench.publisher(400)
    publisher.token("a")
    bench.wait_for(lambda: len(bench.appends) == 1)
    with bench.written:
        bench.written.wait(0.45)
    before = time.monotonic()
    publisher.token("b")
    bench.wait_for(lambda: len(bench.appends) == 2)
    assert time.monotonic() - before < 0.4


def test_what_comes_while_an_append_is_under_way_goes_with_the_next(bench: Bench) -> None:
    gate = bench.hold()
    publisher = bench.publisher()
    publisher.token("a")
    assert gate.reached.wait(LONG_S)
    for text in ("b", "c"):
        publisher.token(text)
    gate.opened.set()
    publisher.flush(LONG_S)
    assert bench.events() == [("token", "a"), ("token", "bc")]


def test_empty_text_is_nothing(bench: Bench) -> None:
    publisher = bench.publisher()
    publisher.token("")
    publisher.flush(0)
    assert bench.appends == []


def test_everything_stands_in_the_order_in_which_it_was_published(bench: Bench) -> None:
    gate = bench.hold()
    publisher = bench.publisher()
    publisher.token("a")
    assert gate.reached.wait(LONG_S)
    publisher.token("b")
    publisher.event(Draft.of("log", level="info", message="m"))
    publisher.token("c")
    publisher.token("left", "left")
    publisher.token("d")
    publisher.checkpoint('{"n":1}')
    publisher.token("e")
    publisher.event(progress_draft(2.0, message="p"))
    gate.opened.set()
    publisher.flush(LONG_S)
    assert bench.events() == [
        *(("token", "a"), ("token", "b"), ("log", "m"), ("token", "c"), ("token", "left"), ("token", "d")),
        *(("token", "e"), ("progress", "p")),
    ]
    job = bench.store.read(bench.job_id)
    assert (job.checkpoint, job.checkpoint_seq) == ({"n": 1}, 8)
    assert job.progress == {"fraction": 1.0, "message": "p"}


def test_of_progress_that_looks_the_same_only_the_newest_counts(bench: Bench) -> None:
    gate = bench.hold()
    publisher = bench.publisher()
    publisher.token("a")
    assert gate.reached.wait(LONG_S)
    for part in range(100_000):
        publisher.event(progress_draft(part / 100_000, message=f"{part:0100}"))
    gate.opened.set()
    publisher.flush(LONG_S)
    assert bench.events() == [("token", "a"), ("progress", f"{99_999:0100}")]


def test_of_progress_all_that_differs_is_told_however_fast(bench: Bench) -> None:
    gate = bench.hold()
    publisher = bench.publisher()
    publisher.token("a")
    assert gate.reached.wait(LONG_S)
    for step in ("load", "work"):
        for tenth in range(11):
            publisher.event(progress_draft(tenth / 10, step=step, message=f"{step} {tenth}"))
    for count in (1, 2, 3):
        publisher.event(progress_draft(None, step="work", current=count, message=f"count {count}"))
    publisher.event(progress_draft(None, step="store", message="store"))
    gate.opened.set()
    publisher.flush(LONG_S)
    told = [*(f"{step} {tenth}" for step in ("load", "work") for tenth in range(11)), "count 1", "count 2", "count 3"]
    assert [message for _, message in bench.events()] == ["a", *told, "store"]


@pytest.mark.parametrize("text", ["é😀\r\n\u2028\"'\\" * 9_000, "x" * 100_000])
def test_a_token_of_100_kb_arrives_byte_for_byte(bench: Bench, text: str) -> None:
    publisher = bench.publisher()
    publisher.token(text)
    publisher.token("end")
    publisher.flush(LONG_S)
    assert bench.text() == text + "end"


def test_halves_of_surrogates_disturb_nobody(bench: Bench) -> None:
    publisher = bench.publisher()
    publisher.token("\ud83d")
    publisher.event(Draft.of("log", level="info", message="\ud83d"))
    publisher.flush(LONG_S)
    assert bench.events() == [("token", "\ufffd"), ("log", "\ufffd")]


def test_many_threads_may_write_one_job(bench: Bench) -> None:
    publisher = bench.publisher()

    def write(channel: str) -> None:
        for n in range(300):
            publisher.token(f"{n},", channel)

    threads = [threading.Thread(target=write, args=(channel,)) for channel in ("main", "left")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    publisher.flush(LONG_S)
    expected = "".join(f"{n}," for n in range(300))
    assert (bench.text(), bench.text("left")) == (expected, expected)


def test_many_publishers_are_written_together(bench: Bench) -> None:
    gate = bench.hold()
    publishers = [
        Publisher(bench.committer, bench.store.claim(bench.store.started()), lease_ms=LEASE_MS, flush_ms=0)
        for _ in range(100)
    ]
    for publisher in publishers:
        publisher.token("t")
    assert gate.reached.wait(LONG_S)
    gate.opened.set()
    for publisher in publishers:
        publisher.flush(LONG_S)
        assert bench.store.last(publisher.job_id)["text"] == "t"


def test_a_long_backlog_goes_in_appends_of_bounded_size(bench: Bench) -> None:
    gate = bench.hold()
    publisher = bench.publisher()
    publisher.token("a")
    assert gate.reached.wait(LONG_S)
    for n in range(APPEND_EVENTS + 1):
        publisher.event(Draft.of("log", level="info", message=str(n)))
    gate.opened.set()
    publisher.flush(LONG_S)
    assert [len(append.drafts) for append in bench.appends] == [1, APPEND_EVENTS, 1]
    assert [append.number for append in bench.appends] == [1, 2, 3]


def test_a_task_waits_while_too_much_is_unwritten(bench: Bench) -> None:
    gate = bench.hold()
    publisher = bench.publisher()
    publisher.token("a")
    assert gate.reached.wait(LONG_S)
    publisher.token("x" * HELD_BYTES)
    through = threading.Event()

    def write() -> None:
        publisher.token("b")
        through.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert not through.wait(0.05)
    gate.opened.set()
    assert through.wait(LONG_S)
    thread.join()
    publisher.flush(LONG_S)
    assert bench.text() == "a" + "x" * HELD_BYTES + "b"


def test_nothing_is_lost_while_redis_is_away(bench: Bench) -> None:
    bench.memory.before = Away(2)
    publisher = bench.publisher()
    publisher.token("a")
    publisher.token("b")
    publisher.flush(LONG_S)
    publisher.token("c")
    assert publisher.finish("succeeded", '"r"').answer == "succeeded"
    assert bench.text() == "abc"


def test_an_append_whose_reply_was_lost_is_written_once(bench: Bench) -> None:
    bench.memory.after = Away(1)
    publisher = bench.publisher()
    publisher.token("a")
    publisher.flush(LONG_S)
    publisher.token("b")
    publisher.flush(LONG_S)
    assert bench.events() == [("token", "a"), ("token", "b")]


def test_an_end_whose_reply_was_lost_is_one_end(bench: Bench) -> None:
    bench.memory.after = Away(1, FinishAttempt)
    assert bench.publisher().finish("succeeded", "1").answer == "succeeded"
    assert bench.store.read(bench.job_id).last_seq == 3


def test_a_flush_says_that_it_took_too_long(bench: Bench) -> None:
    gate = bench.hold()
    publisher = bench.publisher()
    publisher.token("a")
    with pytest.raises(StoreUnavailable, match="in time"):
        publisher.flush(0.01)
    gate.opened.set()
    publisher.flush(LONG_S)


def test_an_outage_of_hours_does_not_end_the_committer(bench: Bench) -> None:
    publisher = bench.publisher()
    append = Append(bench.store.claim(bench.job_id), 1, LEASE_MS, ())
    for _ in range(2000):
        publisher.done(StoreUnavailable("away"))
    assert append.number == 1
    publisher.token("a")
    bench.committer.schedule(publisher, 0.0)
    publisher.flush(LONG_S)
    assert bench.text() == "a"


def test_a_failure_that_nobody_foresaw_does_not_end_the_committer(bench: Bench) -> None:
    failures = [RuntimeError("bug")]

    def fail(command: Command[Any]) -> None:
        if isinstance(command, Append) and failures:
            raise failures.pop()

    bench.memory.before = fail
    publisher = bench.publisher()
    publisher.token("a")
    publisher.flush(LONG_S)
    assert bench.text() == "a"


def stopped(publisher: Publisher) -> AttemptOver:
    with pytest.raises(AttemptOver) as caught:
        publisher.token("x")
    return caught.value


@pytest.mark.parametrize(("answer", "error"), [("stale", AttemptStale), ("closed", LogClosed), ("gone", LogClosed)])
def test_a_task_that_may_not_write_learns_of_it_at_its_next_call(
    bench: Bench, answer: str, error: type[AttemptOver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("progress.healing.PATIENCE_S", 0.1)
    if answer == "stale":
        bench.store.finish(bench.job_id, 1, "retrying", ERROR)
        bench.store.begin(bench.job_id)
    elif answer == "closed":
        bench.store.finish(bench.job_id, 1, "succeeded", "1")
        bench.store.finish(bench.job_id, 1, "succeeded", "1")
    else:
        bench.memory.flush()
    publisher = bench.publisher()
    publisher._number = 20  # beyond whatever was numbered above
    publisher.token("a")
    with pytest.raises(error):
        publisher.flush(LONG_S)
    assert isinstance(stopped(publisher), error)
    with pytest.raises(error):
        publisher.event(Draft("log"))
    with pytest.raises(error):
        publisher.checkpoint("1")
    assert publisher.finish("succeeded", "1").answer == answer


def test_a_cancel_rides_home_and_what_was_published_stays(bench: Bench) -> None:
    publisher = bench.publisher()
    told: list[bool] = []
    publisher.on_over = lambda: told.append(True)
    bench.store.run(CancelJob(bench.job_id, "enough"))
    publisher.token("kept")
    with pytest.raises(JobCancelled):
        publisher.flush(LONG_S)
    assert isinstance(stopped(publisher), JobCancelled)
    assert publisher.finish("cancelled", "").answer == "cancelled"
    assert (bench.text(), bench.store.last(bench.job_id)["reason"], told) == ("kept", "enough", [True])


def test_what_is_held_when_a_cancel_comes_is_still_written(bench: Bench) -> None:
    gate = bench.hold()
    publisher = bench.publisher()
    publisher.token("a")
    assert gate.reached.wait(LONG_S)
    publisher.token("b")
    publisher.stop(JobCancelled())
    gate.opened.set()
    publisher.finish("cancelled", "")
    assert bench.text() == "ab"


def test_the_first_reason_counts_unless_the_right_to_write_is_lost(bench: Bench) -> None:
    publisher = bench.publisher()
    told: list[bool] = []
    publisher.on_over = lambda: told.append(True)
    publisher.stop(AttemptTimeout())
    publisher.stop(JobCancelled())
    assert isinstance(publisher.over, AttemptTimeout)
    publisher.stop(AttemptStale())
    assert isinstance(publisher.over, AttemptStale)
    assert told == [True]


def test_a_hook_that_fails_disturbs_nobody(bench: Bench) -> None:
    publisher = bench.publisher()

    def fail() -> None:
        raise ValueError("hook")

    publisher.on_over = fail
    publisher.stop(JobCancelled())
    assert isinstance(stopped(publisher), JobCancelled)


def test_an_attempt_that_has_ended_is_not_told_so_by_a_heartbeat(bench: Bench) -> None:
    publisher = bench.publisher()
    publisher.finish("succeeded", "1")
    publisher.stop(LogClosed())
    assert publisher.over is None


def test_an_error_raised_many_times_does_not_grow(bench: Bench) -> None:
    publisher = bench.publisher()
    publisher.stop(JobCancelled())
    depths = []
    for _ in range(3):
        trace, depth = stopped(publisher).__traceback__, 0
        while trace:
            trace, depth = trace.tb_next, depth + 1
        depths.append(depth)
    assert len(set(depths)) == 1


def test_closing_writes_what_is_held(bench: Bench) -> None:
    publisher = bench.publisher(AGES_MS)
    publisher.token("a")
    bench.wait_for(lambda: len(bench.appends) == 1)
    publisher.token("b")
    bench.committer.close()
    assert bench.text() == "ab"


def test_closing_does_not_wait_for_a_redis_that_is_away(bench: Bench, stalls: Stalls) -> None:
    bench.memory.before = Away(10**6)
    publisher = bench.publisher(AGES_MS)
    publisher.token("a")
    before = time.monotonic()
    bench.committer.close()
    assert time.monotonic() - before < 2 + stalls.since(before)
    assert bench.text() == ""


def test_a_token_costs_its_task_little(bench: Bench) -> None:
    publisher = bench.publisher(20)
    best = min(_seconds_for(publisher, 2000) for _ in range(5))
    assert best / 2000 < 10e-6  # about 1 µs on a quiet machine; a round trip would be 100


def _seconds_for(publisher: Publisher, count: int) -> float:
    before = time.perf_counter()
    for _ in range(count):
        publisher.token("token ")
    return time.perf_counter() - before


def test_an_end_tells_how_much_was_said_and_since_when(bench: Bench) -> None:
    publisher = bench.publisher(AGES_MS)
    publisher.event(Draft.of("log", level="info", message="not yet"))
    for _ in range(3):
        publisher.token("a")
    publisher.finish("succeeded", "1")
    (end,) = (command for command in bench.sent if isinstance(command, FinishAttempt))
    first = next(event for event in bench.store.log(bench.job_id).events if event.type == "token")
    assert (end.tokens, rfc3339(end.first_token_at or 0)) == (3, first.data["at"])


def test_an_end_without_text_tells_of_none(bench: Bench) -> None:
    bench.publisher().finish("succeeded", "1")
    (end,) = (command for command in bench.sent if isinstance(command, FinishAttempt))
    assert (end.tokens, end.first_token_at) == (0, None)


@pytest.mark.parametrize(("given", "shown"), [(-1.0, 0.0), (0.25, 0.25), (7.0, 1.0)])
def test_a_fraction_is_between_0_and_1(given: float, shown: float) -> None:
    assert progress_draft(given).fields == f'"fraction":{shown}'
    assert progress_draft(None, current=3).fields == '"current":3'


def test_what_redis_has_lost_is_written_again_before_what_follows(bench: Bench) -> None:
    bench.job_id = bench.store.create()
    crash = bench.store.save()
    claimed = bench.store.begin(bench.job_id)
    assert claimed.claim
    publisher = Publisher(bench.committer, claimed.claim, lease_ms=LEASE_MS, flush_ms=0, begun=claimed.again)
    for text in "abc":
        publisher.token(text)
        publisher.flush(LONG_S)
    seen = bench.store.log(bench.job_id).events
    crash()
    publisher.token("d")
    publisher.flush(LONG_S)
    assert bench.store.log(bench.job_id).events[:-1] == seen
    assert bench.text() == "abcd"
    crash()
    assert publisher.finish("succeeded", "1").answer == "succeeded"
    assert bench.store.log(bench.job_id).events[: len(seen)] == seen
    assert bench.text() == "abcd"


def test_a_worker_that_was_frozen_waits_until_others_have_spoken(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis says how long: the patience that there is for what was lost does not count."""
    monkeypatch.setattr("progress.healing.PATIENCE_S", -1)
    bench.store.pass_time(LEASE_MS)
    bench.store.run(Heartbeat(LEASE_MS, ()))
    bench.store.save()()
    publisher = bench.publisher()
    publisher.token("a")
    bench.wait_for(lambda: len(bench.appends) > 2)
    assert publisher.over is None
    bench.store.settle()
    publisher.flush(LONG_S)
    event = bench.store.log(bench.job_id, 2).events[0]
    assert (event.data["text"], event.follows, event.seq > ROOM) == ("a", 2, True)


def test_so_does_its_end(bench: Bench) -> None:
    bench.store.pass_time(LEASE_MS)
    bench.store.run(Heartbeat(LEASE_MS, ()))
    bench.store.save()()
    ends: list[Command[Any]] = []

    def settle(command: Command[Any]) -> None:
        if isinstance(command, FinishAttempt):
            ends.append(command)
            if len(ends) == 2:
                bench.memory.advance(SETTLE_MS)

    bench.memory.after = settle
    assert bench.publisher().finish("succeeded", "1").answer == "succeeded"
    assert (len(ends), bench.store.last(bench.job_id)["follows"]) == (3, 2)
