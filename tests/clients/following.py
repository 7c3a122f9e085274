"""A job that a client follows while the API is restarted, and what the client must have seen in the end."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.live import Live
from tests.support.waiting import wait_until

WORDS = (
    "plain ",
    "\U0001f9d1\u200d\U0001f680 ",
    "\r\n",
    "\r",
    "\n\n",
    "\u2028",
    "\x85",
    '"\\',
    "data: no\n\n",
    "\ufeff",
)
REPEAT = 8
SAID = "".join(WORDS) * REPEAT

Event = dict[str, Any]


def submit(live: Live) -> str:
    """A job that speaks for some seconds."""
    return live.submit("speak", {"pieces": WORDS, "repeat": REPEAT, "pause_s": 0.03})


class Following:
    """What one client has seen so far, collected in a thread of its own."""

    def __init__(self, read: Callable[[], Iterable[Event]]) -> None:
        self._read = read
        self.events: list[Event] = []
        self.stopped = ""
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        try:
            for event in self._read():
                if "stopped" in event:
                    self.stopped = event["stopped"]
                    return
                self.events.append(event)
        except BaseException as error:  # noqa: BLE001  # raised again by the test that waits for this thread
            self._failure = error

    def over_a_restart(self, live: Live) -> None:
        """Restarts the API in the middle of what it reads, and returns when the client has stopped by itself."""
        self._wait(lambda: len(self.events) > 20)
        live.restart_api()
        self._wait(lambda: not self._thread.is_alive())
        self.check()

    def _wait(self, condition: Callable[[], bool]) -> None:
        wait_until(lambda: condition() or self._failure is not None, 30)
        if self._failure:
            raise self._failure

    def check(self) -> None:
        """Every event once, in order, and the text as it was said."""
        assert [event["seq"] for event in self.events] == list(range(1, len(self.events) + 1))
        assert self.events[-1]["type"] == "succeeded"
        assert "".join(event["text"] for event in self.events if event["type"] == "token") == SAID


@contextmanager
def lines_of(*command: str) -> Iterator[Iterator[str]]:
    """The lines that a program prints; it is ended afterwards."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            yield (line.decode() for line in process.stdout)
        finally:
            process.kill()


def program(*command: str) -> Callable[[], Iterator[Event]]:
    """Reads the events that a program prints, one JSON a line."""

    def read() -> Iterator[Event]:
        with lines_of(*command) as lines:
            for line in lines:
                yield json.loads(line)

    return read
