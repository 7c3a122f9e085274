"""Schedules that come with kinds: what ``@scheduled`` notes, and what the scheduler keeps of it."""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel

from progress.jobs import Json, NewJob
from progress.schedules import Schedule, Timing, work_of
from progress.settings import Settings
from tasks.registry import TaskFunction, kinds


@dataclass(frozen=True)
class Routine:
    """That a kind is to run by itself."""

    timing: Timing
    task_input: Json


_routines: dict[str, Routine] = {}


def scheduled(
    cron: str | None = None,
    *,
    every_s: float | None = None,
    timezone: str = "UTC",
    task_input: BaseModel | None = None,
) -> Callable[[TaskFunction], TaskFunction]:
    """Lets a kind run by itself; stands above ``@job``. The schedule has the name of the kind.

    Args:
        cron: minute, hour, day, month and weekday, or ``@hourly``, ``@daily``, ``@weekly``, ``@monthly``.
        every_s: or seconds from run to run, at least 1.
        timezone: of ``cron``, a name of IANA's.
        task_input: what each run gets; by default an input without a field.

    Raises:
        ValueError: these times cannot be, or such an input is none of the kind's.
        TypeError: what stands below is no ``@job``.
    """
    timing = Timing(cron, every_s, timezone)
    timing.check()

    def note(function: TaskFunction) -> TaskFunction:
        kind = next((kind for kind in kinds().values() if kind.function is function), None)
        if kind is None:
            raise TypeError(f"{function.__qualname__}: put @scheduled above @job")
        plain = task_input.model_dump(mode="json") if task_input else {}
        kind.validate(plain)
        _routines[kind.name] = Routine(timing, plain)
        return function

    return note


def built_in(settings: Settings) -> list[Schedule]:
    """The schedules of all kinds that are known here, without their times."""
    found: list[Schedule] = []
    for name, routine in sorted(_routines.items()):
        kind = kinds()[name]
        attempts = kind.max_attempts or settings.max_attempts
        new = NewJob(name, routine.task_input, kind.queue, max_attempts=attempts, timeout_s=kind.timeout_s)
        found.append(Schedule(name, work_of(new), routine.timing, 0, name=name, built_in=True))
    return found
