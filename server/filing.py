"""The storage on the event loop: its calls block, so each runs in a thread."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, TypeVarTuple

from progress.storage import Storage, Stored, find_file
from server.errors import FieldError, Problem

THREADS: Final = 16
"""Calls at once; others wait. Threads of its own, so that a slow disk or S3 keeps nothing else waiting."""
R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class Filing:
    """A storage for routes."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
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
        stored = await self.run(find_file, self.storage, file_id)
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
        found = await asyncio.gather(*(self.run(find_file, self.storage, file_id) for _, file_id in fields))
        errors = [
            FieldError(field=f"input.{field}", message=f"there is no file {file_id}: upload it with POST /v1/files")
            for (field, file_id), stored in zip(fields, found, strict=True)
            if stored is None
        ]
        if errors:
            raise Problem(422, "invalid_request", f"{errors[0].field}: {errors[0].message}", errors=errors[:20])

    def close(self) -> None:
        """Waits for nothing."""
        self._threads.shutdown(wait=False, cancel_futures=True)
