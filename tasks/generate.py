"""The kind `generate`: text from a language model, token by token."""

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from progress.settings import current
from tasks.llm import ChatRequest, Completion, LlmClient
from tasks.progress import Progress, Resumed
from tasks.registry import job

MAX_PROMPT_CHARS: Final = 500_000
CHECKPOINT_S: Final = 1.0
"""Text of about this long is written, and paid for, again after a lost attempt."""

Text = Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARS)]


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: Text


class GenerateInput(BaseModel):
    """Either a prompt or a conversation."""

    model_config = ConfigDict(extra="forbid")

    prompt: Text | None = Field(None, title="Prompt", description="What the model is asked")
    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="A conversation, instead of a prompt"
    )
    system: Text | None = Field(None, title="System", description="How the model is to behave")
    model: str | None = Field(None, max_length=200, title="Model", description="The server's default where empty")
    temperature: float = Field(0.7, ge=0, le=2, title="Temperature", description="0 is strict, 2 is wild")
    max_tokens: int = Field(1024, ge=1, le=32_768, title="Longest answer", description="In tokens")

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self

    def conversation(self) -> list[dict[str, str]]:
        """The messages as the model server wants them."""
        turns = self.messages or [Message(role="user", content=self.prompt or "")]
        system = [{"role": "system", "content": self.system}] if self.system else []
        return system + [{"role": turn.role, "content": turn.content} for turn in turns]


class Usage(BaseModel):
    """Tokens as the model server counted them; null where it did not.

    After a lost attempt: those of the last request, whose prompt holds the text that was kept, and for the text that
    was kept the pieces in which it came.
    """

    prompt_tokens: int | None
    completion_tokens: int | None


class GenerateResult(BaseModel):
    """What the model wrote."""

    text: str
    model: str
    finish_reason: str | None
    usage: Usage


@lru_cache(maxsize=1)
def client() -> LlmClient:
    """The connections of this process to the model server."""
    settings = current()
    return LlmClient(settings.llm_base_url, settings.llm_api_key, settings.llm_model)


@job("generate", queue="llm")
def generate(task_input: GenerateInput, progress: Progress) -> GenerateResult:
    """Writes text from a prompt or a conversation, and shows each token as it is made."""
    kept = Kept.of(progress.resumed)
    if kept.tokens >= task_input.max_tokens:
        return kept.result()
    with client().stream(request_for(task_input, kept), on_open=progress.on_over) as answer:
        saved_at = time.monotonic()
        for tokens, text in enumerate(answer, kept.tokens + 1):
            progress.token(text)
            if current().llm_continues and time.monotonic() - saved_at >= CHECKPOINT_S:
                progress.checkpoint({"tokens": tokens, "model": answer.completion.model})
                saved_at = time.monotonic()
    return kept.joined(answer.completion)


@dataclass(frozen=True)
class Kept:
    """What earlier attempts have written: it is paid for, and the reader has seen it."""

    text: str = ""
    tokens: int = 0
    model: str = ""

    @classmethod
    def of(cls, resumed: Resumed | None) -> "Kept":
        """From the last checkpoint, if there is one."""
        return cls(resumed.text, **resumed.state) if resumed else cls()

    def result(self) -> GenerateResult:
        """Where there is nothing to add: the attempt was lost between its last token and its end."""
        usage = Usage(prompt_tokens=None, completion_tokens=self.tokens)
        return GenerateResult(text=self.text, model=self.model, finish_reason="length", usage=usage)

    def joined(self, made: Completion) -> GenerateResult:
        """With what this attempt has added."""
        counted = made.completion_tokens
        completion = None if counted is None else self.tokens + counted
        usage = Usage(prompt_tokens=made.prompt_tokens, completion_tokens=completion)
        return GenerateResult(
            text=self.text + made.text, model=made.model, finish_reason=made.finish_reason, usage=usage
        )


def request_for(task_input: GenerateInput, kept: Kept) -> ChatRequest:
    """What is asked of the model server: to begin, or to go on after what is kept."""
    return ChatRequest(
        messages=task_input.conversation(),
        model=task_input.model,
        temperature=task_input.temperature,
        max_tokens=task_input.max_tokens - kept.tokens,
        continue_text=kept.text or None,
    )
