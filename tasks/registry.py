"""The kinds of job: what ``@job`` notes about a task function, by name."""

import inspect
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from pydantic import BaseModel

from progress.events import encode_json
from progress.jobs import Json
from tasks.fields import FORMAT, files_in
from tasks.progress import Progress

TaskFunction = Callable[[Any, Progress], Any]
DEFAULT_QUEUE: Final = "default"
_NAME: Final = re.compile("[a-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Kind:
    """A kind of job.

    ``timeout_s`` bounds one attempt; ``backoff_s`` is (first, longest) pause before another one.
    """

    name: str
    function: TaskFunction
    input_model: type[BaseModel]
    queue: str
    max_attempts: int | None
    timeout_s: float | None
    backoff_s: tuple[float, float]
    title: str
    description: str

    @property
    def input_schema(self) -> Json:
        """JSON Schema of the input."""
        return self.input_model.model_json_schema()

    @cached_property
    def takes_files(self) -> bool:
        """Whether an input may name files."""
        return FORMAT in encode_json(self.input_schema)

    def files(self, task_input: BaseModel) -> list[tuple[str, str]]:
        """The files that a validated input names: (dotted path, id) of each."""
        if not self.takes_files:
            return []
        return [(".".join(map(str, place)), str(file_id)) for place, file_id in files_in(task_input)]

    def validate(self, value: Any) -> BaseModel:
        """The input as its model. Raises pydantic.ValidationError."""
        return self.input_model.model_validate(value)


_kinds: dict[str, Kind] = {}


def job(
    name: str,
    *,
    queue: str = DEFAULT_QUEUE,
    max_attempts: int | None = None,
    timeout_s: float | None = None,
    backoff_s: tuple[float, float] = (1.0, 60.0),
) -> Callable[[TaskFunction], TaskFunction]:
    """Makes a function a kind of job. Its first parameter is annotated with a pydantic model: the input.

    Args:
        name: what clients submit; lower case, digits, ``-`` and ``_``.
        queue: where it waits when the submission names none.
        max_attempts: else the setting of that name.
        timeout_s: seconds that one attempt may take, where the submission says nothing.
        backoff_s: (first, longest) seconds before another attempt; doubled each time, with full jitter.

    Raises:
        ValueError: the name is taken by another function, or malformed.
        TypeError: the function's input is not annotated with a model.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"@job({name!r}): use 1 to 64 lower-case letters, digits, '-' and '_'")

    def register(function: TaskFunction) -> TaskFunction:
        known = _kinds.get(name)
        if known and (known.function.__module__, known.function.__qualname__) != (
            function.__module__,
            function.__qualname__,
        ):
            raise ValueError(f"@job({name!r}): {known.function.__module__}.{known.function.__qualname__} has this name")
        title, description = _described(name, function)
        _kinds[name] = Kind(
            name,
            function,
            _input_model(function),
            queue,
            max_attempts,
            timeout_s,
            backoff_s,
            title,
            description,
        )
        return function

    return register


def route(name: str, queue: str) -> None:
    """Lets jobs of a kind wait elsewhere than the kind says. Raises KeyError where there is no such kind."""
    _kinds[name] = replace(_kinds[name], queue=queue)


def kinds() -> dict[str, Kind]:
    """All kinds by name."""
    return dict(_kinds)


def _input_model(function: TaskFunction) -> type[BaseModel]:
    hints = typing.get_type_hints(function)
    first = next(iter(inspect.signature(function).parameters), "")
    model = hints.get(first)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{function.__qualname__}: annotate its first parameter with a pydantic model, the job's input")
    return model


def _described(name: str, function: TaskFunction) -> tuple[str, str]:
    text = inspect.getdoc(function) or ""
    first, _, _ = text.partition("\n\n")
    return name.replace("-", " ").replace("_", " ").capitalize(), " ".join(first.split())
