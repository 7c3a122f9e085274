"""References: what stands for a value of an earlier step, and what does not."""

from typing import Any

import pytest

from tasks.errors import TaskError
from tasks.references import References, resolved

MADE: dict[str, Any] = {"draft": {"text": "so", "n": 3, "list": [{"a": 1}, None]}, "step2": ["x", "y"]}


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        ("${draft}", MADE["draft"]),
        ("${draft.n}", 3),
        ("${draft.list.0.a}", 1),
        ("${draft.list.1}", None),
        ("${step2.1}", "y"),
        ("it is ${draft.text}, ${draft.n} times", "it is so, 3 times"),
        ("${draft.list}!", '[{"a":1},null]!'),
        ("$${draft}", "${draft}"),
        ("5 $ {draft} $x", "5 $ {draft} $x"),
        ({"a": ["${draft.n}", 1, {"b": "${step2}"}]}, {"a": [3, 1, {"b": ["x", "y"]}]}),
        (None, None),
    ],
)
def test_a_reference_becomes_its_value(value: Any, becomes: Any) -> None:
    assert resolved(value, MADE) == becomes


@pytest.mark.parametrize("path", ["nope", "list.7", "list.x", "text.0", "n.a"])
def test_what_a_step_has_not_made_is_named(path: str) -> None:
    with pytest.raises(TaskError, match="has no") as caught:
        resolved(f"${{draft.{path}}}", MADE)
    assert caught.value.code == "bad_reference"


@pytest.mark.parametrize("text", ["${}", "${ draft}", "${1a}", "${draft..a}", "${draft.}"])
def test_what_only_looks_like_a_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no reference"):
        References.of({"a": text})


def test_an_input_tells_what_it_refers_to_and_where() -> None:
    found = References.of({"a": ["${x.y}", "z"], "b": {"c": "and ${y}"}, "d": "$${no}"})
    assert found.names == {"x", "y"}
    assert found.places == {("a", 0), ("b", "c")}
    assert found.covers(("a", 0))
    assert found.covers(("a",))
    assert found.covers(("b", "c", "deep"))
    assert not found.covers(("d",))
    assert not found.covers(("a", 1))
