"""Workers that are started again when they end, as `jobcast up` does."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final, Self

from tests.support.live import Child, Live, Post

POLL_S: Final = 0.1


@contextmanager
def guests(live: Live) -> Iterator[Live]:
    """What is started meanwhile, workers above all, goes again."""
    before = len(live.children)
    yield live
    for child in live.children[before:]:
        child.kill(group=True)
        child.process.wait()


class Crew:
    """A thread that keeps one worker at each post. A context manager; they go when it is left."""

    def __init__(self, live: Live, *posts: Post) -> None:
        self._live = live
        self._posts = posts
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="crew", daemon=True)
        self.workers: list[Child] = []
        self.replaced: list[int] = []
        """The exit statuses of those that have ended."""
        self._launched: dict[int, float] = {}
        self.start_s = 0.0
        """The longest that one took from its launch until it took jobs: what the machine is able to just now."""

    @property
    def starting(self) -> bool:
        """Whether one that was started again takes no jobs yet."""
        return bool(self._launched)

    @property
    def is_whole(self) -> bool:
        """Whether all are there, and take jobs."""
        return not self._launched and all(worker.process.poll() is None for worker in self.workers)

    def _keep(self) -> None:
        while not self._over.wait(POLL_S):
            for number, worker in enumerate(self.workers):
                status = worker.process.poll()
                if status is not None:
                    # What its pool has left behind would not outlive it by much, either.
                    worker.kill(signal.SIGKILL, group=True)
                    self._launched[number] = time.monotonic()
                    self.replaced.append(status)
                    self.workers[number] = self._live.launch_worker(*self._posts[number])
                elif number in self._launched and worker.takes_jobs:
                    self.start_s = max(self.start_s, time.monotonic() - self._launched.pop(number))

    def __enter__(self) -> Self:
        self.workers = self._live.start_workers(*self._posts)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(5)
        for worker in self.workers:
            with suppress(ProcessLookupError):
                worker.kill(signal.SIGCONT, group=True)
            worker.stop(signal.SIGKILL)
