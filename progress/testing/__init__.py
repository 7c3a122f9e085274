"""The in-memory twin of Redis: Store, Hub, Publisher and Claims work on it unchanged, without a server.

For tests, of this project and of whoever writes tasks: ``memory = Memory()``, then ``memory.executor``,
``memory.async_executor`` and ``memory.listener()``. It passes the same contract suite as a real server.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from progress.commands import Command
from progress.errors import StoreUnavailable
from progress.listener import Batch
from progress.testing import attempts, collections, deliveries, group_scripts, jobs, schedules, turns, workers
from progress.testing.keyspace import Keyspace

__all__ = ["Memory", "MemoryListener"]

R = TypeVar("R")
Hook = Callable[[Command[Any]], None]
SCRIPTS: Final[dict[str, Callable[..., Any]]] = {
    script.__name__: script
    for script in (
        *(attempts.begin_attempt, attempts.append, attempts.finish, attempts.heartbeat),
        *(
            jobs.create,
            jobs.cancel,
            jobs.delete,
            jobs.read_job,
            jobs.list_jobs,
            jobs.read_log,
            jobs.read_heads,
            jobs.watched,
        ),
        *(workers.sweep, workers.waiting, workers.worker_seen, workers.health, workers.holders, workers.bury),
        *(workers.ahead, workers.figures, workers.age),
        *(turns.take_turn, turns.pause),
        *(deliveries.take_deliveries, deliveries.settle_delivery, deliveries.put_back_deliveries),
        *(deliveries.redeliver, deliveries.read_deliveries),
        *(collections.put_vectors, collections.read_collection, collections.read_vectors, collections.list_collections),
        *(collections.keep_neighbours, collections.read_neighbours),
        *(group_scripts.open_group, group_scripts.read_group, group_scripts.members),
        *(schedules.put_schedule, schedules.read_schedules, schedules.set_schedule),
        *(schedules.ran_schedule, schedules.delete_schedule),
    )
}


def _nothing(_command: Command[Any]) -> None:
    pass


class Memory:
    """One in-memory Redis, and every way to it. Its clock stands still once ``advance`` is called.

    ``before`` and ``after`` are called around each command, in the thread that runs it, and may raise
    StoreUnavailable: before it is done, Redis is away; after it, the reply was lost.
    """

    def __init__(self) -> None:
        self.before: Hook = _nothing
        self.after: Hook = _nothing
        self.listeners: set[MemoryListener] = set()
        self._frozen_ms: int | None = None
        self._lock = threading.RLock()
        self._published: Batch = []
        self.space = Keyspace(self._now, self._publish, self._is_heard)

    @property
    def executor(self) -> "MemoryExecutor":
        """Runs commands in the caller's thread."""
        return MemoryExecutor(self)

    @property
    def async_executor(self) -> "AsyncMemoryExecutor":
        """Runs commands on the event loop."""
        return AsyncMemoryExecutor(self)

    def listener(self) -> "MemoryListener":
        """A pub/sub connection."""
        return MemoryListener(self)

    def advance(self, ms: int) -> None:
        """Stops the clock and moves it on."""
        with self._lock:
            self._frozen_ms = self._now() + ms

    def flush(self) -> None:
        """Forgets everything, as FLUSHALL does."""
        with self._lock:
            self.space = Keyspace(self._now, self._publish, self._is_heard)

    def run(self, command: Command[R]) -> R:
        """Runs one command."""
        self.before(command)
        with self._lock:
            reply = SCRIPTS[command.script](self.space, *map(_text, command.args()))
            batch, self._published = self._published, []
            for listener in tuple(self.listeners):
                listener.hear(batch)
        self.after(command)
        return command.parse(_encoded(reply))

    def _publish(self, channel: str, payload: str) -> None:
        self._published.append((channel.encode(), payload.encode()))

    def _is_heard(self, channel: str) -> bool:
        return any(channel in listener.subscribed for listener in self.listeners)

    def _now(self) -> int:
        return time.time_ns() // 1_000_000 if self._frozen_ms is None else self._frozen_ms


def _text(arg: str | float | bytes) -> str:
    return arg.decode(errors="surrogateescape") if isinstance(arg, bytes) else str(arg)


def _encoded(reply: Any) -> Any:
    """A reply as it comes from a socket: text as bytes."""
    if isinstance(reply, list):
        return [_encoded(part) for part in reply]
    return reply.encode(errors="surrogateescape") if isinstance(reply, str) else reply


class MemoryExecutor:
    """An Executor on a Memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def run(self, command: Command[R]) -> R:
        """See Executor."""
        return self._memory.run(command)

    def run_many(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """See Executor."""
        return [self._caught(command) for command in commands]

    def _caught(self, command: Command[R]) -> R | StoreUnavailable:
        try:
            return self.run(command)
        except StoreUnavailable as error:
            return error

    def close(self) -> None:
        """See Executor."""


class AsyncMemoryExecutor:
    """An AsyncExecutor on a Memory. As with a real one, other tasks run before a reply is there."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def run(self, command: Command[R]) -> R:
        """See AsyncExecutor."""
        await asyncio.sleep(0)
        try:
            return self._memory.run(command)
        finally:
            await asyncio.sleep(0)

    async def close(self) -> None:
        """See AsyncExecutor."""


class MemoryListener:
    """A Listener on a Memory. ``deaf`` makes it lose what is published, as a broken connection does."""

    def __init__(self, memory: Memory) -> None:
        self.deaf = False
        self.subscribed: set[str] = set()
        self._memory = memory
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_batch: Callable[[Batch], None] = lambda _batch: None
        self._on_connected: Callable[[], None] = lambda: None

    def start(self, on_batch: Callable[[Batch], None], on_connected: Callable[[], None]) -> None:
        """See Listener."""
        self._on_batch, self._on_connected = on_batch, on_connected
        self._loop = asyncio.get_running_loop()
        self._memory.listeners.add(self)

    @property
    def connected(self) -> bool:
        """See Listener."""
        return not self.deaf

    async def subscribe(self, channel: str) -> None:
        """See Listener."""
        await asyncio.sleep(0)
        self.subscribed.add(channel)

    def unsubscribe(self, channel: str) -> None:
        """See Listener."""
        self.subscribed.discard(channel)

    def reconnect(self) -> None:
        """Hears again, and says that something may have been missed."""
        self.deaf = False
        self._on_connected()

    def hear(self, batch: Batch) -> None:
        """Takes what was published, in any thread."""
        heard = [message for message in batch if message[0].decode() in self.subscribed]
        if heard and not self.deaf and self._loop:
            self._loop.call_soon_threadsafe(self._on_batch, heard)

    async def close(self) -> None:
        """See Listener."""
        self._memory.listeners.discard(self)
        self.subscribed.clear()
