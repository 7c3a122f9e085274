"""A receiver of webhooks: a small HTTP server that keeps what it gets and answers as it is told."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from standardwebhooks import Webhook


@dataclass
class Message:
    """One that has come, with its headers in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """By which a repeat is known."""
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """A context manager: up inside, down before, at an address that it has from the start.

    ``answer`` gives status and headers for a message; none is answered while ``hold`` is set.
    """

    answer: Callable[[Message], tuple[int, dict[str, str]]] = lambda _message: (204, {})
    got: list[Message] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                message = Message(self.path, headers, self.rfile.read(int(headers["content-length"])))
                receiver.got.append(message)
                while receiver.hold.is_set():
                    receiver.over.wait(0.01)
                status, more = receiver.answer(message)
                self.send_response(status)
                for name, value in {"content-length": "0", **more}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._server.server_bind()
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    def verified(self, secret: str) -> list[Any]:
        """What has come, each verified as the specification says."""
        return [Webhook(secret).verify(message.body, message.headers) for message in self.got]

    def __enter__(self) -> Self:
        self._server.server_activate()
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hold.clear()
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
