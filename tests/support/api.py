"""The API over the in-memory twin: a queue that notes what it is given, and a worker's side to write with."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from progress.commands import Waiting
from progress.hub import Hub
from progress.settings import Settings
from progress.storage import LocalStorage
from progress.store import Store
from progress.testing import Memory, MemoryListener
from server.app import create_app
from server.direct import LiveDoor
from server.filing import Filing
from server.handover import Outermost
from server.making import Batches
from server.state import State
from server.submission import Submissions
from tasks.progress import Progress
from tasks.queue import QueueUnavailable
from tasks.registry import Kind
from tests.support.asgi import HOST, Exchange, Socket
from tests.support.backend import on_memory


class EchoInput(BaseModel):
    """What to say."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=20)
    times: int = Field(1, ge=1)


def echo(task_input: EchoInput, progress: Progress) -> None:
    """Says it."""
    progress.token(task_input.text * task_input.times)


KIND = Kind("echo", echo, EchoInput, "llm", None, None, (1.0, 60.0), "Echo", "Says it.")
BOUNDED = Kind("bounded", echo, EchoInput, "cpu", 7, 9.0, (1.0, 60.0), "Bounded", "Has limits of its own.")


@dataclass
class FakeQueue:
    """A JobQueue that keeps its messages; with ``broken`` set it refuses them."""

    kinds: dict[str, Kind] = field(default_factory=lambda: {"echo": KIND, "bounded": BOUNDED})
    sent: list[tuple[str, str, int]] = field(default_factory=list)
    broken: str = ""
    closed: bool = False

    @property
    def queues(self) -> tuple[str, ...]:
        """See JobQueue."""
        return ("cpu", "llm")

    def enqueue(self, job_id: str, queue: str, priority: int) -> None:
        """See JobQueue."""
        self._check()
        self.sent.append((job_id, queue, priority))

    def enqueue_all(self, jobs: Sequence[Waiting]) -> dict[str, QueueUnavailable]:
        """See JobQueue."""
        refused: dict[str, QueueUnavailable] = {}
        for job in jobs:
            try:
                self.enqueue(job.job_id, job.queue, job.priority)
            except QueueUnavailable as error:
                refused[job.job_id] = error
        return refused

    def depth(self, queue: str) -> int:
        """See JobQueue."""
        self._check()
        return sum(1 for _, name, _ in self.sent if name == queue)

    def close(self) -> None:
        """See JobQueue."""
        self.closed = True

    def _check(self) -> None:
        if self.broken:
            raise QueueUnavailable(self.broken)


def settings(**fields: Any) -> Settings:
    """Settings that neither the environment nor a file has a say in."""
    names = {name: value.get_default(call_default_factory=True) for name, value in Settings.model_fields.items()}
    return Settings(_env_file=None, **{**names, **fields})


class Api:
    """An app with its parts, and every side of it: a client, hand-driven requests, and the worker's writing."""

    def __init__(self, app: FastAPI, state: State, memory: Memory, listener: MemoryListener, queue: FakeQueue) -> None:
        self.app = app
        self.front = Outermost(app, LiveDoor(state))
        self.state = state
        self.memory = memory
        self.listener = listener
        self.queue = queue
        self.worker = on_memory(memory)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.front, raise_app_exceptions=False), base_url=f"http://{HOST}"
        )

    def exchange(self, target: str, **options: Any) -> Exchange:
        """A request driven by hand."""
        return Exchange(self.front, target, **options)

    def socket(self, target: str, **options: Any) -> Socket:
        """A WebSocket driven by hand."""
        return Socket(self.front, target, **options)

    def job(self, **fields: Any) -> str:
        """A job that waits."""
        return self.worker.create("echo", **fields)

    @property
    def at_rest(self) -> bool:
        """Whether no reader has left anything behind."""
        hub = self.state.hub
        left = (hub.feeds, hub.waiting, hub.activity_readers, self.listener.subscribed, self.state.relays)
        return not any(left) and self.state.streams == 0


@contextlib.asynccontextmanager
async def api_with(*, queue: FakeQueue | None = None, **fields: Any) -> AsyncIterator[Api]:
    """A running API with these settings."""
    memory, queue = Memory(), queue or FakeQueue()
    chosen, listener = settings(**fields), memory.listener()
    store = Store.with_settings(memory.async_executor, chosen)
    with tempfile.TemporaryDirectory(prefix="jobcast-files-") as folder:
        files = Filing(LocalStorage(Path(folder)), chosen.files_ttl_s)
        submissions = Submissions(store, queue, chosen, files)
        batches = Batches(store, submissions)
        state = State(chosen, store, Hub(store, listener), queue, submissions, batches, files)
        app = create_app(state)
        async with app.router.lifespan_context(app):
            api = Api(app, state, memory, listener, queue)
            async with api.client:
                yield api
