"""The demo model server in a thread of the tests, on a free port."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from server.demo_model.app import DemoModel
from server.demo_model.serve import DemoServer, base_url, open_socket


@dataclass(frozen=True)
class Demo:
    """A running demo model: its address up to ``/v1``, and its insides."""

    url: str
    model: DemoModel

    @property
    def active(self) -> int:
        """Answers under way."""
        return len(self.model.active)


@contextmanager
def running_demo(tokens_per_s: float = 5000, first_token_s: float = 0) -> Iterator[Demo]:
    """Serves until the context ends."""
    model, listener = DemoModel(tokens_per_s, first_token_s, image_s=0, embed_s=0), open_socket("127.0.0.1", 0)
    server = DemoServer(model)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        # The socket listens already: a request that comes before uvicorn waits for it.
        yield Demo(base_url(listener), model)
    finally:
        server.should_exit = True
        thread.join()
