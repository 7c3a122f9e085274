"""Commands that read logs."""

from dataclasses import dataclass
from typing import Any, Final

from progress.commands.command import Arg, Command, settled
from progress.commands.spread import Answers, Spread, by_partition, complete, in_order
from progress.events import Event

LOG_PAGE: Final = 512
"""Most events read from a log at once."""
LOG_PAGE_BYTES: Final = 256 * 1024
"""No further event is read into a page that holds this many bytes."""
MAY_COME_BACK: Final = -2
"""What stands for the last ``seq`` of a job that Redis may have lost in a crash just now."""
LAST_SEQ: Final = 2**53
"""No log comes so far; above it Lua's numbers have holes, and far above it Redis refuses a position."""


@dataclass(frozen=True)
class LogPage:
    """Events after a cursor, in order, and where the log now ends. ``last_seq`` is None where there is no such job.

    ``cuts`` are the positions up to which text was kept, or will be if the attempt is lost: no event may be joined
    across one, or a reader could not drop what comes after it. ``wants_readers``: it is cancelled when nobody reads.
    """

    events: list[Event]
    last_seq: int | None
    ended: bool
    cuts: frozenset[int] = frozenset()
    wants_readers: bool = False


@dataclass(frozen=True)
class ReadLog(Command[LogPage]):
    """At most ``limit`` events with a ``seq`` above ``after``."""

    script = "read_log"
    job_id: str
    after: int
    limit: int = LOG_PAGE

    def args(self) -> list[Arg]:
        """See ``read_log.lua``."""
        return [self.job_id, min(max(self.after, 0), LAST_SEQ), self.limit, LOG_PAGE_BYTES]

    def parse(self, reply: Any) -> LogPage:
        """``[last seq or less than 0, ended, [event, …], [seq, …], wants readers]``.

        Raises:
            StoreUnavailable: there is no such job, but it may come back.
        """
        last_seq = int(reply[0])
        settled("unsettled" if last_seq == MAY_COME_BACK else "")
        events = [Event.parse(raw) for raw in reply[2]]
        return LogPage(
            events, None if last_seq < 0 else last_seq, bool(reply[1]), frozenset(map(int, reply[3])), bool(reply[4])
        )


@dataclass(frozen=True)
class ReadHeads(Spread[list[int | None]]):
    """The last ``seq`` of each job, None where it is gone."""

    script = "read_heads"
    job_ids: tuple[str, ...]

    def args(self) -> list[Arg]:
        """See ``read_heads.lua``."""
        return list(self.job_ids)

    def parse(self, reply: Any) -> list[int | None]:
        """-1 stands for None."""
        return [None if int(seq) < 0 else int(seq) for seq in reply]

    def parts(self) -> dict[int, Command[Any]]:
        """See Spread."""
        return {partition: ReadHeads(ids) for partition, ids in by_partition(self.job_ids, self.job_ids).items()}

    def merge(self, answers: Answers) -> list[int | None]:
        """In the order of the jobs."""
        complete(answers)
        return in_order(self.job_ids, answers)


@dataclass(frozen=True)
class Watched(Spread[None]):
    """Notes that jobs are being read. Each may go unread for as long as it was submitted with, and ``slack_ms``."""

    script = "watched"
    job_ids: tuple[str, ...]
    slack_ms: int

    def args(self) -> list[Arg]:
        """See ``watched.lua``."""
        return [self.slack_ms, *self.job_ids]

    def parse(self, reply: Any) -> None:
        """Nothing to tell."""

    def parts(self) -> dict[int, Command[Any]]:
        """See Spread."""
        ids = by_partition(self.job_ids, self.job_ids)
        return {partition: Watched(some, self.slack_ms) for partition, some in ids.items()}

    def merge(self, answers: Answers) -> None:
        """Nothing to tell."""
        complete(answers)
