"""Several logs in one connection: what comes next from any of them, and a cursor over all."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

from progress.errors import InvalidCursor, StoreUnavailable
from progress.feed import Writer
from progress.hub import RETRY_S, Entry, Hub, Subscription, Waker

Positions = dict[str, int]
MAX_JOBS = 100


class Fan:
    """The Subscriptions of one connection. Use as a context manager: leaving it closes them all."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.writer: Writer | None = None
        """Takes what comes of jobs that are read to their end, at once; they are in no batch then."""
        self._waker = Waker(hub)
        self.subscriptions: dict[str, Subscription] = {}
        self.steady = asyncio.Lock()
        """Held while a batch is polled and sent: who adds or removes under it is sure that nothing older follows."""

    async def add(self, job_id: str, after: int, *, exact: bool = False) -> None:
        """Follows one more job; one that is followed already starts anew at ``after``.

        Raises:
            JobNotFound, StoreUnavailable: nothing has changed.
        """
        added = await self._hub.subscribe(job_id, after, waker=self._waker, exact=exact)
        self.remove(job_id)
        self.subscriptions[job_id] = added
        self._waker.wake()

    def remove(self, job_id: str) -> bool:
        """No longer follows a job; False where it did not."""
        subscription = self.subscriptions.pop(job_id, None)
        if subscription:
            subscription.close()
        return subscription is not None

    def close(self) -> None:
        """Leaves every Feed."""
        for job_id in tuple(self.subscriptions):
            self.remove(job_id)

    async def batches(self, idle_s: float) -> AsyncIterator[tuple[str, Sequence[Entry]]]:
        """Batches with their job's id, for ever; an empty one after ``idle_s`` of silence, or when a job has ended.

        Raises:
            HubClosing: the process is going away.
        """
        while True:
            pause_s = idle_s
            for job_id, subscription in tuple(self.subscriptions.items()):
                async with self.steady:
                    if self.subscriptions.get(job_id) is not subscription:
                        continue
                    try:
                        entries = await subscription.poll()
                    except StoreUnavailable:
                        # An open stream stays open: it asks again once Redis is back.
                        pause_s = min(pause_s, RETRY_S)
                        continue
                    if subscription.ended:
                        self.remove(job_id)
                    elif not entries:
                        if self.writer:
                            subscription.keep_step(self.writer)
                        continue
                    pause_s = 0
                    yield job_id, entries
            if pause_s and not await self._waker.wait(pause_s) and pause_s == idle_s:
                yield "", ()


def encode_cursor(positions: Positions) -> str:
    """A cursor over several logs: for each the end of its job's id and its position. Opaque to clients."""
    return ",".join(f"{job_id[-12:]}.{seq}" for job_id, seq in positions.items())


def decode_cursor(text: str, job_ids: Iterable[str]) -> Positions:
    """The positions of these jobs; 0 for one that the cursor does not know. 0 and -1 are the same for all of them.

    Raises:
        InvalidCursor: this server did not make it.
    """
    if text in ("0", "-1"):
        return dict.fromkeys(job_ids, int(text))
    known: Positions = {}
    for part in text.split(",") if text else ():
        tail, dot, seq = part.partition(".")
        if not (dot and len(tail) == 12 and seq.isascii() and seq.isdigit() and len(seq) <= 15):
            raise InvalidCursor(text[:40], "the `id:` of an event of such a stream, or -1 for from now on")
        known[tail] = int(seq)
    return {job_id: known.get(job_id[-12:], 0) for job_id in job_ids}
