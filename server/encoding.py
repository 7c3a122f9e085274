"""Encoders: how batches of a log become the bytes of each format."""

import random
from collections.abc import Callable, Sequence
from typing import Final

from progress.events import Event
from progress.hub import Entry
from progress.jobs import Job
from server.negotiation import StreamRequest

IDLE_S: Final = 15.0
PING: Final = b": ping\n"
"""A comment without a blank line: with one, several clients see an empty event."""
RETRY_MS: Final = 1000
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Encode = Callable[[Sequence[Entry]], bytes]


class TextBroken(Exception):
    """What was sent as plain text no longer counts, or is not the whole: only a cut connection can say so."""


def goodbye() -> bytes:
    """The last line of a stream that ends because the process goes: come back soon, and not all at once."""
    return b"retry: %d\n" % random.randint(100, 1000)


def encoder(request: StreamRequest) -> Encode:
    """How batches of a log become bytes, in the formats that have no memory: all but plain text."""
    if request.format == "sse" and request.types is None:
        return _sse
    if request.format == "sse":
        return lambda batch: b"".join([entry.sse for entry in batch if request.wants(entry.type)])
    return lambda batch: b"".join([entry.raw + b"\n" for entry in batch if request.wants(entry.type)])


def _sse(batch: Sequence[Entry]) -> bytes:
    return b"".join([entry.sse for entry in batch])


def with_job(entry: Entry, job_id: str) -> bytes:
    """An entry's JSON with ``job`` in it; a gap has it already."""
    return entry.raw if entry.type == "gap" else add_job(entry.raw, job_id)


def add_job(raw: bytes, job_id: str) -> bytes:
    """An event's JSON with ``job`` added."""
    return b'%b,"job":"%b"}' % (raw[:-1], job_id.encode())


class TextEncoder:
    """The text alone, of one channel, without that of attempts that no longer count."""

    def __init__(self, channel: str, job: Job) -> None:
        self._channel = channel
        self._voids = job.void_ranges()
        self._sent = 0
        self.whole = True
        """Whether nothing was missing in the log."""

    def encode(self, batch: Sequence[Entry]) -> bytes:
        """Raises TextBroken where text that was sent has become void."""
        pieces = []
        for entry in batch:
            if not isinstance(entry, Event):
                self.whole = False
            elif entry.type == "started":
                self._check(entry)
            elif entry.type == "token" and entry.channel == self._channel and not self._is_void(entry.seq):
                pieces.append(str(entry.data["text"]))
                self._sent = entry.seq
        return "".join(pieces).encode()

    def _is_void(self, seq: int) -> bool:
        return any(low < seq < high for low, high in self._voids)

    def _check(self, started: Event) -> None:
        if self._sent > int(started.data["rollback_to"]):
            raise TextBroken
