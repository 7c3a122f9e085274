"""The kind `generate`: what it takes, and what it makes of the demo model's answer."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from progress.errors import JobCancelled
from progress.settings import current
from tasks.errors import ModelError
from tasks.generate import MAX_PROMPT_CHARS, GenerateInput, client, generate
from tasks.progress import Progress
from tasks.registry import kinds
from tests.support.demo import Demo, running_demo
from tests.tasks.test_progress import ListSink


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running_demo() as demo:
        yield demo


@pytest.fixture
def model(demo: Demo, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    """The demo model as the model server of this process."""
    monkeypatch.setenv("JOBCAST_LLM_BASE_URL", demo.url)
    current.cache_clear()
    client.cache_clear()
    yield demo
    client().close()
    client.cache_clear()


def test_a_prompt_is_a_conversation_of_one_turn() -> None:
    assert GenerateInput(prompt="Hi").conversation() == [{"role": "user", "content": "Hi"}]


def test_a_system_message_comes_first() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    asked = GenerateInput.model_validate({"messages": turns, "system": "Be brief"})
    assert asked.conversation() == [{"role": "system", "content": "Be brief"}, *turns]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"prompt": "a", "messages": [{"role": "user", "content": "b"}]},
        {"prompt": ""},
        {"prompt": "x" * (MAX_PROMPT_CHARS + 1)},
        {"messages": []},
        {"messages": [{"role": "tool", "content": "b"}]},
        {"messages": [{"role": "user", "content": "b", "name": "c"}]},
        {"prompt": "a", "temperature": 2.1},
        {"prompt": "a", "temperature": -0.1},
        {"prompt": "a", "max_tokens": 0},
        {"prompt": "a", "max_tokens": 32_769},
        {"prompt": "a", "top_p": 1},
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GenerateInput.model_validate(wrong)


def test_the_bounds_themselves_are_allowed() -> None:
    asked = GenerateInput(prompt="x" * MAX_PROMPT_CHARS, temperature=2, max_tokens=32_768)
    assert (asked.temperature, GenerateInput(prompt="a").temperature, GenerateInput(prompt="a").max_tokens) == (
        2,
        0.7,
        1024,
    )


def test_it_waits_in_the_queue_of_model_jobs() -> None:
    kind = kinds()["generate"]
    assert kind.queue == "llm"
    assert kind.description == "Writes text from a prompt or a conversation, and shows each token as it is made."


def test_every_piece_is_shown_and_their_sum_is_the_result(model: Demo) -> None:
    sink = ListSink()
    made = generate(GenerateInput(prompt="The sea", max_tokens=20), Progress(sink))
    assert len(sink.tokens) > 1
    assert "".join(text for text, _ in sink.tokens) == made.text
    assert made.finish_reason in {"stop", "length"}
    assert made.usage.completion_tokens
    assert made.usage.prompt_tokens
    assert made.model


def test_a_cancelled_job_asks_the_model_for_no_more(model: Demo) -> None:
    sink = ListSink()

    class Cancelling(Progress):
        def token(self, text: str, channel: str = "main") -> None:
            sink.over = JobCancelled()
            super().token(text, channel)

    with pytest.raises(JobCancelled):
        generate(GenerateInput(prompt="The sea", max_tokens=2000), Cancelling(sink))
    assert sink.tokens == []


def test_a_job_cancelled_before_the_model_answers_is_no_success(model: Demo) -> None:
    sink = ListSink()
    sink.over = JobCancelled()
    with pytest.raises(ModelError, match="aborted"):
        generate(GenerateInput(prompt="The sea"), Progress(sink))
