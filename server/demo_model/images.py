"""OpenAI's image generations as the demo model takes and gives them: a picture, whole or with previews."""

import asyncio
import base64
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.types import Send

from server.demo_model import painter
from server.demo_model.behaviour import Behaviour
from server.demo_model.model import count_pieces
from server.demo_model.response import TOLD_TO_FAIL, Work, forever, send_part, start
from server.demo_model.wire import IMAGE_MODEL, error_content, sse

USUAL_SIZE: Final = (1024, 1024)
SIDES: Final = (64, 2048)
TOKENS: Final = 1000
"""What a picture of 1024 by 1024 counts."""
GARBAGE: Final = b'data: {"type":"image_generation.partial_image","b64\n\n'


class ImageBody(BaseModel):
    """A request. ``seed`` is an extra of many servers: the same one gives the same picture."""

    model_config = ConfigDict(extra="allow")

    prompt: str = Field(min_length=1, max_length=32_000)
    model: str = IMAGE_MODEL
    n: int = Field(1, ge=1, le=4)
    size: str = "auto"
    response_format: Literal["b64_json"] = "b64_json"
    stream: bool = False
    partial_images: int = Field(0, ge=0, le=3)
    seed: int | None = None
    demo: dict[str, Any] | None = None

    @field_validator("size")
    @classmethod
    def _known(cls, size: str) -> str:
        if size != "auto" and not (
            re.fullmatch(r"\d{1,5}x\d{1,5}", size) and all(_fits(int(s)) for s in size.split("x"))
        ):
            raise ValueError(f"give WIDTHxHEIGHT with sides of {SIDES[0]} to {SIDES[1]}, or auto")
        return size

    @property
    def sides(self) -> tuple[int, int]:
        """Width and height."""
        if self.size == "auto":
            return USUAL_SIZE
        wide, high = self.size.split("x")
        return int(wide), int(high)


def _fits(side: int) -> bool:
    return SIDES[0] <= side <= SIDES[1]


@dataclass(frozen=True)
class Picture:
    """What one answer shows: ``said`` is the prompt without directives, and painting takes ``takes_s``."""

    body: ImageBody
    said: str
    behaviour: Behaviour
    takes_s: float
    created: int = field(default_factory=lambda: int(time.time()))

    def paint(self) -> list[list[bytes]]:
        """The files of each picture: its previews, then itself. Computes for tenths of a second."""
        seed = int.from_bytes(self.said.encode()[:4], "big") if self.body.seed is None else self.body.seed
        return [self._files(seed + number) for number in range(self.body.n)]

    def _files(self, seed: int) -> list[bytes]:
        image = painter.paint(self.said, seed, self.body.sides)
        shown = self.body.partial_images if self.body.stream else 0
        previews = [painter.coarse(image, (number + 1) / (shown + 1)) for number in range(shown)]
        return [painter.png(one) for one in (*previews, image)]

    def usage(self) -> dict[str, Any]:
        """Counted in this server's own tokens, pictures by their size."""
        wide, high = self.body.sides
        said, made = count_pieces(self.body.prompt), self.body.n * max(1, TOKENS * wide * high // 1024**2)
        details = {"text_tokens": said, "image_tokens": 0}
        return {
            "input_tokens": said,
            "output_tokens": made,
            "total_tokens": said + made,
            "input_tokens_details": details,
        }

    def event(self, kind: str, file: bytes, **more: Any) -> bytes:
        """One event of a stream."""
        wide, high = self.body.sides
        name = f"image_generation.{kind}"
        shown = {"size": f"{wide}x{high}", "quality": "high", "background": "opaque", "output_format": "png"}
        return sse({"type": name, "b64_json": _text(file), "created_at": self.created, **shown, **more}, name)


class Showing(Work):
    """The response."""

    def __init__(self, picture: Picture, active: set[asyncio.Task[None]]) -> None:
        super().__init__(picture.behaviour, active)
        self._picture = picture

    async def _deliver(self, send: Send) -> None:
        due = asyncio.get_running_loop().time() + self._picture.takes_s
        files = await asyncio.to_thread(self._picture.paint)
        if self._picture.body.stream:
            await self._stream(files[0], due, send)
            return
        await _until(due)
        made = [{"b64_json": _text(one[-1])} for one in files]
        shown = {"created": self._picture.created, "data": made, "usage": self._picture.usage()}
        await self._send_whole(shown, send)

    async def _stream(self, files: Sequence[bytes], due: float, send: Send) -> None:
        await send(start(200, "text/event-stream; charset=utf-8"))
        began, failure = asyncio.get_running_loop().time(), self._told.failure
        for number, file in enumerate(files):
            if failure and number >= failure[1]:
                await self._fail(failure[0], send)
                return
            await _until(began + (due - began) * (number + 1) / len(files))
            last = number == len(files) - 1
            if last:
                part = self._picture.event("completed", file, usage=self._picture.usage())
            else:
                part = self._picture.event("partial_image", file, partial_image_index=number)
            await send_part(send, part, last=last)

    @staticmethod
    async def _fail(name: str, send: Send) -> None:
        if name == "stall":
            await forever()
        if name == "garbage":
            await send_part(send, GARBAGE, last=True)
        if name == "error":
            failed = {"type": "error", **error_content(500, TOLD_TO_FAIL)}
            await send_part(send, sse(failed, "error"), last=True)


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))


def _text(file: bytes) -> str:
    return base64.b64encode(file).decode()
