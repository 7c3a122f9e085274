"""A storage in a directory, which API, workers and scheduler must all see: one machine, or a shared volume."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, cast

from progress.errors import BlobGone, StorageUnavailable
from progress.storage.blobs import RECORD, Stored, Writer, checked, remove_quietly, without_record
from progress.storage.part import Part

TMP: Final = ".tmp"
"""Where bytes are until they are whole. No key begins so."""


class LocalStorage:
    """Keys are paths below a directory, which is made when the first one is written."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def address(self) -> str:
        """See Storage."""
        return str(self.root)

    def writer(self, key: str) -> Writer:
        """See Storage."""
        return LocalWriter(self.root, key)

    def stat(self, key: str) -> Stored | None:
        """See Storage."""
        with _translated(self.root):
            try:
                return Stored.parse((self.root / f"{checked(key)}{RECORD}").read_bytes())
            except (FileNotFoundError, NotADirectoryError):
                return None

    def open(self, stored: Stored, start: int = 0, end: int | None = None) -> BinaryIO:
        """See Storage."""
        with _translated(self.root):
            try:
                file = (self.root / stored.blob).open("rb")
            except FileNotFoundError:
                raise BlobGone(stored.key) from None
        file.seek(start)
        return file if end is None else cast(BinaryIO, Part(file, end - start))

    @contextmanager
    def local(self, stored: Stored) -> Iterator[Path]:
        """See Storage. The file itself: nothing is copied."""
        path = self.root / stored.blob
        if not path.exists():
            raise BlobGone(stored.key)
        yield path

    def keys(self, prefix: str) -> Iterator[str]:
        """See Storage."""
        own = self.root / f"{checked(prefix)}{RECORD}"
        found = [own] if own.exists() else []
        found += (self.root / prefix).rglob(f"*{RECORD}")
        yield from sorted(str(path.relative_to(self.root)).removesuffix(RECORD) for path in found)

    def delete(self, prefix: str) -> int:
        """See Storage. Records go first: what is being deleted is found by nobody."""
        keys = list(self.keys(prefix))
        with _translated(self.root):
            for key in keys:
                remove_quietly(self.root / f"{key}{RECORD}")
            for blob in (self.root / prefix).parent.glob(f"{Path(prefix).name}.*"):
                remove_quietly(blob)
            if (self.root / prefix).is_dir():
                shutil.rmtree(self.root / prefix, ignore_errors=True)
        return len(keys)

    def tidy(self, older_than_s: float) -> int:
        """See Storage."""
        before = time.time() - older_than_s
        paths = [str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()]
        begun = [path for path in paths if path.startswith(TMP)]
        found = begun + without_record(self, set(paths) - set(begun))
        left = [path for path in found if _changed_at(self.root / path) < before]
        for path in left:
            remove_quietly(self.root / path)
        return len(left)


class LocalWriter(Writer):
    """Writes beside, then renames: a file that has its name is whole."""

    def __init__(self, root: Path, key: str) -> None:
        super().__init__(key)
        self._root = root
        self._tmp = root / TMP / self.blob.replace("/", "-")
        with _translated(root):
            self._tmp.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what comes here is large.
            self._file = self._tmp.open("xb", buffering=0)

    def _write(self, chunk: bytes) -> None:
        left = memoryview(chunk)
        with _translated(self._root):
            while left:
                left = left[self._file.write(left) :]

    def _commit(self, stored: Stored) -> None:
        record = self._root / f"{self.key}{RECORD}"
        with _translated(self._root):
            self._file.close()
            before = record.read_bytes() if record.exists() else b""
            self._place(self._tmp, self._root / stored.blob)
            self._tmp.write_bytes(stored.encode())
            self._place(self._tmp, record)
            if before:
                remove_quietly(self._root / Stored.parse(before).blob)

    def _place(self, source: Path, target: Path) -> None:
        """Renames, and makes the folder, which whoever deletes the last thing in it may take away meanwhile."""
        while True:
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                source.replace(target)
                return
            if not source.exists():
                raise FileNotFoundError(source)

    def _abort(self) -> None:
        with _translated(self._root):
            self._file.close()
            remove_quietly(self._tmp)


@contextmanager
def _translated(root: Path) -> Iterator[None]:
    """Errors of the system as ours."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailable(f"files cannot be kept in {root}: {error.strerror or error}") from error


def _changed_at(path: Path) -> float:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return float("inf")
