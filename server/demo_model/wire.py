"""The bodies of OpenAI's chat completions as the demo model takes and gives them, and of its errors; values only."""

import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from server.demo_model.behaviour import Behaviour, BehaviourError, take_directives
from server.demo_model.model import count_pieces

MODEL: Final = "demo"
IMAGE_MODEL: Final = "demo-image"
EMBED_MODEL: Final = "demo-embed"
MAX_TOKENS: Final = 1_000_000
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class TextPart(BaseModel):
    """The one kind of part that this model reads."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One turn. Fields that other servers know are let be, here and below."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None

    @property
    def text(self) -> str:
        """The content as one string."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(BaseModel):
    """How the stream is wanted."""

    include_usage: bool = False


Stop = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=MAX_TOKENS)]


class ChatBody(BaseModel):
    """A request. ``continue_final_message`` is vLLM's: go on after the last message, which is the assistant's."""

    model_config = ConfigDict(extra="allow")

    messages: list[Message] = Field(min_length=1)
    model: str = MODEL
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    seed: int | None = None
    stop: Stop | list[Stop] | None = None
    n: Literal[1] | None = None
    continue_final_message: bool = False
    demo: dict[str, Any] | None = None

    @property
    def limit(self) -> int | None:
        """Most tokens to generate."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def stops(self) -> list[str]:
        """Strings that end the text."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def given(self) -> str:
        """What is written already."""
        return self.messages[-1].text if self.continue_final_message and self.messages[-1].role == "assistant" else ""

    @property
    def prompt(self) -> str:
        """The last thing that the user said."""
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")

    @property
    def prompt_tokens(self) -> int:
        """The tokens of all messages."""
        return sum(count_pieces(message.text) for message in self.messages)


class Refusal(Exception):
    """An answer in OpenAI's form of an error."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.content = error_content(status, message, code, param)
        self.headers: dict[str, str] = {}


def error_content(status: int, message: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """The JSON of an error."""
    kinds = {401: "authentication_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def read_behaviour(said: str, demo: dict[str, Any] | None, header: str) -> tuple[Behaviour, str]:
    """What a request asks of the server, and its prompt ``said`` without the directives.

    Raises:
        Refusal: a directive means nothing (400).
    """
    try:
        told, prompt = take_directives(said)
        told = Behaviour.parse(header).over(Behaviour.of(demo or {})).over(told)
    except BehaviourError as error:
        raise Refusal(400, str(error), param="demo") from None
    return told, prompt


def sse(content: Any, event: str = "") -> bytes:
    """One message of an event stream. Line ends are escaped by JSON; every other character goes as it is."""
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {_ENCODER.encode(content)}\n\n".encode()


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """The JSON of a usage."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
