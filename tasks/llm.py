"""The one client of model servers: streams chat completions from anything that speaks OpenAI's protocol."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Final

import httpx
from httpx_sse import EventSource

from tasks.chat import ChatRequest, Completion, first_model, garbage, learn_quirk, read_chunk, refusal
from tasks.errors import ModelError
from tasks.line import Abort, Line

__all__ = ["Answer", "ChatRequest", "Completion", "LlmClient"]

MAX_ERROR_BYTES: Final = 64 * 1024
"""Most that is read of an answer that is no stream."""
NO_LIST: Final = frozenset((404, 405, 501))
"""What servers answer that don't list their models."""
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


class LlmClient:
    """Streams completions; one for all threads of a process.

    Args:
        base_url: up to ``/v1``.
        api_key: sent as a bearer token; none where empty.
        model: for requests that name none; where empty, the first that the server lists.
        read_timeout_s: longest silence, before the first token too.
        transport: stands in for the network.

    Raises:
        ModelError: the address or the key cannot be used.
    """

    def __init__(  # three settings, two limits, one seam
        self,
        base_url: str,
        api_key: str = "",
        model: str = "",
        *,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = _checked_url(base_url)
        self._key = _checked_key(api_key)
        self._model = model
        self._quirks: dict[str, frozenset[str]] = {}
        self._timeout = httpx.Timeout(read_timeout_s, connect=connect_timeout_s, pool=None)
        self._http = httpx.Client(
            headers={"User-Agent": "jobcast", **({"Authorization": f"Bearer {self._key}"} if self._key else {})},
            timeout=self._timeout,
            # A connection serves one request. Its trace then always tells which socket it is, an abort never hits
            # another's, and none turns out to be closed already. Beside a generation, connecting takes no time.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            mounts=_past_the_proxy(self._url),
            transport=transport,
        )

    def close(self) -> None:
        """Closes all connections."""
        self._http.close()

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
        line = Line(str(self._url.copy_with(userinfo=b"")), self._key, self._timeout)
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
            response = self._send("POST", "/chat/completions", line, body)
            if _is_stream(response):
                self._quirks[model] = quirks
                return response
            text = _read_text(response)
            quirk = learn_quirk(response.status_code, text, body)
            if quirk is None:
                raise _no_stream(response, text)
            quirks |= {quirk}

    def _send(self, method: str, path: str, line: Line, body: Any = None) -> httpx.Response:
        line.check()
        request = self._http.build_request(
            method,
            f"{self._url}{path}",
            json=body,
            # Compression on the way would hold tokens back.
            headers={"Accept": "text/event-stream, application/json", "Accept-Encoding": "identity"},
            extensions={"trace": line.trace},
        )
        return self._http.send(request, stream=True)

    def _default_model(self, line: Line) -> str:
        # Two threads may both ask at the start, which is better than one that waits for the other's slow server.
        if not self._model:
            self._model = self._first_listed(line)
        return self._model

    def _first_listed(self, line: Line) -> str:
        response = self._send("GET", "/models", line)
        text = _read_text(response)
        if not response.is_success and response.status_code not in NO_LIST:
            raise refusal(response.status_code, text, response.headers)
        name = first_model(text)
        if name is None:
            message = f"{line.url} lists no models: set JOBCAST_LLM_MODEL to the one to use"
            raise ModelError("model_rejected", message)
        return name


def _checked_url(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url.rstrip("/"))
        url.host.encode("idna")  # or the look-up of the name would fail in the middle of a job
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ModelError("model_unreachable", f"JOBCAST_LLM_BASE_URL is no address: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or (url.port or 0) > 65_535:
        raise ModelError("model_unreachable", "set JOBCAST_LLM_BASE_URL to the address of a model server")
    return url


def _checked_key(api_key: str) -> str:
    key = api_key.strip()
    if not (key.isascii() and key.isprintable()):
        raise ModelError("model_refused", "JOBCAST_LLM_API_KEY has characters that no HTTP header can carry")
    return key


def _past_the_proxy(url: httpx.URL) -> dict[str, None]:
    """A proxy named in the environment is not on the way to this machine itself."""
    try:
        loopback = ip_address(url.host).is_loopback
    except ValueError:
        loopback = url.host == "localhost"
    host = f"[{url.host}]" if ":" in url.host else url.host
    return {f"all://{host}": None} if loopback else {}


def _is_stream(response: httpx.Response) -> bool:
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return response.status_code == httpx.codes.OK and media_type == "text/event-stream"


def _no_stream(response: httpx.Response, text: str) -> ModelError:
    if not response.is_success:
        return refusal(response.status_code, text, response.headers)
    media_type = response.headers.get("content-type", "no type")
    hint = "does JOBCAST_LLM_BASE_URL lead to a model server? It usually ends in /v1"
    return garbage(f"answered with {media_type} in the place of a stream ({hint})", text)


def _read_text(response: httpx.Response) -> str:
    """The beginning of a body; closes the response."""
    held = bytearray()
    try:
        for part in response.iter_bytes():
            held += part
            if len(held) > MAX_ERROR_BYTES:
                break
    finally:
        response.close()
    return held[:MAX_ERROR_BYTES].decode(errors="replace")
