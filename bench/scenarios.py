"""What is measured: each scenario, by whom, and which of its figures count."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from bench import publishing, recovery, streaming, submissions
from bench.peers import PEERS, Peer
from bench.plans import Plan
from bench.streaming import Figures


@dataclass(frozen=True)
class Column:
    """A figure of a table: where it is found, what it is called, and how it is written."""

    key: str
    title: str
    digits: int = 1


@dataclass(frozen=True)
class Scenario:
    """Variants that take turns. Each is called with the length of one measurement in seconds."""

    name: str
    title: str
    variants: Mapping[str, Callable[[float], Figures]]
    columns: tuple[Column, ...]
    missing: dict[str, str]
    """Variants that cannot be measured here, and why."""


RATE: Final = Column("rate", "deliveries/s", 0)
SHARE: Final = Column("share", "delivered", 3)
P50, P99 = Column("p50_ms", "p50 ms", 2), Column("p99_ms", "p99 ms", 2)
CPU: Final = Column("server_s_per_million", "server CPU s per million", 2)
REDIS: Final = Column("redis_s_per_million", "Redis CPU s per million", 2)
PUBLISHER: Final = Column("publisher_s_per_million", "publisher CPU s per million", 2)
TOTAL: Final = Column("all_s_per_million", "all three", 2)
SERVER_CPU: Final = Column("server_cpu", "server CPU", 2)
REST: Final = (Column("readers_cpu", "load generator CPU", 2), Column("foreign_cpu", "others' CPU", 2))
PACED: Final = (SHARE, P50, P99, CPU, REDIS, PUBLISHER, TOTAL, SERVER_CPU, *REST)
LOOP: Final = (RATE, P50, P99, CPU, REDIS, PUBLISHER, TOTAL, SERVER_CPU, *REST)

ALL: Final = ("jobcast", "nchan", "floor", "tutorial B", "tutorial C", "resumable-stream")
FEW: Final = ("jobcast", "nchan", "floor", "tutorial A", "tutorial B", "tutorial C")
MANY: Final = ("jobcast", "nchan", "floor", "tutorial C")
CLOSED: Final = ("jobcast", "nchan", "floor", "tutorial B", "tutorial C")
UNJOINED: Final = "jobcast, FLUSH_MS=0"
PAIRS: Final = Plan(500, 500, 30.0, shares_core=True)
STALLED_PLAN: Final = Plan(1, 20, 1000.0, size=4000, seconds=6.0)


def _measured(peer: Peer, plan: Plan, seconds: float) -> Figures:
    return streaming.measure(peer, plan.lasting(seconds))


def streamed(name: str, title: str, peers: Iterable[str], plan: Plan, columns: tuple[Column, ...]) -> Scenario:
    """A scenario of one plan for several peers."""
    found, missing = _present(peers)
    variants = {peer.name: partial(_measured, peer, plan) for peer in found}
    if not plan.rate:
        # With few tokens under way the publisher waits for its clock more than for anything else.
        variants[UNJOINED] = partial(_measured, PEERS["jobcast"], replace(plan, flush_ms=0))
    return Scenario(name, title, variants, columns, missing)


def _present(names: Iterable[str]) -> tuple[list[Peer], dict[str, str]]:
    peers = [PEERS[name] for name in names]
    missing = {peer.name: why for peer in peers if (why := peer.missing())}
    return [peer for peer in peers if peer.name not in missing], missing


def _storm(peer: Peer, seconds: float) -> Figures:
    return streaming.storm(peer, Plan(1, 1000), 1000)


def _idle(peer: Peer, readers: int, seconds: float) -> Figures:
    return streaming.idle(peer, Plan(1, readers))


def _stalled(peer: Peer, seconds: float) -> Figures:
    plan = replace(STALLED_PLAN, extra={"stalled": 10, "receive_buffer": 65_536})
    figures = streaming.measure(peer, plan.lasting(max(seconds, 4.0)))
    # Half of them read nothing: what is offered to the others is the half.
    return figures | {"share": figures["share"] * 2, "kib_a_stalled": figures["grown_kib"] / 10}


def _others() -> list[Scenario]:
    stormed, storm_missing = _present(("jobcast", "nchan"))
    waiting, idle_missing = _present(MANY)
    slow, slow_missing = _present(("jobcast", "nchan"))
    done = (Column("done_p50_ms", "done p50 ms", 0), Column("done_p99_ms", "done p99 ms", 0))
    stalled = {f"{peer.name}, half stalled": partial(_stalled, peer) for peer in slow}
    healthy = {f"{peer.name}, none stalled": partial(_measured, peer, STALLED_PLAN) for peer in slow}
    return [
        Scenario(
            "storm",
            "replay storm: 1,000 readers want the same 1,000 events at once",
            {peer.name: partial(_storm, peer) for peer in stormed},
            (Column("rate", "events/s", 0), Column("done", "readers done", 0), *done, CPU, REST[0]),
            storm_missing,
        ),
        Scenario(
            "idle",
            "memory: 5,000 readers who wait",
            {peer.name: partial(_idle, peer, 5000) for peer in waiting},
            (
                Column("kib_a_reader", "KiB a reader", 1),
                Column("ready", "readers", 0),
                Column("subscriptions", "pub/sub connections", 0),
            ),
            idle_missing,
        ),
        Scenario(
            "stalled",
            "slow readers: 10 of 20 never read, 4 KB × 1,000/s",
            {**healthy, **stalled},
            (SHARE, P50, P99, CPU, Column("kib_a_stalled", "KiB a stalled reader", 0)),
            slow_missing,
        ),
    ]


def _streamed() -> list[Scenario]:
    fans = [
        streamed(f"fan-{count}", f"fan-out: 1 job × {count:,} readers × 50/s", peers, Plan(1, count, 50.0), PACED)
        for count, peers in ((100, FEW), (1000, ALL), (5000, MANY))
    ]
    return [
        *fans,
        streamed("one-to-one", "500 jobs × 1 reader × 30/s", ALL, PAIRS, PACED),
        streamed(
            "closed-fan-out", "closed loop: 1 job × 1,000 readers, 8 under way", CLOSED, Plan(1, 1000, window=8), LOOP
        ),
        streamed(
            "closed-one-to-one",
            "closed loop: 500 jobs × 1 reader, 4 under way",
            CLOSED,
            replace(PAIRS, rate=0.0, window=4),
            LOOP,
        ),
    ]


def _particular() -> list[Scenario]:
    hop = ("jobcast", "raw hop")
    gaps = (Column("gaps", "gaps", 0), Column("repeats", "repeats", 0), Column("reconnects", "reconnects", 0))
    returning = Plan(1, 100, 50.0, extra={"drop_after": 40, "back_after_ms": 100})
    sockets = ("jobcast", "nchan", "tutorial C")
    return [
        streamed(
            "added-latency",
            "added latency: 500 jobs × 1 reader × 30/s, beside the raw hop",
            hop,
            PAIRS,
            PACED,
        ),
        streamed(
            "added-latency-low",
            "the same, 500 jobs × 1 reader × 10/s",
            hop,
            replace(PAIRS, rate=10.0),
            PACED,
        ),
        streamed(
            "resume",
            "resume: 100 readers drop after 40 to 80 tokens and come back",
            ("jobcast", "nchan", "tutorial C"),
            returning,
            (SHARE, *gaps, P99),
        ),
        streamed(
            "websocket", "WebSocket: 1 job × 1,000 readers × 50/s", sockets, Plan(1, 1000, 50.0, kind="ws"), PACED
        ),
        streamed(
            "closed-websocket",
            "WebSocket, closed loop: 1 job × 1,000 readers, 8 under way",
            sockets,
            Plan(1, 1000, window=8, kind="ws"),
            LOOP,
        ),
    ]


def _work() -> list[Scenario]:
    columns = (
        Column("posts", "submissions/s", 0),
        Column("post_p50_ms", "POST p50 ms", 1),
        Column("post_p99_ms", "POST p99 ms", 1),
    )
    calls = (Column("call_p50_us", "a call, p50 µs", 1), Column("call_p99_us", "a call, p99 µs", 1))
    costs = (Column("cpu_us", "process CPU µs a token", 2), Column("redis_us", "Redis CPU µs a token", 2))
    times = (Column("told_s", "readers told, s", 2), Column("token_s", "next token, s", 2))
    pools = {f"jobcast, --pool {pool}": partial(recovery.killed, pool) for pool in ("threads", "prefork")}
    return [
        Scenario(
            "submissions",
            "POST /v1/jobs",
            submissions.POSTED,
            (*columns, Column("p99_ms", "streams' p99 ms", 1), SERVER_CPU),
            {},
        ),
        Scenario(
            "messages",
            "messages to the broker, from one process",
            submissions.SENT,
            (Column("sent", "messages/s", 0), P50, P99),
            {},
        ),
        Scenario(
            "publish",
            "publishing from one process",
            publishing.VARIANTS,
            (Column("rate", "tokens/s", 0), *calls, *costs),
            {},
        ),
        Scenario("recovery", "kill -9 of a worker and its pool, another one running", pools, times, {}),
    ]


def scenarios() -> dict[str, Scenario]:
    """All of them, in the order of the report."""
    return {scenario.name: scenario for scenario in (*_streamed(), *_particular(), *_others(), *_work())}
