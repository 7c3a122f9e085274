"""The Committer: at once where little is to be written, together where much is."""

import math
import queue
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from progress import committer
from progress.commands import Append, Appended, Claim, Command
from progress.committer import Committer
from progress.errors import StoreUnavailable

AGES_S = 3600.0
LONG_S = 30


class Line:
    """An Executor that notes what comes in one round trip."""

    def __init__(self) -> None:
        self.trips: queue.Queue[int] = queue.Queue()

    def run(self, command: Command[Any]) -> Any:
        raise NotImplementedError

    def run_many(self, commands: Sequence[Command[Any]]) -> list[Any]:
        self.trips.put(len(commands))
        return [Appended("ok", 1)] * len(commands)

    def close(self) -> None: ...


class Says:
    """A Writer with one thing to say."""

    def take(self) -> Append:
        return Append(Claim("job", 1, "token"), 1, 1000, ())

    def done(self, answer: Appended | StoreUnavailable) -> None: ...


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def writes(line: Line) -> Iterator[Committer]:
    found = Committer(line)
    yield found
    found.close()


def test_the_first_goes_at_once_and_what_follows_in_the_pause_goes_together(
    line: Line, writes: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "PAUSE_S", AGES_S)
    writes.schedule(Says(), -math.inf)
    assert line.trips.get(timeout=LONG_S) == 1
    for _ in range(10):
        writes.schedule(Says(), -math.inf)
    assert line.trips.empty()
    writes.close()
    assert line.trips.get(timeout=LONG_S) == 10


def test_what_came_in_the_pause_goes_when_that_is_over(
    line: Line, writes: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "PAUSE_S", 0.05)
    before = time.monotonic()
    for _ in range(3):
        writes.schedule(Says(), -math.inf)
        assert line.trips.get(timeout=LONG_S) == 1
    assert time.monotonic() - before > 0.1


def test_one_that_is_due_does_not_wait_for_one_that_is_due_later(line: Line, writes: Committer) -> None:
    for due in (time.monotonic() + AGES_S, -math.inf):
        writes.schedule(Says(), due)
    assert line.trips.get(timeout=LONG_S) == 1
