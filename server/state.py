"""What the routes share: one object for each app, reached through dependencies."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Protocol

from fastapi import Depends
from starlette.requests import HTTPConnection

from progress.hub import Hub
from progress.settings import Settings
from progress.store import Store
from server.filing import Filing
from server.making import Batches
from server.submission import Submissions
from tasks.queue import JobQueue


class Ticking(Protocol):
    """A stream that sends a sign of life after silence."""

    def tick(self) -> None:
        """Called from time to time."""


@dataclass
class State:
    """The parts of a running API process."""

    settings: Settings
    store: Store
    hub: Hub
    queue: JobQueue
    submissions: Submissions
    batches: Batches
    files: Filing
    open_streams: int = 0
    relays: set[Ticking] = field(default_factory=set)

    def has_room(self) -> bool:
        """Whether one more stream may be opened."""
        return self.streams < self.settings.max_streams

    @property
    def streams(self) -> int:
        """Streams and sockets that are open now."""
        return self.open_streams + len(self.relays)

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Counts a stream while it is open."""
        self.open_streams += 1
        try:
            yield
        finally:
            self.open_streams -= 1


def state_of(connection: HTTPConnection) -> State:
    """The State of the app that a request came to."""
    state: State = connection.app.state.jobcast
    return state


# A coroutine, though it waits for nothing: FastAPI runs a plain function in a thread, for each request.
async def get_state(connection: HTTPConnection) -> State:
    """The same, for a route."""
    return state_of(connection)


StateDep = Annotated[State, Depends(get_state)]


async def keep_awake(relays: set[Ticking], every_s: float) -> None:
    """Ticks every Relay, for ever. After silence of between once and twice ``every_s`` it sends its comment."""
    while True:
        await asyncio.sleep(every_s)
        for relay in tuple(relays):
            relay.tick()
