"""Figures as they come: kept as lines of JSON, shown as medians with their spread."""

import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.scenarios import Column, Scenario
from bench.streaming import Figures


@dataclass(frozen=True)
class Result:
    """One measurement: its figures, or why there are none."""

    scenario: str
    variant: str
    turn: int
    figures: Figures
    error: str = ""
    commit: str = ""


def keep(path: Path, result: Result) -> None:
    """Adds a result to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(asdict(result)) + "\n")


def keep_facts(path: Path, facts: dict[str, str]) -> None:
    """Notes what the results that follow are measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps({"facts": facts}) + "\n")


def read(path: Path) -> tuple[list[Result], dict[str, str]]:
    """The results of a file, and what they were measured on. Where a variant was run again, its last run counts."""
    facts: dict[str, str] = {}
    run, runs = 0, dict[tuple[str, str], int]()
    found: list[tuple[int, Result]] = []
    for line in map(json.loads, path.read_text().splitlines()):
        if "facts" in line:
            facts, run = line["facts"], run + 1
        else:
            result = Result(**{**line, "commit": facts.get("commit", "")})
            runs[result.scenario, result.variant] = run
            found.append((run, result))
    return [result for run, result in found if run == runs[result.scenario, result.variant]], facts


def values(results: list[Result], scenario: str, variant: str, key: str) -> list[float]:
    """One figure, of each turn."""
    return [
        one.figures[key]
        for one in results
        if one.scenario == scenario and one.variant == variant and key in one.figures
    ]


def median(results: list[Result], scenario: str, variant: str, key: str) -> float | None:
    """The median of a figure; None where it was not measured."""
    found = values(results, scenario, variant, key)
    return statistics.median(found) if found else None


def spread(found: list[float], digits: int = 1) -> str:
    """Median, and least to most."""
    if not found:
        return "–"
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(found), statistics.median(found), max(found)))
    return middle if low == high else f"{middle} ({low}–{high})"


def rows(results: list[Result], scenario: Scenario) -> Iterator[list[str]]:
    """A table, its head first."""
    columns: tuple[Column, ...] = scenario.columns
    yield ["", *(column.title for column in columns)]
    for variant in scenario.variants:
        found = [values(results, scenario.name, variant, column.key) for column in columns]
        errors = [one.error for one in results if (one.scenario, one.variant) == (scenario.name, variant) and one.error]
        if any(found):
            cells = [spread(one, column.digits) for one, column in zip(found, columns, strict=True)]
            yield [variant, *cells]
        elif errors:
            yield [variant, f"failed: {errors[0].strip().splitlines()[-1][:120]}", *([""] * (len(columns) - 1))]


def markdown(table: list[list[str]]) -> str:
    """A table as Markdown."""
    head, *body = table
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
