"""One attempt in a worker: which end each failure is, and what the log says of it, on a real Redis."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from pydantic import BaseModel, ValidationError

from progress import commands
from progress.commands import Lifetimes
from progress.connect import RedisExecutor
from progress.errors import AttemptOver, AttemptStale, AttemptTimeout, JobCancelled, LogClosed
from progress.events import Event
from progress.jobs import Job, NewJob
from tasks import attempt, registry
from tasks.attempt import (
    LONGEST_PAUSE_S,
    MESSAGE_CHARS,
    Ending,
    Runner,
    as_result,
    backoff_s,
    ending_of,
    pause_s,
    runner,
    worker_name,
)
from tasks.errors import Retry, TaskError
from tasks.progress import Progress, Resumed
from tasks.registry import Kind
from tests.support.api import EchoInput, settings
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

LIFETIMES = Lifetimes(60, 120, 1000)
Task = Callable[[EchoInput, Progress], Any]


def nothing(_input: EchoInput, _progress: Progress) -> None:
    """Does nothing."""


def kind_of(function: Task = nothing, backoff_s: tuple[float, float] = (1.0, 60.0)) -> Kind:
    return Kind("echo", function, EchoInput, "llm", None, None, backoff_s, "", "")


def job_of(**fields: Any) -> Job:
    values: dict[str, Any] = {"attempt": 1, "max_attempts": 3, "input": {"text": "hi"}, **fields}
    return Job("id", "echo", "running", "llm", 5, created_at=0, last_seq=2, metadata={}, **values)


def invalid_input() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        EchoInput.model_validate({"text": ""})
    return caught.value


class Work:
    """A worker and the store behind it."""

    def __init__(self, url: str, executor: RedisExecutor, **fields: Any) -> None:
        self.executor = executor
        self.runner = Runner(settings(redis_url=url, **fields))

    def create(self, **fields: Any) -> str:
        task_input = fields.pop("input", {"text": "hi"})
        new = NewJob(fields.pop("kind", "echo"), task_input, "llm", **fields)
        return self.executor.run(commands.CreateJob(new, LIFETIMES)).job_id

    def job(self, job_id: str) -> Job:
        job = self.executor.run(commands.ReadJob(job_id))
        assert job is not None
        return job

    def log(self, job_id: str) -> list[Event]:
        return self.executor.run(commands.ReadLog(job_id, 0)).events

    def types(self, job_id: str) -> list[str]:
        return [event.type for event in self.log(job_id)]

    def run(self, task: Task, **fields: Any) -> Job:
        """Runs a job with this function to the end of one attempt."""
        job_id = self.create(**fields)
        return self.run_again(task, job_id)

    def run_again(self, task: Task, job_id: str) -> Job:
        registry._kinds["echo"] = kind_of(task, (0.0, 0.0))
        self.runner.run(job_id)
        return self.job(job_id)


@pytest.fixture
def known_kinds() -> Iterator[None]:
    """Kinds that a test makes are forgotten after it."""
    before = registry.kinds()
    yield
    registry._kinds.clear()
    registry._kinds.update(before)


@pytest.fixture
def work(redis_url: str, executor: RedisExecutor, known_kinds: None) -> Iterator[Work]:
    made = Work(redis_url, executor, lease_s=1)
    yield made
    made.runner.close()


def raising(error: BaseException) -> Task:
    def task(_input: EchoInput, _progress: Progress) -> None:
        raise error

    return task


# What an exception means: pure.


@pytest.mark.parametrize(
    ("error", "over", "outcome", "code"),
    [
        (RuntimeError("boom"), AttemptTimeout(), "failed", "timeout"),
        (SoftTimeLimitExceeded(), None, "failed", "timeout"),
        (invalid_input(), None, "failed", "invalid_input"),
        (TaskError("told_to", "for good"), None, "failed", "told_to"),
        (TaskError("busy", "later", retryable=True), None, "retrying", "busy"),
        (Retry(), None, "retrying", "retry"),
        (RuntimeError("boom"), None, "retrying", "task_error"),
    ],
)
def test_every_failure_has_its_end(error: Exception, over: AttemptOver | None, outcome: str, code: str) -> None:
    ending = ending_of(error, over, kind_of(), job_of())
    assert ending is not None
    assert ending.outcome == outcome
    assert f'"code":"{code}"' in ending.value


def test_a_task_that_was_cancelled_may_fail_in_any_way() -> None:
    assert ending_of(RuntimeError("broken pipe"), JobCancelled(), kind_of(), job_of()) == Ending("cancelled", "")
    assert ending_of(JobCancelled(), None, kind_of(), job_of()) == Ending("cancelled", "")


@pytest.mark.parametrize("over", [AttemptStale(), LogClosed()])
def test_an_attempt_that_has_lost_its_job_says_nothing(over: AttemptOver) -> None:
    assert ending_of(RuntimeError("boom"), over, kind_of(), job_of()) is None


def test_the_last_attempt_fails_with_its_error() -> None:
    ending = ending_of(RuntimeError("boom"), None, kind_of(), job_of(attempt=3))
    assert ending is not None
    assert (ending.outcome, ending.delay_ms) == ("failed", 0)
    assert "RuntimeError: boom" in ending.value


def test_an_error_without_words_has_its_name() -> None:
    ending = ending_of(KeyError(), None, kind_of(), job_of())
    assert ending is not None
    assert '"message":"KeyError"' in ending.value


def test_a_long_error_is_cut_and_an_odd_one_can_be_stored() -> None:
    ending = ending_of(RuntimeError("\ud800" + "x" * 10_000), None, kind_of(), job_of())
    assert ending is not None
    assert len(ending.value.encode()) < MESSAGE_CHARS + 200


def test_a_timeout_names_its_seconds_or_the_workers_own() -> None:
    timed, soft = (ending_of(AttemptTimeout(), None, kind_of(), job_of(timeout_s=s)) for s in (1.5, None))
    assert timed is not None
    assert soft is not None
    assert "1.5 s" in timed.value
    assert "the worker allows" in soft.value


def test_pauses_grow_and_are_spread_over_their_whole_range() -> None:
    for number, longest in ((1, 1.0), (2, 2.0), (4, 8.0), (100, 60.0)):
        drawn = [backoff_s((1.0, 60.0), number, None) for _ in range(300)]
        assert 0 <= min(drawn) < longest / 4
        assert longest * 3 / 4 < max(drawn) <= longest


def test_a_pause_that_was_asked_for_is_never_shortened_and_little_longer() -> None:
    drawn = [backoff_s((1.0, 60.0), 5, 7.0) for _ in range(100)]
    assert min(drawn) >= 7
    assert max(drawn) <= 8


@pytest.mark.parametrize("asked_s", [float("nan"), float("inf"), -5.0, 1e12])
def test_an_absurd_pause_is_brought_into_bounds(asked_s: float) -> None:
    assert 0 <= backoff_s((1.0, 60.0), 1, asked_s) <= LONGEST_PAUSE_S + 1


def test_only_a_task_that_says_when_is_taken_at_its_word() -> None:
    kind, job = kind_of(), job_of()
    assert {pause_s(Retry(after_s=2), kind, job) for _ in range(20)} == {2}
    assert pause_s(Retry(after_s=float("nan")), kind, job) == 0
    refused = TaskError("busy", "later", retryable=True, retry_after_s=2)
    assert len({pause_s(refused, kind, job) for _ in range(20)}) > 1


class Dated(BaseModel):
    """A result with something that JSON knows only as text."""

    at: float
    raw: Any = None


def test_a_result_may_be_a_model_or_any_json() -> None:
    assert as_result(Dated(at=1.5)) == '{"at":1.5,"raw":null}'
    assert as_result(None) == "null"
    assert as_result({"a": [1, "é"]}) == '{"a":[1,"é"]}'


def _endless() -> list[Any]:
    nest: list[Any] = []
    nest.append(nest)
    return nest


def _deep() -> list[Any]:
    nest: list[Any] = []
    for _ in range(100_000):
        nest = [nest]
    return nest


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}, _endless(), _deep(), Dated(at=1, raw=object())])
def test_a_result_without_a_form_in_json_fails_for_good(value: Any) -> None:
    with pytest.raises(TaskError) as caught:
        as_result(value)
    assert (caught.value.code, caught.value.retryable) == ("bad_result", False)


# The same in the log.


def test_a_job_runs_to_its_result(work: Work) -> None:
    def task(task_input: EchoInput, progress: Progress) -> dict[str, str]:
        progress.token(task_input.text)
        return {"said": task_input.text}

    job = work.run(task)
    assert (job.status, job.result, job.attempt, job.worker) == ("succeeded", {"said": "hi"}, 1, worker_name())
    assert work.types(job.id) == ["queued", "started", "token", "succeeded"]
    assert work.runner.keeper.held == ()


def test_a_job_that_is_gone_or_has_ended_is_not_run(work: Work) -> None:
    job = work.run(nothing)
    runs: list[str] = []
    registry._kinds["echo"] = kind_of(lambda task_input, _progress: runs.append(task_input.text))
    for job_id in ("no-such-job", job.id):
        work.runner.run(job_id)
    assert runs == []
    assert work.types(job.id) == ["queued", "started", "succeeded"]


def test_a_message_has_served_unless_another_attempt_holds_its_job(work: Work) -> None:
    registry._kinds["echo"] = kind_of()
    ended, early, held = work.create(), work.create(delay_s=60), work.create()
    assert work.runner.run(ended)
    assert all(work.runner.run(job_id) for job_id in (ended, early, "nope"))
    work.executor.run(commands.BeginAttempt(held, "another", 60_000))
    assert not work.runner.run(held)
    assert work.job(held).attempt == 1


def test_a_kind_that_this_worker_does_not_know_fails_by_its_name(work: Work) -> None:
    job_id = work.create(kind="unheard-of")
    work.runner.run(job_id)
    error = work.job(job_id).error
    assert error is not None
    assert error["code"] == "unknown_kind"
    assert "unheard-of" in error["message"]


def test_an_input_that_does_not_fit_the_kind_any_more_is_not_tried_again(work: Work) -> None:
    job = work.run(nothing, input={"text": ""})
    assert job.error == {
        "code": "invalid_input",
        "message": "text: String should have at least 1 character",
        "retryable": False,
    }
    assert job.status == "failed"


def test_an_input_that_is_wrong_as_a_whole_says_so(work: Work) -> None:
    class Whole(BaseModel):
        @classmethod
        def model_validate(cls, obj: Any, **more: Any) -> "Whole":
            raise ValidationError.from_exception_data("Whole", [{"type": "missing", "loc": (), "input": obj}])

    registry._kinds["echo"] = Kind("echo", nothing, Whole, "llm", None, None, (1.0, 60.0), "", "")
    job_id = work.create()
    work.runner.run(job_id)
    error = work.job(job_id).error
    assert error is not None
    assert error["message"] == "input: Field required"


def test_a_failed_attempt_waits_before_the_next_one(work: Work) -> None:
    job = work.run(raising(Retry("later", after_s=30)))
    assert (job.status, job.error) == ("retrying", {"code": "retry", "message": "later", "retryable": True})
    assert job.due_at is not None
    assert 29_000 < job.due_at - time.time() * 1000 < 32_000
    assert work.log(job.id)[-1].data["delay_s"] == 30


def test_the_attempts_run_out(work: Work) -> None:
    job = work.run(raising(RuntimeError("boom")), max_attempts=1)
    assert (job.status, job.attempt) == ("failed", 1)
    assert job.error == {"code": "task_error", "message": "RuntimeError: boom", "retryable": True}


def test_the_next_attempt_gets_the_checkpoint_and_the_text_before_it(work: Work) -> None:
    def first(_input: EchoInput, progress: Progress) -> None:
        assert progress.resumed is None
        progress.token("kept ")
        progress.token("beside", channel="notes")
        progress.checkpoint({"done": 3})
        progress.token("lost")
        raise Retry(after_s=0)

    resumed = []

    def second(_input: EchoInput, progress: Progress) -> None:
        resumed.append((progress.resumed, progress.attempt, progress.max_attempts))

    job = work.run(first)
    assert work.run_again(second, job.id).status == "succeeded"
    assert resumed == [(Resumed({"done": 3}, "kept "), 2, 3)]


def test_a_cancelled_job_stops_at_its_next_publish_and_keeps_what_it_made(work: Work) -> None:
    def task(_input: EchoInput, progress: Progress) -> None:
        progress.token("made")
        work.runner.claims.cancel(job_ids[0], "requested")
        while True:
            progress.token(".")
            time.sleep(0.001)

    job_ids = [work.create()]
    job = work.run_again(task, job_ids[0])
    assert job.status == "cancelled"
    assert work.log(job.id)[2].data["text"].startswith("made")
    assert work.log(job.id)[-1].data["reason"] == "requested"


def test_a_silent_task_is_told_of_its_cancel(work: Work) -> None:
    told = threading.Event()

    def task(_input: EchoInput, progress: Progress) -> str:
        progress.on_over(told.set)
        work.runner.claims.cancel(job_ids[0], "requested")
        assert told.wait(30)
        assert progress.cancelled
        return "half of it"

    job_ids = [work.create()]
    job = work.run_again(task, job_ids[0])
    assert (job.status, job.result) == ("cancelled", "half of it")


def test_an_attempt_that_takes_too_long_fails(work: Work) -> None:
    told = threading.Event()

    def task(_input: EchoInput, progress: Progress) -> None:
        progress.on_over(told.set)
        assert told.wait(30)
        progress.token("too late")

    job = work.run(task, timeout_s=0.05)
    assert job.status == "failed"
    assert job.error == {"code": "timeout", "message": "the attempt took longer than 0.05 s", "retryable": False}


def test_an_attempt_that_another_has_overtaken_says_nothing(work: Work) -> None:
    def task(_input: EchoInput, progress: Progress) -> None:
        work.executor.run(commands.CancelJob(job_ids[0]))
        work.executor.run(commands.FinishAttempt(work.runner.keeper.held[0].claim, 1, "cancelled", ""))
        while True:
            progress.token(".")
            time.sleep(0.001)

    job_ids = [work.create()]
    assert work.run_again(task, job_ids[0]).status == "cancelled"
    assert work.types(job_ids[0]) == ["queued", "started", "cancelled"]


@pytest.mark.slow
def test_a_job_is_begun_once_redis_is_back(known_kinds: None, caplog: pytest.LogCaptureFixture) -> None:
    registry._kinds["echo"] = kind_of()
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        executor = RedisExecutor(server.url)
        work = Work(server.url, executor)
        job_id = work.create()
        server.kill()
        thread = threading.Thread(target=work.runner.run, args=(job_id,), daemon=True)
        thread.start()
        try:
            wait_until(lambda: "Redis is away" in caplog.text)
            server.start()
            thread.join(30)
            assert work.job(job_id).status == "succeeded"
        finally:
            work.runner.close()
            executor.close()


def test_a_process_has_one_runner(redis_url: str) -> None:
    chosen = settings(redis_url=redis_url)
    made = runner(chosen)
    try:
        assert runner(chosen) is made
    finally:
        made.close()
        attempt._runners.clear()
