"""A long output made piece by piece: what a checkpoint counts is in the storage, so no attempt makes it again."""

import tempfile
from pathlib import Path
from typing import Final

from progress.storage import delete_parts, part_key, put, read
from tasks.errors import Retry
from tasks.progress import Progress

JOINED_BYTES: Final = 1024 * 1024
"""As much of the joined file is in memory."""


class Parts:
    """The output of one attempt, after that of earlier ones.

    Args:
        kept: for each attempt that has kept some: its number, and how many. A checkpoint's state has it; ``keep`` adds
            to it. An attempt never touches another one's parts, so a stale one does no harm.
    """

    def __init__(self, progress: Progress, kept: list[tuple[int, int]]) -> None:
        self._progress = progress
        self._kept = kept
        self._new: list[bytes] = []

    @property
    def are_there(self) -> bool:
        """Whether all are there that were kept. They go with the finished artifact, also where its attempt is lost."""
        storage, job_id = self._progress.storage, self._progress.job_id
        return all(
            storage.stat(part_key(job_id, attempt, number)) for attempt, count in self._kept for number in range(count)
        )

    def add(self, data: bytes) -> None:
        """Takes more of it."""
        self._new.append(data)

    def keep(self) -> None:
        """Stores what has been added since the last time, before a checkpoint that counts it."""
        attempt = self._progress.attempt
        number = self._kept[-1][1] if self._kept and self._kept[-1][0] == attempt else 0
        put(self._progress.storage, part_key(self._progress.job_id, attempt, number), b"".join(self._new), "part")
        self._kept[len(self._kept) - bool(number) :] = [(attempt, number + 1)]
        self._new.clear()

    def join_as(self, name: str, media_type: str) -> None:
        """Makes an artifact of all parts, kept and new."""
        with tempfile.TemporaryDirectory(prefix="jobcast-") as directory:
            whole = Path(directory) / "whole"
            with whole.open("wb", buffering=JOINED_BYTES) as file:
                for attempt, count in self._kept:
                    file.writelines(self._read(attempt, number) for number in range(count))
                file.writelines(self._new)
            self._progress.artifact(name, whole, media_type)
        delete_parts(self._progress.storage, self._progress.job_id)

    def _read(self, attempt: int, number: int) -> bytes:
        storage = self._progress.storage
        stored = storage.stat(part_key(self._progress.job_id, attempt, number))
        if stored is None:
            raise Retry(f"part {number} of attempt {attempt} is gone from {storage.address}")
        return read(storage, stored)
