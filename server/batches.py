"""How a batch is: its counts, its pace, and the event stream of both."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from progress.commands import Group
from progress.errors import StoreUnavailable
from progress.events import encode_json
from server.encoding import IDLE_S, PING, RETRY_MS, goodbye
from server.state import State

LOOK_S: Final = 0.25
"""How often a stream looks at the counters."""
RATE_OVER_S: Final = 10.0
"""The rate of a stream is that of its last seconds, so many."""


@dataclass
class Pace:
    """How fast a batch gets on, as one stream of it sees that."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def rate(self, ended: int, now: float) -> float | None:
        """Jobs a second over the last while; None where that is not known yet."""
        self.seen.append((now, ended))
        while len(self.seen) > 2 and now - self.seen[1][0] >= RATE_OVER_S:
            self.seen.popleft()
        since, before = self.seen[0]
        return (ended - before) / (now - since) if now > since else None


def counts(group: Group, rate: float | None) -> dict[str, object]:
    """A batch in figures, as JSON: ``rate`` in jobs a second, ``eta_s`` in seconds."""
    left = max(0, group.expected - group.ended)
    return {
        "total": group.expected,
        **group.states,
        "ended": group.ended,
        "fraction": group.ended / group.expected if group.expected else 1.0,
        "rate": None if rate is None else round(rate, 3),
        "eta_s": 0 if not left else round(left / rate, 1) if rate else None,
        "done": not left,
    }


def position(text: str) -> tuple[int, int]:
    """A stream's ``id:``: the revision that was sent last, and how many failures. What is none begins anew."""
    revision, _, failures = text.partition(".")
    known = revision.isdecimal() and failures.isdecimal() and len(text) < 30
    return (int(revision), int(failures)) if known else (0, 0)


async def batch_chunks(state: State, batch: str, revision: int, failures: int) -> AsyncIterator[bytes]:
    """The bytes of a batch's event stream: ``failure`` for each job that fails, ``progress`` with each change, ``done``
    at the end."""
    pace, head, silent_since = Pace(), b"retry: %d\n" % RETRY_MS, time.monotonic()
    while not state.hub.closing:
        now = time.monotonic()
        try:
            group = await state.store.group(batch, failures)
        except StoreUnavailable:
            group = None
        if group is not None and group.revision != revision:
            failures += len(group.failures)
            revision, silent_since = group.revision, now
            figures = counts(group, pace.rate(group.ended, now))
            name = "done" if figures["done"] else "progress"
            blocks = [_block("failure", failure, "") for failure in group.failures]
            blocks.append(_block(name, {"type": name, "batch": batch, **figures}, f"{revision}.{failures}"))
            yield head + b"".join(blocks)
            head = b""
            if figures["done"]:
                return
        elif now - silent_since > IDLE_S:
            silent_since = now
            yield PING
        await asyncio.sleep(LOOK_S)
    yield goodbye()


def _block(name: str, data: object, cursor: str) -> bytes:
    head = f"id: {cursor}\n" if cursor else ""
    return f"{head}event: {name}\ndata: {encode_json(data)}\n\n".encode()
