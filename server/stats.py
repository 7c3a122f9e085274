"""What `GET /v1/stats` answers: the figures for people."""

from typing import Annotated, Final, Self

from pydantic import BaseModel, Field

from progress.figures import Figures, Histogram

DIGITS: Final = 4


class SizeView(BaseModel):
    """How long things took, in seconds, or how fast they were; null where there were none."""

    count: int
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, sizes: Histogram) -> Self:
        """A histogram as people want to see it."""
        p50, p95, p99 = (_short(sizes.quantile(part)) for part in (0.5, 0.95, 0.99))
        return cls(count=sizes.count, mean=_short(sizes.mean), p50=p50, p95=p95, p99=p99)


class KindStats(BaseModel):
    """What has become of the jobs of a kind."""

    submitted: int
    ended: Annotated[dict[str, int], Field(description="Jobs by their status")]
    failed: Annotated[dict[str, int], Field(description="Jobs by the code of their error")]
    retried: Annotated[dict[str, int], Field(description="Attempts that were to be followed by another, by code")]
    exhausted: Annotated[dict[str, int], Field(description="Jobs that failed for lack of another attempt, by code")]
    lost: Annotated[int, Field(description="Attempts whose worker died or stopped answering")]
    redelivered: Annotated[dict[str, int], Field(description="Messages whose job was held, or had ended")]
    wait_s: Annotated[SizeView, Field(description="From when a job could run to its attempt")]
    run_s: Annotated[SizeView, Field(description="Attempts")]
    first_token_s: Annotated[SizeView, Field(description="From the beginning of an attempt to its first text")]
    tokens: Annotated[int, Field(description="Pieces of text that attempts have published")]
    tokens_per_s: Annotated[SizeView, Field(description="Attempts, after their first piece of text")]

    @classmethod
    def of(cls, figures: Figures, kind: str) -> Self:
        """Those of a kind, or "" for all."""
        labelled = {name: figures.labelled(name, kind) for name in ("ended", "failed", "retried", "exhausted")}
        sizes = {
            name: SizeView.of(figures.histogram(counted, kind))
            for name, counted in (
                ("wait_s", "wait"),
                ("run_s", "run"),
                ("first_token_s", "first_token"),
                ("tokens_per_s", "speed"),
            )
        }
        counts = {name: figures.count(name, kind) for name in ("submitted", "lost", "tokens")}
        return cls(**counts, **labelled, redelivered=figures.labelled("redelivered", kind), **sizes)


class SpanStats(BaseModel):
    """What was counted in some time: all kinds together, and each."""

    seconds: Annotated[float | None, Field(description="How long that time is; null for since ever")]
    all: KindStats
    kinds: dict[str, KindStats]

    @classmethod
    def of(cls, counts: dict[str, int], seconds: float | None = None) -> Self:
        """From counts by their fields."""
        figures = Figures(counts)
        kinds = {kind: KindStats.of(figures, kind) for kind in figures.kinds}
        return cls(seconds=seconds, all=KindStats.of(figures, ""), kinds=kinds)


class QueueStats(BaseModel):
    """A queue now. ``messages`` is null where the broker cannot be asked."""

    waiting: int
    workers: int
    messages: int | None


class ReaderStats(BaseModel):
    """Who reads from the process that answers: event streams and sockets, and the jobs that it follows for them."""

    streams: int
    feeds: int
    activity: int


class NowStats(BaseModel):
    """What there is now."""

    jobs: Annotated[dict[str, dict[str, int]], Field(description="Jobs that have not ended, by kind and status")]
    delayed: Annotated[int, Field(description="Those of them that wait for their time")]
    running: int
    workers: int
    queues: dict[str, QueueStats]
    readers: ReaderStats


class Stats(BaseModel):
    """Figures."""

    at: str
    now: NowStats
    last_hour: SpanStats
    ever: SpanStats


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
