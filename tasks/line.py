"""The connection of one request to a model server: breakable from any thread, its failures said without the key."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import httpx

from tasks.errors import ModelError

Abort = Callable[[], None]
_CONNECTED: Final = ("connect_tcp.complete", "start_tls.complete")


class Aborts:
    """What ends several requests together, and those that open later at once."""

    def __init__(self) -> None:
        self._aborts: set[Abort] = set()
        self._aborted = False
        self._lock = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[Callable[[Abort], None]]:
        """What takes the abort of one request, as its ``on_open``; forgotten with the context."""
        mine: list[Abort] = []

        def add(abort: Abort) -> None:
            mine.append(abort)
            with self._lock:
                self._aborts.add(abort)
            if self._aborted:
                abort()

        try:
            yield add
        finally:
            with self._lock:
                self._aborts.difference_update(mine)

    def abort(self) -> None:
        """Ends all."""
        with self._lock:
            self._aborted = True
            aborts = tuple(self._aborts)
        for abort in aborts:
            abort()


class Line:
    """One request's connection.

    Args:
        url: the server's, as messages may show it.
        key: what they may not show.
        timeout: the limits that a timeout's message names.
    """

    def __init__(self, url: str, key: str, timeout: httpx.Timeout) -> None:
        self.url = url
        self.aborted = False
        self._key = key
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._gone = threading.Event()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Hears from httpx what becomes of the request (its ``trace`` extension), and keeps the socket."""
        if event.endswith(_CONNECTED):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                self._break_if_aborted()

    def abort(self) -> None:
        """Ends the request: a read that is blocked returns at once, and so does a later one."""
        with self._lock:
            self.aborted = True
            self._break_if_aborted()
        self._gone.set()

    def wait(self, seconds: float) -> None:
        """Waits before something is sent. Raises ModelError ``model_aborted`` as soon as the request is."""
        self._gone.wait(seconds)
        self.check()

    def _break_if_aborted(self) -> None:
        if self.aborted and self._socket is not None:
            # The base class's method: SSLSocket's own also drops the TLS state that the blocked read is using.
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def check(self) -> None:
        """Raises ModelError ``model_aborted`` where the request was."""
        if self.aborted:
            raise ModelError("model_aborted", "the request to the model server was aborted")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what httpx raises into ModelError, and keeps the key out of every message."""
        try:
            yield
        except httpx.HTTPError as error:
            self.check()
            code, message = self._meaning(error)
            raise ModelError(code, self._without_key(message), retryable=True) from None
        except ModelError as error:
            message = self._without_key(error.message)
            raise ModelError(
                error.code, message, retryable=error.retryable, retry_after_s=error.retry_after_s
            ) from None

    def _meaning(self, error: httpx.HTTPError) -> tuple[str, str]:
        if isinstance(error, httpx.ConnectTimeout):
            return "model_timeout", f"{self.url} took no connection within {self._timeout.connect:g} s"
        if isinstance(error, httpx.TimeoutException):
            return "model_timeout", f"the model server at {self.url} was silent for {self._timeout.read:g} s"
        if isinstance(error, (httpx.ConnectError, httpx.ProxyError)):
            return "model_unreachable", f"no model server can be reached at {self.url}: {error}"
        if isinstance(error, httpx.DecodingError):
            return "model_garbage", f"the answer of {self.url} cannot be read: {error}"
        return "model_cut", f"the connection to {self.url} broke: {error}"

    def _without_key(self, message: str) -> str:
        return message.replace(self._key, "***") if self._key else message
