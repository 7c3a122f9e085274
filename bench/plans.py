"""What a streaming measurement is made of."""

from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True)
class Plan:
    """Streams, their readers, and what is said.

    ``rate`` is tokens a second in each stream; 0 is a closed loop with ``window`` tokens a stream under way.
    ``shares_core``: Redis and the publisher need more than one core, and may use the server's as well.
    ``size`` is the length of a token's text beside its stamp. ``extra`` are further options of the readers.
    """

    streams: int
    readers: int
    rate: float = 0.0
    window: int = 0
    kind: Literal["sse", "ws"] = "sse"
    size: int = 8
    warmup_s: float = 0.7
    seconds: float = 4.0
    flush_ms: int | None = None
    shares_core: bool = False
    extra: dict[str, float] = field(default_factory=dict)

    @property
    def fan(self) -> int:
        """Readers of each stream."""
        return self.readers // self.streams

    @property
    def publishers(self) -> int:
        """Worker processes that its jobs are spread over, at most some hundred jobs each."""
        return next(count for count in (4, 3, 2, 1) if count == 1 or self.streams >= 100 * count)

    @property
    def offered(self) -> float:
        """Deliveries a second if nothing is lost; 0 in a closed loop."""
        return self.rate * self.readers

    def lasting(self, seconds: float) -> "Plan":
        """The same, measured for a time of its own."""
        return replace(self, seconds=seconds)
