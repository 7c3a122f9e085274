"""The kind `generate`: text from a language model, token by token."""

from functools import lru_cache
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from progress.settings import current
from tasks.llm import ChatRequest, LlmClient
from tasks.progress import Progress
from tasks.registry import job

MAX_PROMPT_CHARS = 500_000

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
    """Tokens as the model server counted them; null where it did not."""

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
    request = ChatRequest(
        messages=task_input.conversation(),
        model=task_input.model,
        temperature=task_input.temperature,
        max_tokens=task_input.max_tokens,
    )
    with client().stream(request, on_open=progress.on_over) as stream:
        for text in stream:
            progress.token(text)
    made = stream.completion
    usage = Usage(prompt_tokens=made.prompt_tokens, completion_tokens=made.completion_tokens)
    return GenerateResult(text=made.text, model=made.model, finish_reason=made.finish_reason, usage=usage)
