"""What the routes share: one object for each app, reached through dependencies."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from progress.hub import Hub
from progress.settings import Settings
from progress.store import Store
from server.submission import Submissions
from tasks.queue import JobQueue


@dataclass
class State:
    """The parts of a running API process."""

    settings: Settings
    store: Store
    hub: Hub
    queue: JobQueue
    submissions: Submissions
    open_streams: int = 0

    def has_room(self) -> bool:
        """Whether one more stream may be opened."""
        return self.open_streams < self.settings.max_streams

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Counts a stream while it is open."""
        self.open_streams += 1
        try:
            yield
        finally:
            self.open_streams -= 1


def get_state(connection: HTTPConnection) -> State:
    """The State of the app that a request came to."""
    state: State = connection.app.state.jobcast
    return state


StateDep = Annotated[State, Depends(get_state)]
