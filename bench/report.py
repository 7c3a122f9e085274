"""docs/performance.md and its plots, from the results of a run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench import results
from bench.peers import PEERS
from bench.plot import Bar, Panel, svg
from bench.processes import ROOT
from bench.results import Result
from bench.scenarios import Scenario
from bench.targets import TARGETS, Mark

PAGE: Final = ROOT / "docs" / "performance.md"
TEXT: Final = Path(__file__).parent / "performance.md.in"
PLOTS: Final = {
    "cpu": ("server_s_per_million", 1, ("fan-100", "fan-1000", "fan-5000", "one-to-one", "websocket")),
    "latency": ("p99_ms", 1, ("fan-1000", "fan-5000", "one-to-one")),
    "saturation": ("rate", 0, ("closed-fan-out", "closed-one-to-one", "closed-websocket", "storm")),
    "memory": ("kib_a_reader", 1, ("idle",)),
}
"""File → its figure, digits, and the scenarios that it shows."""
SHOWN: Final = ("fan-100", "fan-1000", "fan-5000", "one-to-one", "websocket", "closed-fan-out", "closed-one-to-one")
"""Scenarios in which the load generator has the most to do."""
NAMES: Final = {
    "server_s_per_million": "server CPU seconds per million deliveries",
    "p99_ms": "99th percentile of latency, ms",
    "rate": "deliveries/s",
    "kib_a_reader": "KiB a reader",
}


def write(found: list[Result], facts: dict[str, str], known: dict[str, Scenario], command: str) -> None:
    """Writes the page and its plots."""
    folder = PAGE.with_suffix("")
    folder.mkdir(exist_ok=True)
    for name, (key, digits, wanted) in PLOTS.items():
        panels = [_panel(found, known[one], key, digits) for one in wanted]
        (folder / f"{name}.svg").write_text(svg([panel for panel in panels if panel.bars]))
    parts = {
        "machine": "\n".join(f"| {name} | {value} |" for name, value in facts.items()),
        "command": command,
        "rounds": str(1 + max((one.turn for one in found), default=0)),
        "peers": "\n".join(f"| {peer.name} | {peer.about} |" for peer in PEERS.values()),
        "generator": "\n".join(generator(found)),
        "targets": "\n".join(targets(found)),
        "tables": "\n".join(tables(found, known)),
    }
    text = TEXT.read_text()
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    PAGE.write_text(text)


def _panel(found: list[Result], scenario: Scenario, key: str, digits: int) -> Panel:
    bars = []
    for variant in scenario.variants:
        if values := results.values(found, scenario.name, variant, key):
            middle = results.median(found, scenario.name, variant, key) or 0.0
            bars.append(Bar(variant, min(values), middle, max(values), digits, variant.startswith("jobcast")))
    return Panel(f"{scenario.title}: {NAMES[key]}", bars)


def targets(found: list[Result]) -> Iterator[str]:
    """A row for each target."""

    def cell(marks: tuple[Mark, ...]) -> str:
        return "<br>".join(mark.shown(found) for mark in marks) or "–"

    yield "| | must | goal |"
    yield "| --- | --- | --- |"
    for target in TARGETS:
        yield f"| {target.title} | {cell(target.must)} | {cell(target.goal)} |"


def generator(found: list[Result]) -> Iterator[str]:
    """What shows that the load generator is not what is measured."""
    ceiling = max(results.values(found, "closed-fan-out", "floor", "rate"), default=0.0)
    if ceiling:
        what = "from the floor in a closed loop, on one core with Redis and the publisher"
        yield f"- Its ceiling: {ceiling:,.0f} deliveries/s, {what}."
    shares = {
        name: max(results.values(found, name, "jobcast", "readers_cpu"), default=0.0)
        for name in (
            "fan-100",
            "fan-1000",
            "fan-5000",
            "one-to-one",
            "websocket",
            "closed-fan-out",
            "closed-one-to-one",
        )
    }
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share)
    yield f"- Its own CPU before Jobcast, as a share of a core, the most of all rounds: {told}."
    broken = sum(one.figures.get("broken", 0) + one.figures.get("failed", 0) for one in found)
    yield f"- Readers that were refused or tokens that could not be read, in all measurements: {broken:,.0f}."


def tables(found: list[Result], known: dict[str, Scenario]) -> Iterator[str]:
    """All figures."""
    for scenario in known.values():
        rows = list(results.rows(found, scenario))
        if len(rows) > 1:
            yield f"### {scenario.title[0].upper()}{scenario.title[1:]}\n"
            yield results.markdown(rows)
            commits = {one.commit for one in found if one.scenario == scenario.name and one.commit}
            yield f"Commit {', '.join(sorted(commits))}.\n" if commits else ""
            for name, why in scenario.missing.items():
                yield f"Without {name}: {why}.\n"
