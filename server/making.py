"""How batches are made: many jobs that are submitted together, all or none."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from progress.errors import IdempotencyConflict, JobConflict, JobNotFound, StoreUnavailable
from progress.jobs import Job, NewJob, uuid7
from progress.store import Store
from server.submission import Files, Submissions

TOGETHER: Final = 25
"""Jobs that are made at once: others have their turn in between."""
TAKE_BACK_S: Final = 60.0
"""How long it is tried to cancel what was made of a batch that was refused in the end."""


def batch_of(key: str, owner: str | None) -> str:
    """The id of the batch that a submission makes: with an idempotency key always the same one."""
    if not key:
        return uuid7()
    digits = hashlib.sha256(f"batch {owner or ''}:{key}".encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-8{digits[12:15]}-8{digits[15:18]}-{digits[18:30]}"


class Batches:
    """Makes batches. Their jobs are all in one partition of a cluster, where they are counted."""

    def __init__(self, store: Store, submissions: Submissions) -> None:
        self._store = store
        self._submissions = submissions
        self._cleaning: set[asyncio.Task[None]] = set()

    async def submit(
        self, batch: str, wanted: Sequence[tuple[NewJob, Files]], key: str, fingerprint: str
    ) -> tuple[list[Job], bool]:
        """Makes jobs of a batch: all of them, or none.

        Args:
            batch: its id.
            wanted: the jobs, and the files that their inputs name.
            key: the idempotency key; empty for none.

        Returns:
            The jobs, and whether they are new.

        Raises:
            IdempotencyConflict: the key was used with another body.
            StoreUnavailable: what had been made is cancelled, once Redis can be told; with a key it goes on.
        """
        call = f"{key} {fingerprint}" if key else uuid7()
        keys = [f"{key}\x1f{number}" if key else "" for number in range(len(wanted))]
        placed = [replace(new, id=new.id[:-1] + batch[-1], group=batch) for new, _ in wanted]
        made: list[tuple[Job, bool]] = []
        try:
            before = (await self._store.open_group(batch, len(placed), call)).expected - len(placed)
            placed = [replace(new, member=before + number) for number, new in enumerate(placed)]
            # The first one by itself: where the key belongs to another body it says so, and nothing is made.
            for first, last in [(0, 1), *((at, at + TOGETHER) for at in range(1, len(placed), TOGETHER))]:
                asked = zip(placed[first:last], wanted[first:last], keys[first:last], strict=True)
                some = await asyncio.gather(
                    *(self._submissions.make(new, named, one, fingerprint) for new, (_, named), one in asked)
                )
                made += [(one.job, one.created) for one in some]
        except IdempotencyConflict:
            await self._store.open_group(batch, -len(placed), f"{call} refused")
            raise
        except StoreUnavailable:
            # With a key the same submission, sent again, makes the rest.
            if key:
                raise
            cleaning = asyncio.create_task(self._take_back(batch, placed, call))
            self._cleaning.add(cleaning)
            cleaning.add_done_callback(self._cleaning.discard)
            raise
        return [job for job, _ in made], any(created for _, created in made)

    async def _take_back(self, batch: str, placed: Sequence[NewJob], call: str) -> None:
        """Cancels what was made of a submission that was refused, and lets the batch wait for no more of it."""
        left, missing, until = list(placed), 0, time.monotonic() + TAKE_BACK_S
        while time.monotonic() < until:
            try:
                while left:
                    try:
                        await self._store.cancel(left[-1].id, "batch refused")
                    except JobNotFound:
                        missing += 1
                    except JobConflict:
                        pass
                    left.pop()
                await self._store.open_group(batch, -missing, f"{call} taken back")
                return
            except StoreUnavailable:
                await asyncio.sleep(1)
