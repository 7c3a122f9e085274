"""A server that answers with bytes as they stand, for what no well-made server says."""

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

CERTIFICATE: Final = Path(__file__).with_name("loopback.pem")
"""Certificate and key of a server at 127.0.0.1."""
_POLL_S: Final = 0.02


def response(
    body: str | bytes, media_type: str = "text/event-stream", *, status: str = "200 OK", more: str = ""
) -> bytes:
    """An HTTP response that ends where its connection does; ``more``: header lines."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nConnection: close\r\n{more}\r\n"
    return head.encode() + (body.encode() if isinstance(body, str) else body)


@dataclass
class RawServer:
    """What the server was asked, each request as it came."""

    url: str
    requests: list[bytes] = field(default_factory=list)


@contextmanager
def raw_server(*answers: bytes, hold: bool = False, tls: bool = False) -> Iterator[RawServer]:
    """Gives the first request the first answer and so on, the last one to all further ones.

    Args:
        hold: keeps each connection open after its answer, silent, until the context ends.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as held:
        listener.settimeout(_POLL_S)
        server = RawServer(f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}/v1")
        stopped = threading.Event()

        def serve() -> None:
            while not stopped.is_set():
                # A client that does not like what it hears is a case to test, and no failure of this server's.
                with suppress(OSError):
                    connection = listener.accept()[0]
                    connection.settimeout(5)
                    if tls:
                        connection = context.wrap_socket(connection, server_side=True)
                    held.enter_context(connection)
                    server.requests.append(_read_request(connection))
                    connection.sendall(answers[min(len(server.requests), len(answers)) - 1])
                    if not hold:
                        connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            stopped.set()
            thread.join()


def _read_request(connection: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(65536)
    head, _, body = request.partition(b"\r\n\r\n")
    size = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    while size and len(body) < int(size[1]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
