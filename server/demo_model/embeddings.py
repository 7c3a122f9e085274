"""OpenAI's embeddings as the demo model takes and gives them."""

import asyncio
import base64
import struct
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Send

from server.demo_model.behaviour import Behaviour
from server.demo_model.model import count_pieces
from server.demo_model.response import Work
from server.demo_model.vectors import MOST_DIMENSIONS, USUAL_DIMENSIONS, vector
from server.demo_model.wire import EMBED_MODEL

MOST_TEXTS: Final = 2048
Text = Annotated[str, Field(min_length=1, max_length=100_000)]


class EmbedBody(BaseModel):
    """A request."""

    model_config = ConfigDict(extra="allow")

    input: Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_TEXTS)]
    model: str = EMBED_MODEL
    dimensions: int = Field(USUAL_DIMENSIONS, ge=1, le=MOST_DIMENSIONS)
    encoding_format: Literal["float", "base64"] = "float"
    demo: dict[str, Any] | None = None

    @property
    def texts(self) -> list[str]:
        """Each text."""
        return [self.input] if isinstance(self.input, str) else self.input

    @property
    def said(self) -> str:
        """All of them, for directives."""
        return "\n".join(self.texts)

    def answer(self) -> dict[str, Any]:
        """The vectors, in the order of the texts. Computes for about 0.1 ms a text."""
        data = [
            {"object": "embedding", "index": index, "embedding": self._encoded(vector(text, self.dimensions))}
            for index, text in enumerate(self.texts)
        ]
        counted = sum(map(count_pieces, self.texts))
        usage = {"prompt_tokens": counted, "total_tokens": counted}
        return {"object": "list", "data": data, "model": EMBED_MODEL, "usage": usage}

    def _encoded(self, values: list[float]) -> list[float] | str:
        if self.encoding_format == "float":
            return values
        return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


@dataclass(frozen=True)
class Vectors:
    """What one answer holds, after ``takes_s``."""

    body: EmbedBody
    behaviour: Behaviour
    takes_s: float


class Embedding(Work):
    """The response."""

    def __init__(self, vectors: Vectors, active: set[asyncio.Task[None]]) -> None:
        super().__init__(vectors.behaviour, active)
        self._vectors = vectors

    async def _deliver(self, send: Send) -> None:
        made, _ = await asyncio.gather(
            asyncio.to_thread(self._vectors.body.answer), asyncio.sleep(self._vectors.takes_s)
        )
        await self._send_whole(made, send)
