"""What a storage is: bytes under keys, written whole or not at all, each with a record of what they are.

A key is one to some lower-case words with slashes between: ``files/ID``, ``jobs/ID/0001/DIGEST``. A name that a client
has given stands in the record and never in a key. Two things are kept for each key: the record, as small JSON under
``KEY.json``, and the bytes, under a name that the record gives. The record is written last and at one go, so whoever
finds one finds its bytes, whatever was cut off or replaced meanwhile.
"""

import hashlib
import json
import re
import time
import uuid
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Protocol, Self

from progress.events import well_formed
from progress.storage.sniff import HEAD_BYTES, media_type_of

RECORD: Final = ".json"
CHUNK_BYTES: Final = 1024 * 1024
_KEY: Final = re.compile(r"[a-z0-9-]+(/[a-z0-9-]+)*")


@dataclass(frozen=True)
class Stored:
    """The record of one key.

    ``name`` is what its maker calls it and may be any text. ``size`` is in bytes, ``sha256`` is hexadecimal, ``owner``
    the name of the API key that brought it, ``created_at`` in milliseconds since 1970. ``blob`` is where the bytes are.
    """

    key: str
    blob: str
    name: str
    media_type: str
    size: int
    sha256: str
    owner: str | None
    created_at: int

    def encode(self) -> bytes:
        """As it is kept."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Reads one that is kept."""
        return cls(**json.loads(raw))


class Writer(ABC):
    """Takes the bytes of one key as they come. A context manager: left without ``commit``, nothing is kept.

    Every method may raise StorageUnavailable.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.blob = f"{checked(key)}.{uuid.uuid4().hex}"
        self.size = 0
        self.head = b""
        self._sum = hashlib.sha256()
        self._open = True

    def write(self, chunk: bytes) -> None:
        """Takes the next bytes."""
        if len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]
        self._sum.update(chunk)
        self.size += len(chunk)
        self._write(chunk)

    def commit(self, name: str, media_type: str = "", owner: str | None = None) -> Stored:
        """Makes them readable under the key, instead of what was there before.

        Args:
            name: what they are called.
            media_type: what they are; told from the bytes and the name where empty.
        """
        name = well_formed(name)
        media_type = media_type or media_type_of(self.head, name)
        created_at = time.time_ns() // 1_000_000
        stored = Stored(
            self.key, self.blob, name, media_type, self.size, self._sum.hexdigest(), owner, created_at
        )  # fmt: skip
        self._commit(stored)
        self._open = False
        return stored

    def abort(self) -> None:
        """Lets go of them. Does nothing after a commit."""
        if self._open:
            self._open = False
            self._abort()

    @abstractmethod
    def _write(self, chunk: bytes) -> None: ...

    @abstractmethod
    def _commit(self, stored: Stored) -> None: ...

    @abstractmethod
    def _abort(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


class Storage(Protocol):
    """Bytes under keys. Thread-safe. Every method may raise StorageUnavailable; a malformed key is a ValueError."""

    @property
    def address(self) -> str:
        """Where it is, for people."""

    def writer(self, key: str) -> Writer:
        """Takes the bytes of a key."""

    def stat(self, key: str) -> Stored | None:
        """The record of a key, or None."""

    def open(self, stored: Stored, start: int = 0, end: int | None = None) -> BinaryIO:
        """The bytes from ``start`` to before ``end``; close it.

        Raises:
            BlobGone: they were deleted or replaced since the record was read.
        """

    def local(self, stored: Stored) -> AbstractContextManager[Path]:
        """The bytes as a file of this machine, for reading, while the context lasts. Raises as ``open``."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Every key that is ``prefix`` or begins with it and a slash, in order."""

    def delete(self, prefix: str) -> int:
        """Deletes those keys with their bytes, and says how many there were."""

    def tidy(self, older_than_s: float) -> int:
        """Removes what a process has left that died while it wrote so long ago; says how many things."""


def checked(key: str) -> str:
    """A key that is well formed. Raises ValueError."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no key: use lower-case letters, digits and '-', with '/' between the parts")
    return key


def without_record(storage: Storage, paths: Iterable[str]) -> list[str]:
    """The bytes, of all that a storage has, of which no record says where they are."""
    blobs: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        blobs[path.partition(".")[0]].append(path)
    left = []
    for key, found in blobs.items():
        record = f"{key}{RECORD}"
        # A record and one thing beside it belong together; else it is asked which.
        if len(found) != 2 or record not in found:
            stored = storage.stat(key)
            left += [path for path in found if path != record and not (stored and path == stored.blob)]
    return left


def put(storage: Storage, key: str, data: bytes | Path, name: str, media_type: str = "") -> Stored:
    """Stores bytes, or those of a file.

    Raises:
        OSError: the file cannot be read.
        StorageUnavailable: nothing was stored.
    """
    with storage.writer(key) as writer:
        if isinstance(data, Path):
            with data.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    writer.write(chunk)
        else:
            writer.write(data)
        return writer.commit(name, media_type)


def read(storage: Storage, stored: Stored) -> bytes:
    """All bytes of a key; for small ones."""
    with storage.open(stored) as file:
        return file.read()


def remove_quietly(path: Path) -> None:
    """Removes a file that may be gone already."""
    with suppress(FileNotFoundError):
        path.unlink()
