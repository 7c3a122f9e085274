"""The client of language models: streams chat completions from anything that speaks OpenAI's protocol."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import httpx
from httpx_sse import EventSource

from tasks.chat import ChatRequest, Completion, learn_quirk, read_chunk
from tasks.endpoint import ModelClient, is_stream, read_text
from tasks.errors import ModelError
from tasks.line import Abort, Line

__all__ = ["Answer", "ChatRequest", "Completion", "LlmClient"]

_DONE: Final = "[DONE]"


class Answer:
    """The pieces of one completion as they come; ``completion`` fills with them and is whole once they have ended."""

    def __init__(self, response: httpx.Response, completion: Completion, line: Line) -> None:
        self.completion = completion
        self._line = line
        # An event stream is UTF-8, whatever its header says.
        response.encoding = "utf-8"
        self._events = EventSource(response).iter_sse()

    def __iter__(self) -> Iterator[str]:
        """Yields text, never empty.

        Raises:
            ModelError: the server failed, broke off, fell silent or sent garbage, or the request was aborted.
        """
        while (data := self._next()) != _DONE:
            if data is None:
                self._check_end()
                return
            with self._line.errors():
                text = read_chunk(data, self.completion)
            if text:
                yield text

    def _next(self) -> str | None:
        """The next message that says anything; None at the end."""
        try:
            with self._line.errors():
                return next((event.data for event in self._events if event.data), None)
        except ModelError:
            # Once the model has said why it ended, only its farewell is lost.
            if self.completion.finish_reason is None or self._line.aborted:
                raise
            return None

    def _check_end(self) -> None:
        self._line.check()
        if self.completion.finish_reason is None:
            raise ModelError("model_cut", "the model server ended in the middle of its answer", retryable=True)


class LlmClient(ModelClient):
    """Streams completions; one for all threads of a process.

    A request that names no model goes to the first that the server lists, where the client has none either.
    """

    setting = "LLM"

    @contextmanager
    def stream(self, request: ChatRequest, *, on_open: Callable[[Abort], None] | None = None) -> Iterator[Answer]:
        """Asks for a completion; leaving the context ends the request.

        Args:
            on_open: is given a function that ends the request from any thread, before anything is sent.

        Raises:
            ModelError: ``model_unreachable``, ``model_timeout``, ``model_rate_limited``, ``model_failed``,
                ``model_cut`` and ``model_garbage`` are worth another attempt; ``model_refused``,
                ``model_rejected`` and ``model_aborted`` are not.
        """
        line = self._endpoint.line()
        if on_open is not None:
            on_open(line.abort)
        with line.errors():
            model = request.model or self._default_model(line)
            response = self._open(request, model, line)
        try:
            yield Answer(response, Completion(model), line)
        finally:
            response.close()

    def _open(self, request: ChatRequest, model: str, line: Line) -> httpx.Response:
        """The answer to a request, sent again without what the server turns out not to know."""
        quirks = self._quirks.get(model, frozenset())
        while True:
            body = request.body(model, quirks)
            response = self._endpoint.send("POST", "/chat/completions", line, body)
            if is_stream(response):
                self._quirks[model] = quirks
                return response
            text = read_text(response)
            quirk = learn_quirk(response.status_code, text, body)
            if quirk is None:
                raise self._endpoint.unexpected(response, text, "a stream")
            quirks |= {quirk}
