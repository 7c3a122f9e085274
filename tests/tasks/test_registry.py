"""What `@job` notes about a task function, and what it refuses."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from tasks import registry
from tasks.progress import Progress
from tasks.registry import DEFAULT_QUEUE, job, kinds


class Words(BaseModel):
    """Some words."""

    words: list[str] = Field(min_length=1, description="what to say")


@pytest.fixture(autouse=True)
def known_kinds() -> Iterator[None]:
    """Kinds that a test makes are forgotten after it."""
    before = registry.kinds()
    yield
    registry._kinds.clear()
    registry._kinds.update(before)


def test_a_function_stays_what_it_was() -> None:
    def say(task_input: Words, progress: Progress) -> int:
        """Says words."""
        return len(task_input.words)

    assert job("say")(say) is say
    assert kinds()["say"].function is say


def test_a_kind_has_the_functions_first_paragraph_and_its_inputs_schema() -> None:
    @job("say-it_all", queue="llm", max_attempts=5, timeout_s=9.5, backoff_s=(2, 30))
    def say(task_input: Words, progress: Progress) -> None:
        """Says words, one after
        the other.

        And more that is for those who read the source.
        """

    kind = kinds()["say-it_all"]
    assert (kind.title, kind.description) == ("Say it all", "Says words, one after the other.")
    assert (kind.queue, kind.max_attempts, kind.timeout_s, kind.backoff_s) == ("llm", 5, 9.5, (2, 30))
    assert kind.input_schema["properties"]["words"]["description"] == "what to say"


def test_a_kind_without_a_docstring_or_options_has_defaults() -> None:
    @job("quiet")
    def quiet(task_input: Words, progress: Progress) -> None:
        pass

    kind = kinds()["quiet"]
    assert (kind.description, kind.queue, kind.max_attempts, kind.timeout_s) == ("", DEFAULT_QUEUE, None, None)


def test_an_input_is_validated_by_its_model() -> None:
    @job("say")
    def say(task_input: Words, progress: Progress) -> None:
        pass

    assert kinds()["say"].validate({"words": ["a"]}) == Words(words=["a"])
    with pytest.raises(ValidationError):
        kinds()["say"].validate({"words": []})


def test_annotations_may_be_text() -> None:
    @job("late")
    def late(task_input: "Words", progress: "Progress") -> None:
        pass

    assert kinds()["late"].input_model is Words


@pytest.mark.parametrize("name", ["", "Say", "say it", "säy", "say/it", "s²", "x" * 65, "say\n"])
def test_a_malformed_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case"):
        job(name)


def _first(task_input: Words, progress: Progress) -> None:
    """One function."""


def _second(task_input: Words, progress: Progress) -> None:
    """Another one."""


def test_two_functions_cannot_have_one_name() -> None:
    job("say")(_first)
    with pytest.raises(ValueError, match=r"_first has this name"):
        job("say")(_second)
    assert kinds()["say"].function is _first


def test_a_module_may_be_imported_again() -> None:
    job("say")(_first)
    job("say", queue="cpu")(_first)
    assert kinds()["say"].queue == "cpu"


def _untyped(task_input, progress):  # type: ignore[no-untyped-def]  # what is to be refused
    pass


def _json(task_input: dict[str, Any], progress: Progress) -> None:
    pass


def _number(task_input: int, progress: Progress) -> None:
    pass


def _none() -> None:
    pass


@pytest.mark.parametrize("function", [_untyped, _json, _number, _none])
def test_a_function_whose_input_is_no_model_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match=f"{function.__name__}: annotate its first parameter"):
        job("say")(function)
    assert "say" not in kinds()


def test_what_kinds_gives_is_a_copy() -> None:
    kinds().clear()
    job("say")(_first)
    kinds().pop("say")
    assert "say" in kinds()
