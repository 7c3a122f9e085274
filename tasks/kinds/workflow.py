"""The kind ``workflow``: other jobs, one after another or side by side, that may take values from those before."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from progress.jobs import Json
from tasks.children import Child
from tasks.fields import FORMAT, FileId, Place, files_in
from tasks.progress import Progress
from tasks.references import NAME, References, resolved
from tasks.registry import job, kinds

MAX_STEPS: Final = 100
MAX_BESIDE: Final = 10_000


class Step(BaseModel):
    """One job. ``name`` is what later steps call it; without one it is ``stepN``, or ``stepN_M`` beside others."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[str, Field(min_length=1, max_length=64, description="One of GET /v1/kinds")]
    # That files may be named in it is told by the name of their format: see Kind.takes_files.
    input: Annotated[
        Json,
        Field(
            description=f"As for the kind, files ({FORMAT}) too; `${{NAME.path}}` stands for a value of an earlier step"
        ),
    ]
    name: Annotated[str | None, Field(pattern=NAME)] = None
    max_attempts: Annotated[int | None, Field(ge=1, le=100)] = None
    timeout_s: Annotated[float | None, Field(gt=0, le=24 * 3600)] = None
    weight: Annotated[float, Field(gt=0, le=1e6, description="Its part of the workflow's progress")] = 1.0


class Parallel(BaseModel):
    """Jobs side by side."""

    model_config = ConfigDict(extra="forbid")

    parallel: Annotated[list[Step], Field(min_length=1, max_length=MAX_BESIDE)]
    name: Annotated[str | None, Field(pattern=NAME, description="Stands for the list of their results")] = None


class WorkflowInput(BaseModel):
    """What is to be done, in order."""

    model_config = ConfigDict(extra="forbid")

    steps: Annotated[list[Step | Parallel], Field(min_length=1, max_length=MAX_STEPS)]

    @model_validator(mode="after")
    def _makes_sense(self) -> "WorkflowInput":
        known: set[str] = set()
        for number, step in enumerate(self.steps, 1):
            names = [name for name, _ in named(step, number)]
            group = [step.name] if isinstance(step, Parallel) and step.name else []
            for place, (name, one) in enumerate(named(step, number)):
                where = f"steps.{number - 1}" + (f".parallel.{place}" if isinstance(step, Parallel) else "")
                _check(one, where, known)
                if name in known or names.count(name) > 1 or name in group:
                    raise ValueError(f"{where}.name: {name!r} is taken by another step")
            known.update(names, group, [f"step{number}"])
        return self


def named(step: Step | Parallel, number: int) -> Iterator[tuple[str, Step]]:
    """The jobs of a step, by their names; ``number`` counts steps from 1."""
    if isinstance(step, Step):
        yield step.name or f"step{number}", step
        return
    for place, one in enumerate(step.parallel, 1):
        yield one.name or f"step{number}_{place}", one


def _check(step: Step, where: str, known: set[str]) -> None:
    found = References.of(step.input)
    if unknown := found.names - known:
        raise ValueError(f"{where}.input: no step before this one is called {min(unknown)!r}")
    kind = kinds().get(step.kind)
    if kind is None:
        raise ValueError(f"{where}.kind: there is no kind {step.kind!r}; there are {', '.join(sorted(kinds()))}")
    try:
        for place, file_id in files_in(kind.validate(step.input)):
            _put(step.input, place, file_id)
    except ValidationError as error:
        for complaint in error.errors():
            # What stands in the place of a value is only known once there is one.
            if not found.covers(complaint["loc"]):
                field = ".".join(map(str, complaint["loc"]))
                raise ValueError(f"{where}.input.{field}: {complaint['msg']}") from None


def _put(inside: Any, place: Place, file_id: FileId) -> None:
    """Lets an input tell that a text in it is a file, as a field of this type would."""
    for part in place[:-1]:
        inside = inside[part]
    inside[place[-1]] = file_id


class WorkflowResult(BaseModel):
    """What each step has made, by its name; ``result`` is that of the last one."""

    steps: Json
    result: Any


@job("workflow", max_attempts=3)
def workflow(task_input: WorkflowInput, progress: Progress) -> WorkflowResult:
    """Runs other jobs, one after another or side by side; inputs may take values from steps before them.

    Each step is a job of its own, and is tried again by itself. Run again, a failed workflow goes on from there.
    """
    made: Json = {}
    last: Any = None
    weights = [sum(one.weight for _, one in named(step, number)) for number, step in enumerate(task_input.steps, 1)]
    for number, step in enumerate(task_input.steps, 1):
        before = sum(weights[: number - 1])
        share = (before / sum(weights), weights[number - 1] / sum(weights))
        jobs = list(named(step, number))
        children = [
            Child(one.kind, resolved(one.input, made), name, max_attempts=one.max_attempts, timeout_s=one.timeout_s)
            for name, one in jobs
        ]
        results = progress.gather(step.name or f"step{number}", children, share=share)
        made |= {name: result for (name, _), result in zip(jobs, results, strict=True)}
        last = results[0] if isinstance(step, Step) else results
        made[step.name or f"step{number}"] = last
    progress.update(1.0)
    return WorkflowResult(steps=made, result=last)
