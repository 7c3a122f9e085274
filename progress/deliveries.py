"""Deliveries as workers and the API use them: which are due, how each went, and what a job's webhook was told."""

from collections.abc import Sequence
from typing import Final

from progress import commands
from progress.commands import DeliveryLog, Due, Tried
from progress.connect import AsyncExecutor
from progress.jobs import Job

LEASE_MS: Final = 60_000
"""How long a try may take before the delivery is another worker's."""


class Deliveries:
    """What webhooks are still to be told. Every method may raise StoreUnavailable."""

    def __init__(self, executor: AsyncExecutor) -> None:
        self._executor = executor

    async def take(self, limit: int) -> list[Due]:
        """Deliveries that are due; nobody else gets them for LEASE_MS."""
        return await self._executor.run(commands.TakeDeliveries(LEASE_MS, limit))

    async def put_back(self, back: Sequence[tuple[Due, int]]) -> None:
        """Gives some back untried, each for so many ms."""
        await self._executor.run(commands.PutBackDeliveries(tuple(back)))

    async def settle(self, due: Due, tried: Tried, again_ms: int | None) -> None:
        """Notes how a try went, and when the next one is, if there is one."""
        await self._executor.run(commands.SettleDelivery(due.job_id, due.claim, tried, again_ms))

    async def job(self, due: Due) -> Job | None:
        """Whose end is to be told; None where it is no more."""
        return await self._executor.run(commands.ReadJob(due.job_id))

    async def log(self, job_id: str) -> DeliveryLog:
        """What became of the deliveries of a job."""
        return await self._executor.run(commands.ReadDeliveries(job_id))

    async def again(self, job_id: str) -> bool:
        """Makes a delivery of an ended job due once more; False where the job is no more."""
        return await self._executor.run(commands.Redeliver(job_id))

    async def close(self) -> None:
        """Closes every connection."""
        await self._executor.close()
