"""The targets: what is to be reached beside the peers, and what was."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.results import Result, median

US: Final = "jobcast"
BEST: Final = "goal"


@dataclass(frozen=True)
class Mark:
    """One condition: a value of the results that has to be at least, or at most, a bound."""

    text: str
    value: Callable[[list[Result]], float | None]
    compare: Callable[[float, float], bool]
    bound: float
    digits: int = 2

    def shown(self, results: list[Result]) -> str:
        """What was measured, beside the bound, and whether that is met."""
        value = self.value(results)
        sign = "≥" if self.compare is operator.ge else "≤"
        wanted = f"{sign} {self.bound:,g}"
        if value is None:
            return f"{self.text}: not measured ({wanted})"
        verdict = "met" if self.compare(round(value, self.digits), self.bound) else "**not met**"
        return f"{self.text}: {value:,.{self.digits}f} ({wanted}), {verdict}"


@dataclass(frozen=True)
class Target:
    """What must be, and what would be better still."""

    title: str
    must: tuple[Mark, ...]
    goal: tuple[Mark, ...] = ()


def times(scenario: str, key: str, other: str, bound: float, *, least: bool = True) -> Mark:
    """Ours over another's."""

    def value(results: list[Result]) -> float | None:
        ours, theirs = (median(results, scenario, variant, key) for variant in (US, other))
        return ours / theirs if ours and theirs else None

    return Mark(f"× {other}", value, operator.ge if least else operator.le, bound)


def ours(text: str, scenario: str, key: str, bound: float, *, least: bool = False, variant: str = US) -> Mark:
    """A figure of ours by itself."""

    def value(results: list[Result]) -> float | None:
        return median(results, scenario, variant, key)

    return Mark(text, value, operator.ge if least else operator.le, bound)


def over(text: str, scenario: str, key: str, pair: tuple[str, str], bound: float) -> Mark:
    """How much more of something the first variant of a pair has than the second."""

    def value(results: list[Result]) -> float | None:
        more, less = (median(results, scenario, variant, key) for variant in pair)
        return None if more is None or less is None else more - less

    return Mark(text, value, operator.le, bound)


def share(text: str, scenario: str, key: str, pair: tuple[str, str], bound: float, *, least: bool = False) -> Mark:
    """The first variant of a pair over the second."""

    def value(results: list[Result]) -> float | None:
        first, second = (median(results, scenario, variant, key) for variant in pair)
        return first / second if first is not None and second else None

    return Mark(text, value, operator.ge if least else operator.le, bound)


PER_CPU: Final = "deliveries_per_cpu_s"
HOP: Final = (US, "raw hop")
STALLED: Final = (f"{US}, half stalled", f"{US}, none stalled")
TOKENS: Final = ("jobcast, the Publisher", "a script a token")
ALONE, PACED = "jobcast, 200 streams alone", "jobcast, 300 POST/s beside 200 streams"
SENDING: Final = ("jobcast, one by one", "Celery's apply_async")
BATCHED: Final = ("jobcast, 100 at a time", SENDING[1])

TARGETS: Final = (
    Target(
        "one-to-one, 500 × 30/s: deliveries a CPU second of the server",
        (
            times("one-to-one", PER_CPU, "nchan", 1.5),
            times("one-to-one", PER_CPU, "tutorial C", 3),
            times("one-to-one", PER_CPU, "tutorial B", 5),
        ),
        (
            times("one-to-one", PER_CPU, "nchan", 2),
            times("one-to-one", PER_CPU, "tutorial C", 5),
            times("one-to-one", PER_CPU, "tutorial B", 7),
        ),
    ),
    Target(
        "one-to-one in a closed loop: deliveries/s",
        (times("closed-one-to-one", "rate", "nchan", 2), times("closed-one-to-one", "rate", "tutorial C", 5)),
        (times("closed-one-to-one", "rate", "nchan", 4), times("closed-one-to-one", "rate", "tutorial B", 10)),
    ),
    Target(
        "fan-out, 1,000 × 50/s: deliveries a CPU second of the server",
        (times("fan-1000", PER_CPU, "nchan", 0.8), times("fan-1000", PER_CPU, "tutorial C", 4)),
        (times("fan-1000", PER_CPU, "nchan", 1.1), times("fan-1000", PER_CPU, "floor", 0.6)),
    ),
    Target(
        "fan-out, 5,000 × 50/s on one core",
        (ours("delivered", "fan-5000", "share", 0.99, least=True), ours("p99 ms", "fan-5000", "p99_ms", 60)),
        (
            ours("p99 ms", "fan-5000", "p99_ms", 25),
            times("fan-5000", "server_s_per_million", "floor", 1.3, least=False),
        ),
    ),
    Target(
        "fan-out in a closed loop: deliveries/s",
        (times("closed-fan-out", "rate", "nchan", 2),),
        (times("closed-fan-out", "rate", "nchan", 4), times("closed-fan-out", "rate", "tutorial C", 20)),
    ),
    Target(
        "latency added to the raw Redis hop, 15,000/s",
        (
            over("p50 ms", "added-latency", "p50_ms", HOP, 0.25),
            over("p99 ms", "added-latency", "p99_ms", HOP, 1.0),
        ),
        (
            over("p50 ms", "added-latency", "p50_ms", HOP, 0.12),
            over("p99 ms", "added-latency", "p99_ms", HOP, 0.4),
        ),
    ),
    Target(
        "replay storm, 1,000 × 1,000: events/s",
        (times("storm", "rate", "nchan", 8),),
        (times("storm", "rate", "nchan", 20), ours("done p99 ms", "storm", "done_p99_ms", 200)),
    ),
    Target(
        "memory of an idle reader",
        (ours("KiB", "idle", "kib_a_reader", 16),),
        (ours("KiB", "idle", "kib_a_reader", 10),),
    ),
    Target(
        "pub/sub connections of a process, 5,000 readers",
        (ours("connections", "idle", "subscriptions", 3),),
        (ours("connections", "idle", "subscriptions", 1),),
    ),
    Target("resume", (ours("gaps", "resume", "gaps", 0), ours("repeats", "resume", "repeats", 0))),
    Target(
        "half of the readers stalled",
        (
            share("p99 over unstalled", "stalled", "p99_ms", STALLED, 2),
            ours("KiB a stalled reader", "stalled", "kib_a_stalled", 1024, variant=STALLED[0]),
        ),
        (ours("KiB a stalled reader", "stalled", "kib_a_stalled", 64, variant=STALLED[0]),),
    ),
    Target(
        "tokens published by one process",
        (share("× a script a token", "publish", "rate", TOKENS, 10, least=True),),
        (
            share("× a script a token", "publish", "rate", TOKENS, 30, least=True),
            ours("a call, p99 µs", "publish", "call_p99_us", 2, variant=TOKENS[0]),
            ours("Redis CPU µs a token", "publish", "redis_us", 2, variant=TOKENS[0]),
        ),
    ),
    Target(
        "submissions beside 200 streams",
        (
            ours("submissions/s", "submissions", "posts", 299, least=True, variant=PACED),
            ours("POST p99 ms", "submissions", "post_p99_ms", 100, variant=PACED),
            share("streams' p99 over alone", "submissions", "p99_ms", (PACED, ALONE), 1.25),
        ),
        (
            ours("POST p99 ms", "submissions", "post_p99_ms", 30, variant=PACED),
            share("messages: × apply_async", "messages", "sent", SENDING, 3, least=True),
            share("100 at a time: × apply_async", "messages", "sent", BATCHED, 30, least=True),
        ),
    ),
    Target(
        "WebSocket fan-out, 1,000 × 50/s: deliveries a CPU second of the server",
        (times("websocket", PER_CPU, "nchan", 0.8),),
        (times("websocket", PER_CPU, "nchan", 1), times("closed-websocket", "rate", "nchan", 1)),
    ),
)
