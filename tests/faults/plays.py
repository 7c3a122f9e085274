"""A play: one job that speaks, readers of every sort who stay to its end, and a file that notes what was done."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.faults.following import Audience, Follower, SocketFollower, TextFollower, spoken
from tests.support.live import Child, Live
from tests.support.waiting import wait_until

LEASE_S: Final = 2
"""That of the fixture ``stage``."""
SOON_S: Final = 5
"""The longest from a death to the next attempt's first token, with that lease."""
PAUSE_S: Final = 0.05
SLACK: Final = 20
"""Lines that a stale attempt may still write until its next publish is refused."""


class Play:
    """A job that speaks and notes in a file what it does, and readers who stay."""

    def __init__(self, live: Live, audience: Audience, file: Path, queue: str, *, lasts_s: float = 4) -> None:
        pieces = round(lasts_s / PAUSE_S)
        task_input = {"file": str(file), "pieces": pieces, "pause_s": PAUSE_S}
        self.live = live
        self.file = file
        self.speech = "".join(f"{number} " for number in range(pieces))
        self.job_id = live.submit("journal", task_input, queue=queue)
        self.exact = audience.follow(self.job_id)
        self.readers: list[Follower] = [
            self.exact,
            audience.follow(self.job_id, exact=False),
            audience.follow(self.job_id, sort=SocketFollower),
            audience.follow(self.job_id, sort=SocketFollower, exact=False),
        ]
        self.text = audience.follow(self.job_id, sort=TextFollower)
        self._audience = audience

    def has_begun(self) -> None:
        """Returns once some of it has been heard by everyone."""
        spoken(self.exact, 5)
        wait_until(lambda: all(reader.text for reader in (*self.readers, self.text)))

    @property
    def notes(self) -> list[str]:
        """What was really done, by any attempt."""
        return self.file.read_text().splitlines()

    def of(self, attempt: int) -> int:
        """How many lines an attempt has written."""
        return sum(line.startswith(f"{attempt} ") for line in self.notes)

    @property
    def runs_on(self) -> int:
        """The process that runs the newest attempt."""
        return int(self.exact.of("started")[-1]["worker"].rpartition(":")[2])

    def worker(self, workers: list[Child]) -> Child:
        """The one of these whose process, or child, runs the job."""
        group = os.getpgid(self.runs_on)
        (worker,) = [worker for worker in workers if worker.pid == group]
        return worker

    def next_attempt(self, attempt: int = 2, soon_s: float = SOON_S) -> float:
        """Waits until another attempt has spoken: soon after the last sign of the one before. How long it took."""
        asked = time.monotonic()
        took = self.took_up(attempt, 60)
        assert took < soon_s + self.live.stalls.recovery(asked - 1, LEASE_S), f"{took:.1f} s"
        return took

    def took_up(self, attempt: int, patience_s: float) -> float:
        """Waits until an attempt has spoken; the seconds since the last sign of the one before."""
        wait_until(lambda: any(event["attempt"] == attempt for event in self.exact.of("token")), patience_s)
        return self.exact.when("token", attempt) - self.last_of(attempt - 1)

    def last_of(self, attempt: int) -> float:
        """When the last token of an attempt came."""
        pairs = zip(self.exact.events, self.exact.arrived, strict=False)
        return max(at for event, at in pairs if (event["type"], event["attempt"]) == ("token", attempt))

    def end(self, attempts: int) -> None:
        """The job succeeds with its last attempt, and every reader has exactly that one's text."""
        self._audience.wait(60)
        job = self.live.job(self.job_id)
        assert (job["status"], job["attempt"]) == ("succeeded", attempts)
        self._audience.check_against(lambda job_id: self.live.events(job_id, exact=1))
        told = [event["type"] for event in self.exact.events if event["type"] != "token"]
        assert told == ["queued", "started", *["retrying", "started"] * (attempts - 1), "succeeded"]
        assert {reader.text for reader in (*self.readers, self.text)} == {self.speech}
        assert {reader.connections for reader in self.readers} == {1}
        assert self.text.connections == attempts, "text that has become void was not cut"
        assert [line for line in self.notes if "ends" in line] == [f"{attempts} ends"]


@contextmanager
def play(live: Live, file: Path, queue: str = "llm", *, lasts_s: float = 4) -> Iterator[Play]:
    """A job that has begun."""
    with Audience(live) as audience:
        act = Play(live, audience, file, queue, lasts_s=lasts_s)
        act.has_begun()
        yield act
