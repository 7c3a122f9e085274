"""Collections of vectors as a task sees them: written by id, read whole, and what was found in them kept for later.

A collection lives in Redis, as a hash of float32 vectors. It has one model and one number of dimensions; it grows to
``most_bytes`` and no further, and goes when nobody has used it for ``ttl_s``.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from progress.commands import (
    CollectionState,
    Command,
    KeepNeighbours,
    ListCollections,
    PutVectors,
    ReadCollection,
    ReadNeighbours,
    ReadVectors,
)
from progress.connect import Executor
from progress.errors import CollectionFull, CollectionMismatch, StoreUnavailable
from progress.unsynced import KEPT_S

R = TypeVar("R")
MAX_LABEL_CHARS: Final = 200
MOST_KEPT_BYTES: Final = 8 * 1024 * 1024
"""Of what is found; more is not kept."""
_AT_ONCE: Final = 64
_PAUSES_S: Final = (0.1, 2.0)


@dataclass(frozen=True)
class Item:
    """One vector, as float32 in little-endian bytes, and a text for people to know it by (200 characters of it)."""

    id: str
    vector: bytes
    label: str = ""


class Collections:
    """The collections of one Redis; for all threads."""

    def __init__(self, executor: Executor, *, most_bytes: int, ttl_s: int) -> None:
        self._executor = executor
        self._most_bytes = most_bytes
        self._ttl_s = ttl_s

    def names(self, check: Callable[[], None] = lambda: None) -> list[str]:
        """Of all collections, sorted. ``check`` as in ``open``."""
        return waited(self._executor, ListCollections(), check)

    def open(self, name: str, check: Callable[[], None] = lambda: None) -> "Collection":
        """A collection, also one that is not there yet.

        Args:
            check: called while Redis is away, which is waited for; what it raises ends that.
        """
        return Collection(name, self._executor, check, (self._most_bytes, self._ttl_s))


class Collection:
    """One collection, for one task. Every method waits while Redis is away."""

    def __init__(self, name: str, executor: Executor, check: Callable[[], None], limits: tuple[int, int]) -> None:
        self.name = name
        self._executor = executor
        self._check = check
        self._most_bytes, self._ttl_s = limits
        self._server = ""
        self._unsynced: deque[tuple[float, PutVectors]] = deque()

    def put(self, model: str, items: Iterable[Item]) -> None:
        """Writes items, each in the place of the one of its id.

        Raises:
            CollectionMismatch: the collection has vectors of another model, or of other dimensions.
            CollectionFull: it would grow too large. Nothing of this call's last part was written.
        """
        values = {item.id: (item.vector, item.label[:MAX_LABEL_CHARS].encode(errors="replace")) for item in items}
        names = list(values)
        for some in (names[at : at + _AT_ONCE] for at in range(0, len(names), _AT_ONCE)):
            dimensions = len(values[some[0]][0]) // 4
            flat = tuple((name, b"".join(values[name])) for name in some)
            command = PutVectors(self.name, model, dimensions, self._most_bytes, self._ttl_s, flat)
            answer = self._run(command)
            if answer.answer == "other":
                raise CollectionMismatch(self.name, answer.state.model, answer.state.dimensions)
            if answer.answer == "full":
                raise CollectionFull(self.name, self._most_bytes)
            self._heal(answer.state.server)
            self._unsynced.append((time.monotonic(), command))

    def _heal(self, server: str) -> None:
        """Redis writes to disk once a second: where it is another one than before, it has lost the last writes."""
        if self._server and self._server != server:
            for _, command in self._unsynced:
                self._run(command)
        self._server = server
        while self._unsynced and self._unsynced[0][0] < time.monotonic() - KEPT_S:
            self._unsynced.popleft()

    def state(self) -> CollectionState | None:
        """What it is; None where there is none, or nothing in it. What a crash has lost of this task's is back."""
        state = self._run(ReadCollection(self.name, self._ttl_s))
        if self._unsynced and (state is None or state.server != self._server):
            self._heal(state.server if state else "")
            state = self._run(ReadCollection(self.name, self._ttl_s))
        return state

    def items(self) -> Iterator[list[Item]]:
        """All items in pages, as they are. One that is written meanwhile may be missing; compare ``version`` after."""
        state, seen, cursor = self.state(), set[str](), "0"
        if state is None:
            return
        size = 4 * state.dimensions
        while cursor:
            page = self._run(ReadVectors(self.name, cursor))
            new = {name: value for name, value in page.items if name not in seen}
            seen |= new.keys()
            yield [Item(name, value[:size], value[size:].decode()) for name, value in new.items()]
            cursor = page.next or ""

    def keep(self, k: int, version: int, found: bytes) -> bool:
        """Keeps what was found for ``k`` in a version; False where it is too large, or the version another by now."""
        if len(found) > MOST_KEPT_BYTES:
            return False
        return self._run(KeepNeighbours(self.name, k, version, self._ttl_s, found))

    def kept(self, k: int, version: int) -> bytes | None:
        """What was found for ``k`` in this version, if it was kept."""
        return self._run(ReadNeighbours(self.name, k, version, self._ttl_s))

    def _run(self, command: Command[R]) -> R:
        return waited(self._executor, command, self._check)


def waited(executor: Executor, command: Command[R], check: Callable[[], None]) -> R:
    """Runs a command, however long Redis is away; meanwhile what ``check`` raises ends that."""
    pause, longest = _PAUSES_S
    while True:
        try:
            return executor.run(command)
        except StoreUnavailable:
            check()
            time.sleep(pause)
            pause = min(pause * 2, longest)
