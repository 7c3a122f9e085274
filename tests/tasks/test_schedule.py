"""Schedules that come with kinds, and Celery's scheduler over those that Redis keeps."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from progress.commands import ListJobs, PutSchedule, ReadHealth, ReadSchedules
from progress.connect import RedisExecutor
from progress.errors import StoreUnavailable
from progress.jobs import NewJob
from progress.schedules import InvalidTiming, Schedule, Timing, work_of
from tasks import registry, schedule
from tasks.app import load_kinds
from tasks.progress import Progress
from tasks.registry import job
from tasks.schedule import built_in, scheduled
from tests.support.api import settings


class Some(BaseModel):
    many: int = 1


class Needs(BaseModel):
    text: str


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is noted here is noted for one test."""
    load_kinds(settings())  # now, or what they come with would be noted in the middle of a test
    monkeypatch.setattr(schedule, "_routines", {})
    yield
    for name in ("tidy", "needy"):
        registry._kinds.pop(name, None)


def nothing(task_input: Some, progress: Progress) -> None:
    """Does nothing."""


def needy(task_input: Needs, progress: Progress) -> None:
    """Wants something."""


def test_a_kind_can_come_with_a_schedule() -> None:
    scheduled("0 3 * * *", timezone="Europe/Berlin")(job("tidy", queue="cpu", max_attempts=5, timeout_s=9)(nothing))
    (found,) = built_in(settings())
    assert (found.id, found.name, found.built_in) == ("tidy", "tidy", True)
    assert found.timing == Timing("0 3 * * *", None, "Europe/Berlin")
    made = found.job("id")
    assert (made.kind, made.input, made.queue, made.max_attempts, made.timeout_s) == ("tidy", {}, "cpu", 5, 9)


def test_it_may_say_what_each_run_gets() -> None:
    scheduled(every_s=60, task_input=Some(many=3))(job("tidy")(nothing))
    (found,) = built_in(settings(max_attempts=4))
    assert found.job("id").input == {"many": 3}
    assert found.job("id").max_attempts == 4


def test_what_makes_no_sense_is_refused_where_it_stands() -> None:
    with pytest.raises(InvalidTiming, match="minute hour"):
        scheduled("soon")
    with pytest.raises(TypeError, match="above @job"):
        scheduled("@daily")(lambda _task_input, _progress: None)
    with pytest.raises(ValidationError, match="text"):
        scheduled("@daily")(job("needy")(needy))


@pytest.fixture
def beats(environment: dict[str, str], tmp_path: Path) -> Iterator[list[Any]]:
    """Two of Celery's schedulers on one Redis."""
    from tasks.beat import Beat
    from tasks.worker import app

    made = [Beat(app=app, schedule_filename=str(tmp_path / str(number))) for number in range(2)]
    yield made
    for beat in made:
        beat.close()


def overdue(executor: RedisExecutor, many: int) -> None:
    now = executor.run(ReadSchedules(limit=0)).now
    work = work_of(NewJob("speak", {}, "llm"))
    for number in range(many):
        one = Schedule(f"s{number}", work, Timing("@yearly"), now, next_run_at=now - 1_000)
        assert executor.run(PutSchedule(one)) == "created"


def test_two_schedulers_on_one_redis_make_each_job_once(beats: list[Any], executor: RedisExecutor) -> None:
    overdue(executor, 5)
    for beat in (*beats, *beats):
        assert beat.tick() <= 0.5
    jobs = executor.run(ListJobs())
    assert len(jobs) == 5
    assert {one.last_job for one in executor.run(ReadSchedules()).schedules} == {one.id for one in jobs}
    assert beats[0].queue.depth("llm") == 5
    assert executor.run(ReadHealth(("llm",))).queues["llm"].waiting == 5


def test_a_scheduler_outlives_a_redis_that_is_away_and_a_schedule_that_breaks(
    beats: list[Any], executor: RedisExecutor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    overdue(executor, 1)
    beat = beats[0]
    errors = iter([StoreUnavailable("away"), RuntimeError("broken")])

    def fail() -> None:
        raise next(errors)

    with monkeypatch.context() as patched:
        patched.setattr(beat.ticker, "run_due", fail)
        for _ in range(2):
            assert beat.tick() <= 0.5
    assert "schedules put off: away" in caplog.text
    assert "broken" in caplog.text
    beat.tick()
    assert len(executor.run(ListJobs())) == 1


def test_what_comes_with_kinds_is_kept_at_the_first_tick(beats: list[Any], executor: RedisExecutor) -> None:
    scheduled("0 3 * * *")(job("tidy")(nothing))
    beats[0].tick()
    (found,) = executor.run(ReadSchedules()).schedules
    assert (found.id, found.next_run_at is None) == ("tidy", False)


def test_what_celery_is_told_to_do_by_its_settings_is_still_done(beats: list[Any]) -> None:
    assert "housekeeping" in beats[0].schedule
