"""The storage on the event loop: its calls block, so each runs in a thread."""

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar, TypeVarTuple

from progress.errors import StorageUnavailable
from progress.storage import Storage, Stored, find_file, note_use
from server.errors import FieldError, Problem

THREADS: Final = 16
"""Calls at once; others wait. Threads of its own, so that a slow disk or S3 keeps nothing else waiting."""
R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class Filing:
    """A storage for routes.

    Args:
        ttl_s: how long an uploaded file can be used.
    """

    def __init__(self, storage: Storage, ttl_s: float) -> None:
        self.storage = storage
        self._ttl_s = ttl_s
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")

    async def run(self, call: Callable[[*Ts], R], *args: *Ts) -> R:
        """Runs a blocking call in a thread. Raises what it does."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)

    async def find(self, file_id: str) -> Stored:
        """An uploaded file.

        Raises:
            Problem: 404, there is none.
            StorageUnavailable: it cannot be told just now.
        """
        stored = await self.run(self._usable, file_id)
        if stored is None:
            raise Problem(404, "file_not_found", f"no file {file_id[:40]}: it was deleted, or has expired")
        return stored

    async def expect(self, named: Iterable[tuple[str, str]]) -> None:
        """Looks whether files are there.

        Args:
            named: (field of the input, id) of each.

        Raises:
            Problem: 422 that names the fields whose file is not.
        """
        fields = list(named)
        found = await asyncio.gather(*(self.run(self._usable, file_id) for _, file_id in fields))
        errors = [
            FieldError(field=f"input.{field}", message=f"there is no file {file_id}: upload it with POST /v1/files")
            for (field, file_id), stored in zip(fields, found, strict=True)
            if stored is None
        ]
        if errors:
            raise Problem(422, "invalid_request", f"{errors[0].field}: {errors[0].message}", errors=errors[:20])

    async def keep(self, named: Iterable[tuple[str, str]], job_id: str) -> None:
        """Keeps files until a job has ended, however long it waits; if that cannot be noted now, for their usual time.

        Args:
            named: (field of the input, id) of each.
        """
        with suppress(StorageUnavailable):
            for _, file_id in named:
                await self.run(note_use, self.storage, file_id, job_id)

    def _usable(self, file_id: str) -> Stored | None:
        stored = find_file(self.storage, file_id)
        return stored if stored and stored.created_at > (time.time() - self._ttl_s) * 1000 else None

    def close(self) -> None:
        """Waits for nothing."""
        self._threads.shutdown(wait=False, cancel_futures=True)
