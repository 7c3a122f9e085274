"""Pages: pieces of Logs as they were read and framed, kept for a moment for others who are at the same place."""

from collections import OrderedDict, defaultdict
from collections.abc import Hashable
from functools import cached_property
from typing import Final

from progress.events import Event, join_tokens

PAGES_BYTES: Final = 16 * 1024 * 1024
"""About what the pages of a process may take: the whole of a log of 20,000 tokens."""
_TIMES: Final = 3
_EACH: Final = 400
"""What a page takes: its bytes so many times over (read, framed, joined), and so much for each of its events."""


class Page:
    """A piece of a Log, shared by all who read it."""

    def __init__(self, events: list[Event], cuts: frozenset[int] = frozenset()) -> None:
        self.events = events
        self._cuts = cuts

    @cached_property
    def joined(self) -> list[Event]:
        """The same with neighbouring tokens joined: for readers who are behind and did not ask for exactness."""
        return list(join_tokens(self.events, self._cuts))

    @cached_property
    def sse(self) -> bytes:
        """All of it as SSE blocks, made once for all who read it."""
        return b"".join([event.sse for event in self.events])

    @cached_property
    def joined_sse(self) -> bytes:
        """The same, joined."""
        return b"".join([event.sse for event in self.joined])

    @cached_property
    def size(self) -> int:
        """About the memory that it takes, in bytes."""
        return sum(len(event.raw) for event in self.events) * _TIMES + len(self.events) * _EACH


class Pages:
    """The pages of all Logs that a process reads, by whose they are and the position that they come after.

    A page never changes, it may only be short; beyond ``most_bytes`` the one that nobody has asked for longest goes.
    """

    def __init__(self, most_bytes: int = PAGES_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[Hashable, int], Page] = OrderedDict()
        self._places: dict[Hashable, set[int]] = defaultdict(set)
        self._bytes = 0

    def get(self, log: Hashable, after: int) -> Page | None:
        """The page of a log after a position, if it was read a moment ago."""
        page = self._kept.get((log, after))
        if page is not None:
            self._kept.move_to_end((log, after))
        return page

    def keep(self, log: Hashable, after: int, page: Page) -> None:
        """Keeps a page; an empty one is none, since events may follow."""
        if not page.events or (log, after) in self._kept:
            return
        self._kept[log, after] = page
        self._places[log].add(after)
        self._bytes += page.size
        while self._bytes > self._most_bytes:
            (whose, where), oldest = self._kept.popitem(last=False)
            self._places[whose].discard(where)
            self._bytes -= oldest.size

    def forget(self, log: Hashable) -> None:
        """Lets the pages of a log go."""
        for after in self._places.pop(log, ()):
            self._bytes -= self._kept.pop((log, after)).size
