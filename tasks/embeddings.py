"""The client of embedding servers: vectors of texts by OpenAI's protocol."""

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from tasks.chat import first_model, garbage
from tasks.endpoint import ModelClient, media_type_of, read_text, read_whole
from tasks.line import Abort, Line

MAX_TEXTS: Final = 2048
"""Of one request; OpenAI takes no more."""
MAX_DIMENSIONS: Final = 8192
MAX_ANSWER_BYTES: Final = 256 * 1024 * 1024
QUIRK: Final = "encoding_format"
"""What servers may not know: vectors as base64 are a quarter as long, and read a hundred times as fast."""


@dataclass(frozen=True)
class Embedded:
    """The vectors of some texts, in their order.

    ``vectors`` are float32, little-endian; all have as many ``dimensions``. ``tokens`` are the server's own count, None
    where it gives none.
    """

    vectors: list[bytes]
    dimensions: int
    model: str
    tokens: int | None


class EmbeddingClient(ModelClient):
    """Asks for vectors; one for all threads of a process.

    Without a model it takes the first that the server lists with "embed" in its name, else the first.
    """

    setting = "EMBED"

    def embed(self, texts: Sequence[str], *, on_open: Callable[[Abort], None] | None = None) -> Embedded:
        """Waits for the vectors of 1 to 2048 texts.

        Args:
            on_open: is given a function that ends the request from any thread, before anything is sent.

        Raises:
            ModelError: as ``LlmClient.stream`` says; ``model_garbage`` also where they are not as many as the texts,
                not of one length, or not finite.
        """
        line = self._endpoint.line()
        if on_open is not None:
            on_open(line.abort)
        with line.errors():
            model = self._default_model(line)
            return read_answer(self._ask(texts, model, line), len(texts), model)

    def _pick(self, names: list[str]) -> str | None:
        return pick_model(names)

    def _ask(self, texts: Sequence[str], model: str, line: Line) -> bytes:
        while True:
            optional = {} if QUIRK in self._quirks.get(model, ()) else {QUIRK: "base64"}
            body: dict[str, Any] = {"model": model, "input": list(texts), **optional}
            response = self._endpoint.send("POST", "/embeddings", line, body)
            if response.is_success and media_type_of(response) == "application/json":
                return read_whole(response, MAX_ANSWER_BYTES)
            text = read_text(response)
            if not optional or response.status_code not in (400, 422) or not re.search(rf"\b{QUIRK}\b", text):
                raise self._endpoint.unexpected(response, text, "vectors")
            self._quirks[model] = frozenset({QUIRK})


def pick_model(names: list[str]) -> str | None:
    """Of a server's models the one that embeds, by its name; else the first."""
    return next((name for name in names if "embed" in name.lower()), first_model(names))


class _Vector(BaseModel):
    index: int | None = None
    embedding: str | list[float]


class _Usage(BaseModel):
    prompt_tokens: int | None = None


class _Answer(BaseModel):
    data: list[_Vector]
    model: str | None = None
    usage: _Usage | None = None


def read_answer(body: bytes, count: int, model: str) -> Embedded:
    """The ``count`` vectors in an answer, by their ``index``.

    Raises:
        ModelError: ``model_garbage``.
    """
    try:
        answer = _Answer.model_validate_json(body)
    except ValidationError:
        raise garbage("sent something that is no answer with vectors", body[:2000].decode(errors="replace")) from None
    places = [place if one.index is None else one.index for place, one in enumerate(answer.data)]
    if sorted(places) != list(range(count)):
        raise garbage(f"sent {len(places)} vectors for {count} texts, or numbered them otherwise")
    packed = dict(zip(places, (_packed(one.embedding) for one in answer.data), strict=True))
    vectors = [packed[place] for place in range(count)]
    if len({len(vector) for vector in vectors}) > 1:
        raise garbage("sent vectors of different lengths")
    tokens = answer.usage.prompt_tokens if answer.usage else None
    return Embedded(vectors, len(vectors[0]) // 4, answer.model or model, tokens)


def _packed(embedding: str | list[float]) -> bytes:
    try:
        if isinstance(embedding, str):
            raw = base64.b64decode(embedding, validate=True)
            values: Sequence[float] = struct.unpack(f"<{len(raw) // 4}f", raw)
        else:
            values, raw = embedding, struct.pack(f"<{len(embedding)}f", *embedding)
    except (binascii.Error, struct.error, OverflowError):
        raise garbage("sent a vector that is neither numbers nor base64 of float32") from None
    if not 1 <= len(values) <= MAX_DIMENSIONS or not all(map(math.isfinite, values)):
        raise garbage(f"sent a vector of {len(values)} numbers, or of some that are not finite")
    return raw
