"""The upkeep of a worker's pool: a process that has died is missed soon, and another one takes its place."""

from typing import Any, Final

from celery import bootsteps

EVERY_S: Final = 0.5


class Upkeep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Has the event loop look after the pool's processes.

    Celery looks when the pipe of one closes. If the process is not quite dead by then, it looks again up to 5 s later,
    and meanwhile the place of that process is empty: in a pool of one, nothing runs.
    """

    requires = ("celery.worker.components:Pool",)

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Called whenever the loop begins anew; Celery takes the timer away when it ends."""
        hub.call_repeatedly(EVERY_S, worker.pool.maintain_pool)
