"""OpenAI chat completions as a client reads and writes them: bodies, chunks and refusals; values only, no I/O."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from tasks.errors import ModelError

MAX_MESSAGE_CHARS: Final = 500
"""Most of a server's own words in an error."""
MOVED: Final = "max_completion_tokens"
"""What newer servers call ``max_tokens``."""


@dataclass(frozen=True)
class ChatRequest:
    """What is asked of a model.

    Args:
        messages: turns as ``{"role": …, "content": …}``.
        model: None for the client's default.
        temperature: None for the server's default; some models take no other.
        seed: the same one gives the same text, where the server heeds it.
        continue_text: text that is written already and to be gone on with (vLLM's ``continue_final_message``).
    """

    messages: list[dict[str, str]]
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    continue_text: str | None = None

    def body(self, model: str, quirks: frozenset[str]) -> dict[str, Any]:
        """The JSON to send to a server whose refusals have taught us ``quirks``."""
        limit = MOVED if MOVED in quirks else "max_tokens"
        optional = {"temperature": self.temperature, limit: self.max_tokens, "seed": self.seed}
        body: dict[str, Any] = {name: value for name, value in optional.items() if value is not None}
        if "stream_options" not in quirks:
            body["stream_options"] = {"include_usage": True}
        return {"model": model, "messages": self.messages, "stream": True, **body, **self._continuation()}

    def _continuation(self) -> dict[str, Any]:
        if not self.continue_text:
            return {}
        given = {"role": "assistant", "content": self.continue_text}
        return {"messages": [*self.messages, given], "continue_final_message": True, "add_generation_prompt": False}


@dataclass
class Completion:
    """What a model has answered so far. The counts are the server's own, None where it gives none."""

    model: str
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All pieces, joined."""
        return "".join(self.pieces)


class _Delta(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(BaseModel):
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


def read_chunk(data: str, completion: Completion) -> str:
    """Takes one message of the stream into the completion and gives its text, which may be empty.

    Raises:
        ModelError: it isn't a chunk (``model_garbage``), or an error in the place of one.
    """
    try:
        chunk = _Chunk.model_validate_json(data)
    except ValidationError:
        raise garbage("sent something that is no chunk of a chat completion", data) from None
    if chunk.error:
        raise refusal(status_within(chunk.error), data)
    if chunk.choices is None and chunk.usage is None:
        raise garbage("sent a chunk without choices", data)
    return _take(chunk, completion)


def _take(chunk: _Chunk, completion: Completion) -> str:
    # Some servers send usage with the finish reason, some behind it with no choices, some with every chunk.
    completion.model = chunk.model or completion.model
    if chunk.usage is not None:
        completion.prompt_tokens = chunk.usage.prompt_tokens
        completion.completion_tokens = chunk.usage.completion_tokens
    choice = next((choice for choice in chunk.choices or () if choice.index == 0), None)
    if choice is None:
        return ""
    completion.finish_reason = choice.finish_reason or completion.finish_reason
    text = choice.delta.content if choice.delta else None
    if text:
        completion.pieces.append(text)
    return text or ""


def status_within(error: Any) -> int:
    """The HTTP status that an error inside a stream names as its code, else 500."""
    code = error.get("code") if isinstance(error, dict) else None
    status = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal()) else 500
    return status if 400 <= status < 600 else 500


def refusal(status: int, body: str, headers: Mapping[str, str] | None = None) -> ModelError:
    """The error that an answer other than 200 means."""
    code, retryable = _meaning(status)
    if "insufficient_quota" in body:
        retryable = False  # 429 too, but no wait fills an account
    reason = f"it redirects to {headers['location']}" if headers and "location" in headers else server_message(body)
    message = f"the model server answered {status}: {reason}"
    return ModelError(code, message, retryable=retryable, retry_after_s=retry_after_s(headers or {}))


def _meaning(status: int) -> tuple[str, bool]:
    if status == 429:
        return "model_rate_limited", True
    if status in (401, 403):
        return "model_refused", False
    if status == 408:
        return "model_timeout", True
    if status >= 500:
        return "model_failed", True
    return "model_rejected", False


def garbage(what: str, text: str = "") -> ModelError:
    """The error of an answer that is not what was asked for."""
    shown = f": {_shorten(text)}" if text else ""
    return ModelError("model_garbage", f"the model server {what}{shown}", retryable=True)


def learn_quirk(status: int, body: str, sent: Mapping[str, Any]) -> str | None:
    """What to do otherwise for a server that has refused what was sent: a name for ``ChatRequest.body``, or None."""
    if status not in (400, 422):
        return None
    if "max_tokens" in sent and MOVED in body:
        return MOVED
    return "stream_options" if "stream_options" in sent and "stream_options" in body else None


def server_message(body: str) -> str:
    """The words for people in an error's body, cut to 500 characters."""
    try:
        found = _message_in(json.loads(body))
    except ValueError:
        found = ""
    page = body.lstrip().startswith("<")
    return _shorten(found or ("" if page else body)) or "no reason given"


def _message_in(content: Any) -> str:
    """OpenAI: ``error.message``; Ollama: ``error``; FastAPI: ``detail``; older vLLM: ``message``."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return next((_message_in(content[name]) for name in ("error", "message", "detail") if content.get(name)), "")
    return json.dumps(content, ensure_ascii=False) if content else ""


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_MESSAGE_CHARS else f"{line[: MAX_MESSAGE_CHARS - 1]}…"


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


def listed_models(body: str) -> list[str]:
    """The models in an answer of ``/models``, in its order; none where the answer is another."""
    try:
        return [model.id for model in _Models.model_validate_json(body).data]
    except ValidationError:
        return []


def first_model(names: list[str]) -> str | None:
    """The first one, if there is any."""
    return names[0] if names else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by ``retry-after-ms`` (OpenAI's) or ``Retry-After`` (RFC 9110: seconds or a date)."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    return seconds if seconds is not None or value is None else _seconds_until(value)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _seconds_until(date: str) -> float | None:
    try:
        when = parsedate_to_datetime(date)
    except ValueError:
        return None
    # A date without a zone means UTC there.
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
