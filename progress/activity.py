"""The reader of what happens to all jobs: no cursor, since nobody keeps that."""

from collections.abc import Iterable
from typing import Final

from progress.events import Event
from progress.readers import HubClosing, Source, Waker


class ActivityReader:
    """One reader of the activity of all jobs: a bounded backlog, and a mark where it overflowed."""

    BACKLOG: Final = 1000

    def __init__(self, hub: Source) -> None:
        self._hub = hub
        self._waker = Waker(hub)
        self._backlog: list[Event] = []
        self.overflowed = False

    def push(self, events: Iterable[Event]) -> None:
        """Takes events; the backlog of a reader who is too slow is dropped, and it is told so."""
        self._backlog.extend(events)
        if len(self._backlog) > self.BACKLOG:
            self._backlog.clear()
            self.overflowed = True
        self._waker.wake()

    def missed(self) -> None:
        """Marks that messages may have been lost, so that the reader fetches the list anew."""
        self.overflowed = True
        self._waker.wake()

    async def next(self, idle_s: float) -> list[Event]:
        """What came since the last call; empty after ``idle_s`` of silence. Raises HubClosing."""
        if not self._backlog and not self.overflowed:
            await self._waker.wait(idle_s)
        if self._hub.closing:
            raise HubClosing
        events, self._backlog = self._backlog, []
        return events
