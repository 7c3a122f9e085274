"""Commands about collections of vectors. In a cluster each collection is in the one partition that its name chooses."""

from dataclasses import dataclass
from typing import Any, Literal

from progress import keys
from progress.commands.command import Arg, Command, R, settled
from progress.commands.spread import Answers, Spread, complete

MOST_ITEMS_AT_ONCE = 1_000
"""Of one PutVectors: Lua cannot spread more over a call."""


class OnCollection(Command[R]):
    """A command about a collection."""

    collection: str

    @property
    def about(self) -> str:
        """What has the partition of the collection, as a job's id has that of the job."""
        return keys.beside("0", self.collection)


@dataclass(frozen=True)
class CollectionState:
    """What a collection is. ``version`` grows with each change; ``server`` names the Redis that has told."""

    version: int
    count: int
    dimensions: int
    model: str
    server: str


@dataclass(frozen=True)
class Put:
    """The answer to PutVectors, and the collection as it is now. ``other``: with another model or other dimensions."""

    answer: Literal["ok", "other", "full"]
    state: CollectionState


def _state(parts: Any) -> CollectionState:
    version, count, dimensions, model, server = parts
    return CollectionState(int(version), int(count), int(dimensions), model.decode(), server.decode())


@dataclass(frozen=True)
class PutVectors(OnCollection[Put]):
    """Puts items, ``(id, value)``, into a collection, each in the place of the one of its id."""

    script = "put_vectors"
    collection: str
    model: str
    dimensions: int
    most_bytes: int
    ttl_s: int
    items: tuple[tuple[str, bytes], ...]

    def args(self) -> list[Arg]:
        """See ``put_vectors.lua``."""
        flat: list[Arg] = [part for item in self.items for part in item]
        return [self.collection, self.model, self.dimensions, self.most_bytes, self.ttl_s, *flat]

    def parse(self, reply: Any) -> Put:
        """``[answer, version, items, dimensions, model, server]``."""
        return Put(reply[0].decode(), _state(reply[1:]))


@dataclass(frozen=True)
class ReadCollection(OnCollection[CollectionState | None]):
    """What a collection is, None where there is none; it will live on."""

    script = "read_collection"
    collection: str
    ttl_s: int

    def args(self) -> list[Arg]:
        """See ``read_collection.lua``."""
        return [self.collection, self.ttl_s]

    def parse(self, reply: Any) -> CollectionState | None:
        """``[answer, version, items, dimensions, model, server]``.

        Raises:
            StoreUnavailable: there is none, but it may come back.
        """
        return _state(reply[1:]) if settled(reply[0].decode()) == "ok" else None


@dataclass(frozen=True)
class ListCollections(Spread[list[str]]):
    """The names of all collections, sorted."""

    script = "list_collections"

    def args(self) -> list[Arg]:
        """See ``list_collections.lua``."""
        return []

    def parse(self, reply: Any) -> list[str]:
        """Names."""
        return sorted(name.decode() for name in reply)

    def merge(self, answers: Answers) -> list[str]:
        """Those of all partitions."""
        return sorted(name for some in complete(answers) for name in some)


@dataclass(frozen=True)
class VectorPage:
    """Some items, the version of the collection, and the cursor of the next page, None at the end."""

    version: int
    items: list[tuple[str, bytes]]
    next: str | None


@dataclass(frozen=True)
class ReadVectors(OnCollection[VectorPage]):
    """About ``limit`` items after a cursor. An item may come twice."""

    script = "read_vectors"
    collection: str
    cursor: str = "0"
    limit: int = 500

    def args(self) -> list[Arg]:
        """See ``read_vectors.lua``."""
        return [self.collection, self.cursor, self.limit]

    def parse(self, reply: Any) -> VectorPage:
        """``[version, cursor, [id, value, …]]``."""
        flat = reply[2]
        items = [(name.decode(), value) for name, value in zip(flat[::2], flat[1::2], strict=True)]
        cursor = reply[1].decode()
        return VectorPage(int(reply[0]), items, None if cursor == "0" else cursor)


@dataclass(frozen=True)
class KeepNeighbours(OnCollection[bool]):
    """Keeps what was found for ``k`` in a version of a collection; False where that is another one by now."""

    script = "keep_neighbours"
    collection: str
    k: int
    version: int
    ttl_s: int
    found: bytes

    def args(self) -> list[Arg]:
        """See ``keep_neighbours.lua``."""
        return [self.collection, self.k, self.version, self.ttl_s, self.found]

    def parse(self, reply: Any) -> bool:
        """1 or 0."""
        return bool(reply)


@dataclass(frozen=True)
class ReadNeighbours(OnCollection[bytes | None]):
    """What was found for ``k`` in this version of a collection, None where nothing is kept of it."""

    script = "read_neighbours"
    collection: str
    k: int
    version: int
    ttl_s: int

    def args(self) -> list[Arg]:
        """See ``read_neighbours.lua``."""
        return [self.collection, self.k, self.version, self.ttl_s]

    def parse(self, reply: Any) -> bytes | None:
        """Bytes."""
        return bytes(reply) or None
