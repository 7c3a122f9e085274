"""Children of a job: made once, waited for without a worker, and never made again for nothing."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from progress import commands
from progress.commands import Lifetimes, Waiting
from progress.connect import RedisExecutor
from progress.errors import AttemptOver
from progress.jobs import Job, NewJob
from tasks import registry
from tasks.attempt import Runner
from tasks.children import Child
from tasks.errors import ChildFailed, TaskError
from tasks.family import TOGETHER, InProcess
from tasks.progress import Progress
from tasks.queue import QueueUnavailable
from tests.support.api import FakeQueue, settings

LIFETIMES = Lifetimes(60, 120, 1000)


class Numbers(BaseModel):
    """What is added; ``fail`` says how it goes."""

    numbers: list[int] = []
    fail: bool = False


class Parents(BaseModel):
    """How many children there are to be, and which of them fail."""

    count: int = 2
    failing: list[int] = []


def add(task_input: Numbers, progress: Progress) -> dict[str, int]:
    """A child."""
    progress.token(f"{sum(task_input.numbers)} ")
    if task_input.fail:
        raise TaskError("told_to", "told to fail")
    return {"sum": sum(task_input.numbers)}


def twice(task_input: Parents, progress: Progress) -> dict[str, Any]:
    """A parent: one step, something to keep, and another step."""
    begun = progress.resumed.state["begun"] if progress.resumed and progress.resumed.state else 0
    if not begun:
        progress.token("begun ")
        progress.checkpoint({"begun": 1})
    failing = set(task_input.failing)
    some = [Child("add", {"numbers": [n, 1], "fail": n in failing}, f"number {n}") for n in range(task_input.count)]
    first = progress.gather("first", some, share=(0.0, 0.5))
    last = progress.gather("last", [Child("add", {"numbers": [found["sum"] for found in first]})], share=(0.5, 0.5))
    return {"sum": last[0]["sum"], "kept": progress.resumed.text if progress.resumed else ""}


@pytest.fixture(autouse=True)
def known_kinds() -> Iterator[None]:
    before = registry.kinds()
    registry._kinds["add"] = registry.Kind("add", add, Numbers, "llm", 1, None, (0.0, 0.0), "", "")
    registry._kinds["twice"] = registry.Kind("twice", twice, Parents, "default", None, None, (0.0, 0.0), "", "")
    yield
    registry._kinds.clear()
    registry._kinds.update(before)


class House:
    """A worker, and the store behind it."""

    def __init__(self, url: str, executor: RedisExecutor) -> None:
        self.executor = executor
        self.runner = Runner(settings(redis_url=url, lease_s=1))
        self.queue = FakeQueue()
        self.runner._made_queue = self.queue

    def create(self, **fields: Any) -> str:
        new = NewJob("twice", fields.pop("input", {}), "default", max_attempts=1, **fields)
        return self.executor.run(commands.CreateJob(new, LIFETIMES)).job_id

    def job(self, job_id: str) -> Job:
        found = self.executor.run(commands.ReadJob(job_id))
        assert found is not None
        return found

    def children(self, parent: str, step: str) -> list[Job]:
        found = self.executor.run(commands.Members(f"{parent}.{step}", 0, 1000, beside=parent))
        return [job for _, job in found if job]

    def run_children(self, parent: str, step: str) -> None:
        for child in self.children(parent, step):
            self.runner.run(child.id)

    def wake(self) -> list[str]:
        """Runs whatever the sweeper finds."""
        found = self.executor.run(commands.Sweep("w", 1000)) or []
        for waiting in found:
            self.runner.run(waiting.job_id)
        return [waiting.job_id for waiting in found]

    def run_to_its_end(self, parent: str) -> Job:
        self.runner.run(parent)
        for step in ("first", "last"):
            self.run_children(parent, step)
            self.wake()
        return self.job(parent)


@pytest.fixture
def house(redis_url: str, executor: RedisExecutor) -> Iterator[House]:
    made = House(redis_url, executor)
    yield made
    made.runner.close()


def test_a_job_goes_on_with_the_results_of_its_children(house: House) -> None:
    job = house.run_to_its_end(house.create())
    assert (job.status, job.result) == ("succeeded", {"sum": 3, "kept": "begun "})
    assert (job.attempt, job.handed_back) == (3, 2)


def test_its_children_are_jobs_beside_it_that_say_whose_they_are(house: House) -> None:
    parent = house.create(priority=8)
    house.runner.run(parent)
    one, other = house.children(parent, "first")
    assert [job.kind for job in (one, other)] == ["add", "add"]
    assert {job.id[-1] for job in (one, other)} == {parent[-1]}
    assert (one.parent, one.group, one.member, other.member) == (parent, f"{parent}.first", 0, 1)
    assert (one.priority, one.queue, one.metadata) == (8, "llm", {"title": "number 0"})
    assert [(job_id, queue) for job_id, queue, _ in house.queue.sent] == [(one.id, "llm"), (other.id, "llm")]


def test_it_waits_without_a_worker(house: House) -> None:
    parent = house.create()
    assert house.runner.run(parent)
    assert (house.job(parent).status, house.job(parent).waiting_for) == ("running", f"{parent}.first")
    assert house.runner.run(parent), "a message that comes again has served"
    assert house.job(parent).attempt == 1


def test_children_are_made_once_whatever_is_lost(house: House) -> None:
    parent = house.create(input={"count": TOGETHER + 5})
    asked: list[Any] = []

    def dies_after_the_first_part(jobs: list[Waiting]) -> dict[str, QueueUnavailable]:
        asked.extend(jobs)
        raise SystemExit

    house.queue.enqueue_all = dies_after_the_first_part  # type: ignore[method-assign,assignment]  # a worker that is killed
    with pytest.raises(SystemExit):
        house.runner.run(parent)
    assert len(house.children(parent, "first")) == len(asked) == TOGETHER
    house.queue = house.runner._made_queue = FakeQueue()
    with_its_lease_over(house, parent)
    assert house.runner.run(parent)
    made = [job.id for job in house.children(parent, "first")]
    assert ([job_id for job_id, _, _ in house.queue.sent], len(made)) == (made[TOGETHER:], TOGETHER + 5)


def with_its_lease_over(house: House, job_id: str) -> None:
    """As if its worker had been gone for long, and another attempt were to be had."""
    house.executor._redis.hset(f"{{jobcast}}:job:{job_id}", "max_attempts", 5)
    house.executor._redis.zadd("{jobcast}:leases", {job_id: 1})


def test_a_child_that_fails_fails_its_parent_and_is_named(house: House) -> None:
    parent = house.create(input={"count": 3, "failing": [1]})
    house.runner.run(parent)
    house.run_children(parent, "first")
    house.wake()
    job = house.job(parent)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["code"] == "step_failed"
    child = house.children(parent, "first")[1]
    assert job.error["message"] == f"step first: number 1 ({child.id}) failed: told to fail"
    assert [one.status for one in house.children(parent, "first")] == ["succeeded", "failed", "succeeded"]


def test_run_again_it_goes_on_from_what_has_failed(house: House) -> None:
    parent = house.create(input={"count": 3, "failing": [1]})
    house.runner.run(parent)
    house.run_children(parent, "first")
    house.wake()
    add_input = registry._kinds["add"]
    registry._kinds["add"] = registry.Kind("add", mended, Numbers, "llm", 1, None, (0.0, 0.0), "", "")
    again = house.create(input={"count": 3, "failing": [1]}, retry_of=parent)
    house.runner.run(again)
    before, now = house.children(parent, "first"), house.children(again, "first")
    assert [one.id == other.id for one, other in zip(before, now, strict=True)] == [True, False, True]
    house.run_children(again, "first")
    house.wake()
    house.run_children(again, "last")
    house.wake()
    assert house.job(again).result == {"sum": 6, "kept": "begun "}
    registry._kinds["add"] = add_input


def mended(task_input: Numbers, progress: Progress) -> dict[str, int]:
    """The same child once what was wrong is right."""
    return add(task_input.model_copy(update={"fail": False}), progress)


def test_a_cancelled_job_takes_its_children_along(house: House) -> None:
    parent = house.create()
    house.runner.run(parent)
    house.runner.claims.cancel(parent, "requested")
    house.wake()
    assert {job.status for job in house.children(parent, "first")} == {"cancelled"}


@pytest.mark.parametrize(
    ("child", "code"),
    [(Child("nope", {}), "unknown_kind"), (Child("add", {"numbers": "x"}), "invalid_step")],
)
def test_a_child_that_cannot_be_is_refused_before_any_is_made(house: House, child: Child, code: str) -> None:
    def parent(_input: Parents, progress: Progress) -> None:
        progress.gather("step", [Child("add", {}), child])

    registry._kinds["twice"] = registry.Kind("twice", parent, Parents, "default", None, None, (0.0, 0.0), "", "")
    job_id = house.create()
    house.runner.run(job_id)
    error = house.job(job_id).error
    assert error is not None
    assert error["code"] == code
    assert house.children(job_id, "step") == []


def test_no_children_are_soon_done(house: House) -> None:
    def parent(_input: Parents, progress: Progress) -> list[Any]:
        return progress.gather("step", [])

    registry._kinds["twice"] = registry.Kind("twice", parent, Parents, "default", None, None, (0.0, 0.0), "", "")
    job_id = house.create()
    house.runner.run(job_id)
    assert house.job(job_id).result == []


# In a script.


class Heard:
    """A sink that keeps texts."""

    over: AttemptOver | None = None
    on_over: Callable[[], None] | None = None

    def __init__(self) -> None:
        self.text = ""

    def token(self, text: str, channel: str = "main") -> None:
        self.text += text

    def event(self, draft: Any) -> None:
        pass

    def checkpoint(self, state: str) -> None:
        pass


def with_children(heard: Heard) -> Progress:
    made = Progress(heard)
    made.family = InProcess(heard)
    return made


def test_in_a_script_children_run_one_after_another() -> None:
    heard = Heard()
    result = twice(Parents(), with_children(heard))
    assert result["sum"] == 3
    assert heard.text == "begun 1 2 3 "
    with pytest.raises(ChildFailed, match="step first: number 0 failed: told to fail"):
        twice(Parents(failing=[0]), with_children(heard))


def test_without_a_place_for_children_the_mend_is_said() -> None:
    with pytest.raises(ValueError, match=r"set progress\.family"):
        Progress(Heard()).gather("step", [])
    with pytest.raises(ValueError, match="no name of a step"):
        with_children(Heard()).gather("a step", [])
