"""A model server as all clients use it: its address, its key, one connection a request, and how an answer is read."""

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any, ClassVar, Final

import httpx

from tasks import turns
from tasks.certificates import trusted
from tasks.chat import first_model, garbage, listed_models, refusal, retry_after_s
from tasks.errors import ModelError
from tasks.line import Line

CONNECT_S: Final = 5.0
MAX_ERROR_BYTES: Final = 64 * 1024
"""Most that is read of an answer that is no success."""
NO_LIST: Final = frozenset((404, 405, 501))
"""What servers answer that don't list their models."""
Pick = Callable[[list[str]], str | None]


class Endpoint:
    """The connections of a process to one model server; for all of its threads.

    Args:
        base_url: up to ``/v1``.
        api_key: sent as a bearer token; none where empty.
        setting: ``LLM``, ``IMAGE`` or ``EMBED``: what the names of its settings begin with, for messages.
        silence_s: the longest.
        transport: stands in for the network.

    Raises:
        ModelError: the address or the key cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        setting: str,
        silence_s: float,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.setting = f"JOBCAST_{setting}"
        self._url = _checked_url(base_url, self.setting)
        self._key = _checked_key(api_key, self.setting)
        self._timeout = timeout = httpx.Timeout(silence_s, connect=CONNECT_S, pool=None)
        self._http = httpx.Client(
            headers={"User-Agent": "jobcast", **({"Authorization": f"Bearer {self._key}"} if self._key else {})},
            timeout=timeout,
            verify=trusted(),
            # A connection serves one request. Its trace then always tells which socket it is, an abort never hits
            # another's, and none turns out to be closed already. Beside a generation, connecting takes no time.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            mounts=_past_the_proxy(self._url),
            transport=transport,
        )

    def close(self) -> None:
        """Closes all connections."""
        self._http.close()

    def line(self) -> Line:
        """The connection of one request, or of one after the other."""
        return Line(str(self._url.copy_with(userinfo=b"")), self._key, self._timeout)

    def send(self, method: str, path: str, line: Line, body: Any = None) -> httpx.Response:
        """Sends a request, and returns when its answer begins. Close that.

        Raises:
            ModelError: ``model_aborted``.
            httpx.HTTPError: what ``line.errors`` says as a ModelError.
        """
        line.check()
        name = f"model:{body.get('model') or ''}" if body else ""
        if name and turns.shared:
            turns.shared.take(name, line.wait)
        request = self._http.build_request(
            method,
            f"{self._url}{path}",
            json=body,
            # Compression on the way would hold tokens back.
            headers={"Accept": "text/event-stream, application/json", "Accept-Encoding": "identity"},
            extensions={"trace": line.trace},
        )
        response = self._http.send(request, stream=True)
        if name and turns.shared and response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            asked_s = retry_after_s(response.headers)
            turns.shared.pause(name, turns.PAUSE_S if asked_s is None else min(asked_s, turns.LONGEST_PAUSE_S))
        return response

    def pick_model(self, line: Line, pick: Pick) -> str:
        """What ``pick`` takes of the models that the server lists.

        Raises:
            ModelError: it takes none of them, or the list cannot be had.
        """
        response = self.send("GET", "/models", line)
        text = read_text(response)
        if not response.is_success and response.status_code not in NO_LIST:
            raise refusal(response.status_code, text, response.headers)
        name = pick(listed_models(text))
        if name is None:
            message = f"{line.url} lists no models: set {self.setting}_MODEL to the one to use"
            raise ModelError("model_rejected", message)
        return name

    def unexpected(self, response: httpx.Response, text: str, wanted: str) -> ModelError:
        """The error that an answer means which is not what was ``wanted``."""
        if not response.is_success:
            return refusal(response.status_code, text, response.headers)
        media_type = response.headers.get("content-type", "no type")
        hint = f"does {self.setting}_BASE_URL lead to a model server? It usually ends in /v1"
        return garbage(f"answered with {media_type} in the place of {wanted} ({hint})", text)


class ModelClient:
    """What the clients of all sorts of models have in common. One serves all threads of a process.

    Args:
        base_url: up to ``/v1``.
        api_key: sent as a bearer token; none where empty.
        model: for requests that name none; where empty, one that the server lists.
        silence_s: the longest, before the answer begins, too; the class's own where None.
        transport: stands in for the network.

    Raises:
        ModelError: the address or the key cannot be used.
    """

    setting: ClassVar[str]
    silence_s: ClassVar[float] = 60.0

    def __init__(
        self,
        base_url: str,
        api_key: str = "",
        model: str = "",
        *,
        silence_s: float | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        longest_s = self.silence_s if silence_s is None else silence_s
        self._endpoint = Endpoint(base_url, api_key, self.setting, longest_s, transport)
        self._model = model
        self._quirks: dict[str, frozenset[str]] = {}
        """By model: the fields that its server does not know."""

    def close(self) -> None:
        """Closes all connections."""
        self._endpoint.close()

    def _default_model(self, line: Line) -> str:
        # Two threads may both ask at the start, which is better than one that waits for the other's slow server.
        if not self._model:
            self._model = self._endpoint.pick_model(line, self._pick)
        return self._model

    def _pick(self, names: list[str]) -> str | None:
        return first_model(names)


def _checked_url(base_url: str, setting: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url.rstrip("/"))
        url.host.encode("idna")  # or the look-up of the name would fail in the middle of a job
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ModelError("model_unreachable", f"{setting}_BASE_URL is no address: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or (url.port or 0) > 65_535:
        raise ModelError("model_unreachable", f"set {setting}_BASE_URL to the address of a model server")
    return url


def _checked_key(api_key: str, setting: str) -> str:
    key = api_key.strip()
    if not (key.isascii() and key.isprintable()):
        raise ModelError("model_refused", f"{setting}_API_KEY has characters that no HTTP header can carry")
    return key


def _past_the_proxy(url: httpx.URL) -> dict[str, None]:
    """A proxy named in the environment is not on the way to this machine itself."""
    try:
        loopback = ip_address(url.host).is_loopback
    except ValueError:
        loopback = url.host == "localhost"
    host = f"[{url.host}]" if ":" in url.host else url.host
    return {f"all://{host}": None} if loopback else {}


def media_type_of(response: httpx.Response) -> str:
    """The media type of an answer, without parameters."""
    declared: str = response.headers.get("content-type", "")
    return declared.partition(";")[0].strip().lower()


def is_stream(response: httpx.Response) -> bool:
    """Whether it is an event stream."""
    return response.status_code == httpx.codes.OK and media_type_of(response) == "text/event-stream"


def read_text(response: httpx.Response) -> str:
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


def read_whole(response: httpx.Response, most_bytes: int) -> bytes:
    """A whole body; closes the response.

    Raises:
        ModelError: it is longer than ``most_bytes``.
    """
    limit(response, most_bytes)
    try:
        return response.read()
    finally:
        response.close()


def limit(response: httpx.Response, most_bytes: int) -> None:
    """Makes the reading of a body raise ModelError where it is longer than that, before it is held."""
    response.stream = _Limited(response.stream, most_bytes)


class _Limited(httpx.SyncByteStream):
    def __init__(self, stream: Any, most_bytes: int) -> None:
        self._stream = stream
        self._left = most_bytes

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            self._left -= len(part)
            if self._left < 0:
                raise ModelError("model_garbage", "the model server's answer is larger than any that can be right")
            yield part

    def close(self) -> None:
        self._stream.close()
