"""`python -m bench scale`: measures the unit costs, predicts two sizes from them, runs those, and tells the error."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import redis

from bench import streaming
from bench.model import DAY_S, Cost, Load, Need, Units, need
from bench.peers import PEERS, Peer
from bench.plans import Plan
from bench.processes import ROOT
from bench.results import markdown

PAGE: Final = ROOT / "docs" / "scale.md"
TEXT: Final = Path(__file__).parent / "scale.md.in"
US, HOP = PEERS["jobcast"], PEERS["raw hop"]
RATE: Final = 20.0
ALONE, BUSY = Plan(50, 50, RATE / 2), Plan(300, 300, RATE)
"""Where each event wakes its process by itself, and where several are taken at a time."""
SIZES: Final = (Load("small", 100, 500, 10.0), Load("large", 400, 4000, 10.0))
READERS: Final = (10_000, 100_000, 1_000_000)
TOKENS_S: Final = 100_000
TOKENS_A_JOB: Final = 30.0
STORED: Final = 500
Locked = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Costs:
    """What a measurement says of one event: CPU of the server for each delivery, of the others for each append."""

    appends: float
    server_us: float
    redis_us: float
    publisher_us: float
    grown_kib: float

    @classmethod
    def of(cls, found: streaming.Figures, plan: Plan) -> "Costs":
        """By the events that there were: tokens may have been joined. On a raw hop they are not told apart."""
        events = found["events"] or found["tokens"]
        deliveries = events / found["wall_s"]
        appends = deliveries / plan.fan
        return cls(
            appends,
            found["server_cpu"] / deliveries * 1e6,
            found["redis_cpu"] / appends * 1e6,
            found["publisher_cpu"] / appends * 1e6,
            max(0.0, found["grown_kib"]) / (events / plan.fan),
        )


def measure_units(seconds: float, locked: Locked) -> Units:
    """Each unit from a measurement in which it stands out."""

    def streamed(peer: Peer, plan: Plan) -> Costs:
        with locked():
            return Costs.of(streaming.measure(peer, plan.lasting(seconds)), plan)

    wide, alone, busy = (streamed(US, plan) for plan in (Plan(1, 500, RATE), ALONE, BUSY))
    one, four = (streamed(HOP, Plan(200, 200 * count, RATE)) for count in (1, 4))
    with locked():
        crowd = streaming.idle(US, Plan(1, 2000))
    with locked():
        apart = streaming.idle(US, Plan(1000, 1000))
    with locked():
        stored = stored_bytes()
    # An event to 500 readers: message + 500 deliveries; to one: message + delivery.
    delivery = (wide.server_us * 500 - alone.server_us) / 499
    return Units(
        delivery_us=delivery,
        message=_cost(max(0.0, alone.server_us - delivery), max(0.0, busy.server_us - delivery)),
        append=_cost(alone.redis_us, busy.redis_us),
        copy_us=max(0.0, (four.redis_us - one.redis_us) / 3),
        publish=_cost(alone.publisher_us, busy.publisher_us, BUSY.publishers),
        base_kib=crowd["empty_kib"],
        reader_kib=crowd["kib_a_reader"],
        job_kib=apart["kib_a_reader"] - crowd["kib_a_reader"],
        event_kib=busy.grown_kib,
        stored_bytes=stored,
    )


def _cost(alone_us: float, busy_us: float, processes: int = 1) -> Cost:
    return Cost(alone_us, busy_us, ALONE.offered / ALONE.publishers, BUSY.offered / processes)


def stored_bytes() -> float:
    """Bytes of Redis's memory that an event of a few words takes in a log."""
    with streaming.stage(US, Plan(1, 1, size=8), count=STORED) as found:
        client = redis.Redis.from_url(found.site.redis_url)
        try:
            before = client.info("memory")["used_memory"]
            streaming.publish_all(found, Plan(1, 1), STORED)
            return float((client.info("memory")["used_memory"] - before) / STORED)
        finally:
            client.close()


@dataclass(frozen=True)
class Check:
    """One figure of a size: as predicted, and as measured."""

    size: str
    what: str
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """How far off the prediction is, as a share of what was measured."""
        return self.predicted / self.measured - 1 if self.measured else 0.0


def check(units: Units, load: Load, seconds: float, locked: Locked) -> Iterator[Check]:
    """Runs a size, and compares it with what the model says of its load."""
    plan = Plan(round(load.jobs), round(load.readers), load.rate, seconds=seconds)
    with locked():
        found = streaming.measure(US, plan)
    # The load that came about: where the machine is short of CPU, tokens are joined.
    appends = Costs.of(found, plan).appends
    events = appends * (plan.warmup_s + seconds)
    measured = replace(load, rate=appends / load.jobs, publishers=plan.publishers)
    expected = need(units, measured, kept_events=events)
    yield Check(load.name, "API, cores", expected.api_cores, found["server_cpu"])
    yield Check(load.name, "Redis, cores", expected.redis_cores, found["redis_cpu"])
    yield Check(load.name, "publisher, cores", expected.worker_cores, found["publisher_cpu"])
    yield Check(load.name, "API, MiB", expected.api_mib, found["rss_kib"] / 1024)


def plans() -> Iterator[tuple[Load, Load]]:
    """What to plan for: each number of readers with default settings, and with those that help."""
    jobs = TOKENS_S / TOKENS_A_JOB
    for readers in READERS:
        load = Load(f"{readers:,} readers", jobs, readers, TOKENS_A_JOB)
        yield load, replace(load, flush_ms=100.0, by_job=True, kept_s=DAY_S / 24)


def run(seconds: float, rounds: int, locked: Locked) -> tuple[Units, list[Check]]:
    """Measures, checks and prints."""
    units = median_units([measure_units(seconds, locked) for _ in range(rounds)])
    for name, value in vars(units).items():
        print(f"  {name:<14} {value}")
    turns = [[one for load in SIZES for one in check(units, load, seconds, locked)] for _ in range(rounds)]
    checks = [_median_check(list(same)) for same in zip(*turns, strict=True)]
    for one in checks:
        told = f"{one.predicted:9.3f} predicted {one.measured:9.3f} measured {one.error:+.0%}"
        print(f"  {one.size:<6} {one.what:<17} {told}")
    return units, checks


def _median_check(same: list[Check]) -> Check:
    """Of one figure, the turn whose error is in the middle."""
    return sorted(same, key=lambda one: one.error)[len(same) // 2]


def median_units(found: list[Units]) -> Units:
    """The median of each unit."""
    return Units(**{name: _middle([getattr(one, name) for one in found]) for name in vars(found[0])})


def _middle(found: list[Any]) -> Any:
    if isinstance(found[0], Cost):
        return Cost(*(_middle([getattr(one, name) for one in found]) for name in vars(found[0])))
    return sorted(found)[len(found) // 2]


def write(units: Units, checks: list[Check], facts: dict[str, str]) -> None:
    """Writes docs/scale.md."""
    parts = {
        "machine": f"{facts['processor']}; commit {facts['commit']}, {facts['date']}",
        "units": _units(units),
        "check": markdown([["size", "figure", "predicted", "measured", "error"], *map(_check_row, checks)]),
        "worst": f"{max(abs(one.error) for one in checks):.0%}",
        "sizes": "; ".join(map(_size, SIZES)),
        "plans": markdown([PLAN_HEAD, *(row for pair in plans() for row in _plan_rows(units, *pair))]),
    }
    text = TEXT.read_text("utf-8")
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    PAGE.write_text(text, "utf-8")


PLAN_HEAD: Final = [
    "100,000 tokens/s to",
    "settings",
    "API cores (for messages)",
    "API processes",
    "API memory, GiB",
    "Redis cores",
    "shards",
    "log, GiB",
    "publishers' cores",
    "gives way first",
]


def _plan_rows(units: Units, plain: Load, tuned: Load) -> Iterator[list[str]]:
    for load, settings in ((plain, "default"), (tuned, "tuned")):
        found = need(units, load)
        yield [load.name, settings, *_plan_cells(found)]


def _plan_cells(found: Need) -> list[str]:
    return [
        f"{found.api_cores:,.1f} ({found.message_cores:,.1f})",
        f"{found.api_processes:,}",
        f"{found.api_mib / 1024:,.1f}",
        f"{found.redis_cores:,.1f}",
        f"{found.shards:,}",
        f"{found.redis_gib:,.0f}",
        f"{found.worker_cores:,.1f}",
        found.first,
    ]


def _check_row(one: Check) -> list[str]:
    digits = 0 if "MiB" in one.what else 3
    return [one.size, one.what, f"{one.predicted:,.{digits}f}", f"{one.measured:,.{digits}f}", f"{one.error:+.0%}"]


def _size(load: Load) -> str:
    return f"{load.name}: {load.jobs:,.0f} jobs, {load.readers:,.0f} readers, {load.rate:g} tokens/s each"


def _units(units: Units) -> str:
    rows = [
        ["an event to one more reader", f"{units.delivery_us:.1f} µs of an API process"],
        ["an event that comes to an API process", f"{_both(units.message)} of it"],
        ["an append: an event written to its log and sent to one API process", f"{_both(units.append)} of Redis"],
        ["the same sent to one more API process", f"{units.copy_us:.1f} µs of Redis"],
        ["an append", f"{_both(units.publish)} of the worker's process"],
        ["an API process", f"{units.base_kib / 1024:.0f} MiB"],
        ["a reader", f"{units.reader_kib:.1f} KiB of an API process"],
        ["a job that is followed", f"{units.job_kib:.1f} KiB of an API process"],
        ["an event that an API process still has", f"{units.event_kib * 1024:.0f} bytes of it"],
        ["an event in its log", f"{units.stored_bytes:.0f} bytes of Redis"],
    ]
    return markdown([["one of these", "costs"], *rows])


def _both(cost: Cost) -> str:
    return f"{cost.busy_us:.1f} µs ({cost.alone_us:.1f} alone)"
