"""API processes: a Store each, and what it has told clients."""

from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

from progress.commands import Lifetimes
from progress.errors import IdempotencyConflict, JobConflict, JobNotFound, StoreUnavailable
from progress.jobs import NewJob
from progress.store import Store
from tests.contract.promises.process import AsyncWire, Plan, Process, drive
from tests.contract.promises.readers import Feeds
from tests.contract.promises.world import World

LIFETIMES: Final = Lifetimes(events_ttl_s=36_000, result_ttl_s=72_000, max_events=100_000)
REFUSED: Final = (StoreUnavailable, IdempotencyConflict, JobNotFound, JobConflict)


class Api(Process):
    """An API process. ``made`` (with keys), ``cancelled`` and ``deleted`` are jobs of which a client has heard."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.feeds = Feeds(world)
        self.made: dict[str, str] = {}
        self.cancelled: set[str] = set()
        self.deleted: set[str] = set()
        self.is_reconnected = False
        self._store = Store(AsyncWire(), LIFETIMES)

    def create(self, new: NewJob, key: str, plan: Plan) -> None:
        """A client submits a job."""

        async def submit() -> None:
            job = (await self._store.create(new, idempotency_key=key)).job
            self.made[job.id] = key

        self._serve(submit(), plan)

    def cancel(self, job_id: str, plan: Plan) -> None:
        """A client cancels one."""

        async def cancel() -> None:
            await self._store.cancel(job_id)
            self.cancelled.add(job_id)

        self._serve(cancel(), plan)

    def delete(self, job_id: str, plan: Plan) -> None:
        """A client deletes one."""

        async def delete() -> None:
            await self._store.delete(job_id)
            self.deleted.add(job_id)

        self._serve(delete(), plan)

    def _serve(self, request: Coroutine[Any, Any, None], plan: Plan) -> None:
        def serve() -> None:
            with suppress(*REFUSED):
                drive(request)

        self.do("request", serve, plan)

    def audit(self, plan: Plan) -> None:
        """What the Audit does in a round: writes again after a reconnect, and has the Feeds catch up."""
        if self.is_free("audit"):
            self.do("audit", self._audit, plan)

    def _audit(self) -> None:
        try:
            if self.is_reconnected:
                # As in the Audit: it may reconnect once more meanwhile.
                self.is_reconnected, is_all = False, False
                try:
                    is_all = drive(self._store.write_again())
                finally:
                    self.is_reconnected = self.is_reconnected or not is_all
        except StoreUnavailable:
            return
        self._store.forget()
        self.feeds.audit()

    def keeps(self, job_id: str) -> bool:
        """See Party."""
        return not self.dead and job_id in self.cancelled

    def die(self) -> None:
        """Ends all of it at once."""
        super().die()
        self.feeds.close()
