"""Commands on deliveries: what an ended job's webhook is still to be told, and what became of each try."""

import json
from dataclasses import dataclass
from typing import Any

from progress.commands.command import Arg, Command
from progress.commands.spread import Answers, Spread, by_partition, present
from progress.events import encode_json
from progress.jobs import Json


@dataclass(frozen=True)
class Due:
    """A delivery that was taken: whose, by which claim, after how many tries, and ms since it was first due."""

    job_id: str
    claim: int
    tries: int
    age_ms: int


@dataclass(frozen=True)
class Tried:
    """How one try went: the status of the answer, or what kept it from coming, and how long that took."""

    status: int | None
    error: str | None
    took_ms: int

    @property
    def delivered(self) -> bool:
        """Whether the receiver has it."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class TakeDeliveries(Spread[list[Due]]):
    """Deliveries that are due now, for as long as the lease says."""

    script = "take_deliveries"
    lease_ms: int
    limit: int

    def args(self) -> list[Arg]:
        """See ``take_deliveries.lua``."""
        return [self.lease_ms, self.limit]

    def parse(self, reply: Any) -> list[Due]:
        """Four values each."""
        parts = zip(reply[::4], reply[1::4], reply[2::4], reply[3::4], strict=True)
        return [Due(job_id.decode(), int(claim), int(tries), int(age)) for job_id, claim, tries, age in parts]

    def merge(self, answers: Answers) -> list[Due]:
        """All that were taken."""
        return [due for some in present(answers) for due in some]


@dataclass(frozen=True)
class SettleDelivery(Command[None]):
    """Notes how a try went. ``again_ms``: until the next one, None where there is none."""

    script = "settle_delivery"
    job_id: str
    claim: int
    tried: Tried
    again_ms: int | None = None

    def args(self) -> list[Arg]:
        """See ``settle_delivery.lua``."""
        tried = self.tried
        told = encode_json({"status": tried.status, "error": tried.error, "duration_ms": tried.took_ms})[1:-1]
        again: Arg = "" if self.again_ms is None else self.again_ms
        return [self.job_id, self.claim, tried.took_ms, told, again]

    def parse(self, reply: Any) -> None:
        """Nothing to tell."""


@dataclass(frozen=True)
class PutBackDeliveries(Spread[None]):
    """Gives deliveries back untried; each is due again after its ms."""

    script = "put_back_deliveries"
    back: tuple[tuple[Due, int], ...]

    def args(self) -> list[Arg]:
        """See ``put_back_deliveries.lua``."""
        return [arg for due, after_ms in self.back for arg in (due.job_id, due.claim, after_ms)]

    def parse(self, reply: Any) -> None:
        """Nothing to tell."""

    def parts(self) -> dict[int, Command[Any]]:
        """See Spread."""
        ids = [due.job_id for due, _ in self.back]
        return {partition: PutBackDeliveries(some) for partition, some in by_partition(ids, self.back).items()}

    def merge(self, answers: Answers) -> None:
        """Nothing to tell."""
        present(answers)


@dataclass(frozen=True)
class Redeliver(Command[bool]):
    """Makes a delivery due once more; False where the job is no more."""

    script = "redeliver"
    job_id: str

    def args(self) -> list[Arg]:
        """See ``redeliver.lua``."""
        return [self.job_id]

    def parse(self, reply: Any) -> bool:
        """1 or 0."""
        return bool(reply)


@dataclass(frozen=True)
class DeliveryLog:
    """Epoch ms of a job's next try (None: there is none), and those that there were, oldest first.

    A try is ``{at, status, error, duration_ms, next_at}``.
    """

    next_at: int | None
    tries: list[Json]


@dataclass(frozen=True)
class ReadDeliveries(Command[DeliveryLog]):
    """The deliveries of a job."""

    script = "read_deliveries"
    job_id: str

    def args(self) -> list[Arg]:
        """See ``read_deliveries.lua``."""
        return [self.job_id]

    def parse(self, reply: Any) -> DeliveryLog:
        """``[next, tries]``."""
        return DeliveryLog(int(float(reply[0])) if reply[0] else None, [json.loads(one) for one in reply[1]])
