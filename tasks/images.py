"""The client of image servers: asks for a picture by OpenAI's protocol, with previews where the server has them."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx
from httpx_sse import EventSource
from pydantic import BaseModel, ValidationError

from tasks.chat import garbage, refusal, status_within
from tasks.endpoint import ModelClient, is_stream, limit, media_type_of, read_text, read_whole
from tasks.errors import ModelError
from tasks.line import Abort, Line
from tasks.pictures import MAX_BYTES, NoPicture, Picture, checked

__all__ = ["ImageClient", "ImageRequest", "Made", "Picture"]

MAX_ANSWER_BYTES: Final = MAX_BYTES * 4 // 3 + 64 * 1024
MAX_STREAM_BYTES: Final = 4 * MAX_ANSWER_BYTES
"""Of the picture and of three previews."""
PREVIEWS: Final = 2
_DROPPED: Final = {"stream": ("stream", "partial_images"), "partial_images": ("stream", "partial_images")}
_OPTIONAL: Final = ("response_format", "stream", "partial_images", "seed")


@dataclass(frozen=True)
class ImageRequest:
    """What is asked for.

    Args:
        model: empty for the server's own default.
        size: as ``1024x1024``; empty for the server's.
        seed: the same one gives the same picture, where the server knows seeds.
    """

    prompt: str
    model: str = ""
    size: str = ""
    seed: int | None = None

    def body(self, quirks: frozenset[str]) -> dict[str, Any]:
        """The JSON to send to a server that takes no fields of the names in ``quirks``."""
        told = {"model": self.model, "size": self.size, "seed": self.seed}
        body = {name: value for name, value in told.items() if value not in ("", None)}
        # Without the format dall-e-2 and -3 answer with an address; gpt-image-1 knows no other, and refuses the word.
        body |= {"response_format": "b64_json", "stream": True, "partial_images": PREVIEWS}
        return {"prompt": self.prompt, "n": 1, **{name: body[name] for name in body if name not in quirks}}


@dataclass(frozen=True)
class Made:
    """A picture, and whether the server took the seed that it was asked for with."""

    picture: Picture
    seeded: bool


class ImageClient(ModelClient):
    """Asks for pictures; one for all threads of a process.

    A request that names no model leaves it to the client, which leaves it to the server.
    """

    setting = "IMAGE"
    silence_s = 180.0
    """Servers without previews say nothing until the picture is done."""

    def draw(
        self,
        request: ImageRequest,
        *,
        on_open: Callable[[Abort], None] | None = None,
        on_preview: Callable[[Picture], None] | None = None,
    ) -> Made:
        """Waits for a picture.

        Args:
            on_open: is given a function that ends the request from any thread, before anything is sent.
            on_preview: is given each preview, in this thread; what it raises ends the request.

        Raises:
            ModelError: as ``LlmClient.stream`` says; ``model_garbage`` also where what came is no picture.
        """
        if not request.model:
            request = replace(request, model=self._model)
        line = self._endpoint.line()
        if on_open is not None:
            on_open(line.abort)
        with line.errors():
            response = self._open(request, line)
        try:
            streamed = is_stream(response)
            picture = self._followed(response, line, on_preview) if streamed else self._read(response, line)
        finally:
            response.close()
        return Made(picture, "seed" not in self._quirks[request.model])

    def _open(self, request: ImageRequest, line: Line) -> httpx.Response:
        """The answer to a request, sent again without what the server turns out not to know."""
        quirks = self._quirks.get(request.model, frozenset())
        while True:
            body = request.body(quirks)
            response = self._endpoint.send("POST", "/images/generations", line, body)
            if response.is_success:
                self._quirks[request.model] = quirks
                return response
            text = read_text(response)
            learnt = learn_quirks(response.status_code, text, body)
            if not learnt:
                raise refusal(response.status_code, text, response.headers)
            quirks |= learnt

    def _read(self, response: httpx.Response, line: Line) -> Picture:
        with line.errors():
            if media_type_of(response) != "application/json":
                raise self._endpoint.unexpected(response, read_text(response), "a picture")
            return read_answer(read_whole(response, MAX_ANSWER_BYTES))

    def _followed(self, response: httpx.Response, line: Line, on_preview: Callable[[Picture], None] | None) -> Picture:
        # An event stream is UTF-8, whatever its header says.
        response.encoding = "utf-8"
        limit(response, MAX_STREAM_BYTES)
        events = (event.data for event in EventSource(response).iter_sse() if event.data)
        for data in _without_leaks(events, line):
            with line.errors():
                picture, done = read_event(data)
            if done and picture:
                return picture
            if picture and on_preview:
                on_preview(picture)
        line.check()
        raise ModelError("model_cut", "the image server ended in the middle of its answer", retryable=True)


def _without_leaks(events: Iterator[str], line: Line) -> Iterator[str]:
    """The events; what the network does to them comes as ModelError."""
    while True:
        with line.errors():
            data = next(events, None)
        if data is None or data == "[DONE]":
            return
        yield data


class _Image(BaseModel):
    b64_json: str | None = None
    url: str | None = None


class _Answer(BaseModel):
    data: list[_Image]


class _Event(BaseModel):
    type: str = ""
    b64_json: str | None = None
    error: Any = None


def read_answer(body: bytes) -> Picture:
    """The first picture of an answer.

    Raises:
        ModelError: there is none in it (``model_garbage``), or only the address of one (``model_rejected``).
    """
    try:
        images = _Answer.model_validate_json(body).data
    except ValidationError:
        raise garbage("sent something that is no answer with a picture", body[:2000].decode(errors="replace")) from None
    found = images[0] if images else _Image()
    if found.b64_json is None and found.url:
        message = "the image server sends addresses, not pictures: choose a model that answers with b64_json"
        raise ModelError("model_rejected", message)
    return _picture(found.b64_json or "")


def read_event(data: str) -> tuple[Picture | None, bool]:
    """The picture in an event of a stream, and whether it is the last one; None where the event is of another sort.

    Raises:
        ModelError: it cannot be read (``model_garbage``), or is an error in the place of one.
    """
    try:
        event = _Event.model_validate_json(data)
    except ValidationError:
        raise garbage("sent something that is no event of a picture", data[:2000]) from None
    if event.error or event.type == "error":
        raise refusal(status_within(event.error), data)
    done = event.type.endswith(".completed")
    if not done and not event.type.endswith(".partial_image"):
        return None, False
    return _picture(event.b64_json or ""), done


def _picture(text: str) -> Picture:
    try:
        # Some servers send the address of a data URL in the place of its contents.
        return checked(base64.b64decode(re.sub(r"^data:[^,]{0,100},", "", text, count=1), validate=True))
    except binascii.Error:
        raise garbage("sent a picture that is not in base64", text[:40]) from None
    except NoPicture as error:
        raise garbage(f"sent something that is no picture: {error}") from None


def learn_quirks(status: int, body: str, sent: dict[str, Any]) -> frozenset[str]:
    """The fields to leave out for a server that has refused what was sent; none where it names none of them."""
    if status not in (400, 422):
        return frozenset()
    named = _named(body)
    first = next((name for name in _OPTIONAL if name in sent and re.search(rf"\b{name}\b", named)), None)
    return frozenset(_DROPPED.get(first, (first,))) if first else frozenset()


def _named(body: str) -> str:
    """Where a refusal names what it refuses: OpenAI's ``param``, else anywhere in it."""
    try:
        error = json.loads(body)["error"]
        return error["param"] or body
    except (ValueError, KeyError, TypeError):
        return body
