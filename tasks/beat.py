"""Celery's scheduler over the schedules that Redis keeps, beside those that are fixed in its settings.

Any number of these may run: see Ticker.
"""

import logging
from typing import Any, Final

from celery.beat import PersistentScheduler

from progress import factory
from progress.commands import Lifetimes
from progress.errors import StoreUnavailable
from progress.settings import current
from progress.threads import surviving
from progress.timetable import Ticker
from tasks.queue import CeleryQueue
from tasks.schedule import built_in

logger = logging.getLogger(__name__)
EVERY_S: Final = 0.5
"""How often it looks: a schedule that was made or changed is heeded within about this."""


class Beat(PersistentScheduler):  # type: ignore[misc]  # Celery has no types
    """What `jobcast beat` gives to Celery."""

    def setup_schedule(self) -> None:
        """See Scheduler."""
        super().setup_schedule()
        settings = current()
        lifetimes = Lifetimes(settings.events_ttl_s, settings.result_ttl_s, settings.max_events)
        self.ticker = Ticker(factory.executor(settings.redis_url), lifetimes)
        self.queue = CeleryQueue(self.app, settings)
        self.installed = False

    def tick(self, *args: Any, **options: Any) -> float:
        """Runs what is due; seconds until it is to be called again."""
        with surviving(logger, "schedules failed, and are tried again"):
            self._run_due()
        return min(float(super().tick(*args, **options)), EVERY_S)

    def _run_due(self) -> None:
        try:
            if not self.installed:
                self.ticker.install(built_in(current()))
                self.installed = True
            for job_id, error in self.queue.enqueue_all(self.ticker.run_due()).items():
                logger.warning("job %s: left to the sweeper, the broker cannot be used: %s", job_id, error)
        except StoreUnavailable as error:
            logger.warning("schedules put off: %s", error)

    def close(self) -> None:
        """See Scheduler."""
        super().close()
        self.queue.close()
