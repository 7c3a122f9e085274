"""The kind workflow: what it takes, what it refuses at submission, and how values go from step to step."""

from typing import Any

import pytest
from pydantic import ValidationError

import tasks.generate
import tasks.kinds.score
import tests.support.kinds  # noqa: F401  # registers kinds that need no model
from progress.jobs import uuid7
from tasks.family import InProcess
from tasks.kinds.workflow import WorkflowInput, workflow
from tasks.progress import PrintSink, Progress
from tasks.registry import kinds

assert tasks.generate
assert tasks.kinds.score


def speaking(*pieces: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "speak", "input": {"pieces": list(pieces)}, **fields}


def run(*steps: dict[str, Any]) -> dict[str, Any]:
    sink = PrintSink()
    progress = Progress(sink)
    progress.family = InProcess(sink)
    made: dict[str, Any] = workflow(WorkflowInput.model_validate({"steps": steps}), progress).model_dump()
    return made


def test_steps_run_in_order_and_take_values_from_those_before() -> None:
    counted = {"kind": "count", "input": {"total": "${draft.characters}"}}
    assert run(speaking("abc", name="draft"), counted) == {
        "steps": {"draft": {"characters": 3}, "step2": {"total": 3}},
        "result": {"total": 3},
    }


def test_steps_side_by_side_make_a_list() -> None:
    beside = {"name": "both", "parallel": [speaking("a", name="one"), speaking("bc")]}
    made = run(beside, {"kind": "count", "input": {"total": "${both.1.characters}"}})
    assert made["steps"]["both"] == [{"characters": 1}, {"characters": 2}]
    assert made["steps"]["one"] == {"characters": 1}
    assert made["steps"]["step1_2"] == {"characters": 2}
    assert made["result"] == {"total": 2}


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ([], "at least 1"),
        ([{"kind": "nope", "input": {}}], "steps.0.kind: there is no kind 'nope'"),
        ([{"kind": "count", "input": {"total": -1}}], "steps.0.input.total: Input should be greater"),
        (
            [{"kind": "count", "input": {"total": "${later.n}"}}],
            "steps.0.input: no step before this one",
        ),
        ([speaking("a", name="x"), speaking("b", name="x")], "steps.1.name: 'x' is taken"),
        ([{"parallel": [speaking("a", name="x"), speaking("${x}")]}], "steps.0.parallel.1.input: no step before"),
        ([{"parallel": []}], "at least 1"),
        ([speaking("${a b}")], "is no reference"),
        ([speaking("a", name="1")], "String should match"),
        ([speaking("a", more=1)], "Extra inputs"),
    ],
)
def test_what_cannot_be_is_refused_at_submission(steps: list[Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        WorkflowInput(steps=steps)


def test_files_in_inputs_of_steps_are_known() -> None:
    file_id = uuid7()
    steps = [speaking("a"), {"parallel": [{"kind": "score", "input": {"file": file_id}}]}]
    found = kinds()["workflow"].files(WorkflowInput.model_validate({"steps": steps}))
    assert found == [("steps.1.parallel.0.input.file", file_id)]


def test_a_value_that_is_not_there_yet_may_stand_where_the_kind_wants_another_type() -> None:
    counted = {"kind": "count", "input": {"total": "${step1.characters}"}}
    WorkflowInput.model_validate({"steps": [speaking("a"), counted]})
