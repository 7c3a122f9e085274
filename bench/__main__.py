"""``python -m bench [SCENARIO …]``: Jobcast and its peers side by side, by turns; medians and spread.

``python -m bench scale`` measures the cost model of docs/scale.md, and what it predicts.

Absolute figures drift with the machine and its load. All variants of a scenario take turns, so quote the ratios.
"""

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import machine, report, results, scale
from bench.build import BUILT, NoCompiler, program
from bench.processes import OTHER_CORES, BenchError, on_cores
from bench.results import Result
from bench.scenarios import Scenario, scenarios

COMMAND = "make bench"
QUICK_ROUNDS, QUICK_SECONDS = 2, 2.0


def main() -> int:
    """Measures what is asked for, or all."""
    known = scenarios()
    options = _parser().parse_args()
    wanted = options.scenarios or list(known)
    if unknown := set(wanted) - {*known, *(["scale"] if wanted == ["scale"] else [])}:
        print(f"there is no scenario {min(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    if options.from_results:
        found, facts = results.read(options.from_results)
        report.write(found, facts | ({"note": options.note} if options.note else {}), known, COMMAND)
        return 0
    try:
        program("readers")
    except NoCompiler as error:
        print(error, file=sys.stderr)
        return 1
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else 5)
    seconds = options.seconds or (QUICK_SECONDS if options.quick else 4.0)
    out = options.out or BUILT / f"results-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    if wanted == ["scale"]:
        return scaled(rounds, seconds, options)
    with on_cores(OTHER_CORES):
        for name in wanted:
            results.keep_facts(out, machine.facts())
            show(run(known[name], rounds, seconds, options, out), known[name])
    if options.write:
        report.write(*results.read(out), known, COMMAND)
    print(f"\nall figures: {out}")
    return 0


def scaled(rounds: int, seconds: float, options: argparse.Namespace) -> int:
    """The cost model, and its check."""
    with on_cores(OTHER_CORES):
        units, checks = scale.run(seconds, rounds, lambda: locked(options.lock))
    if options.write:
        scale.write(units, checks, machine.facts())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="all without; an unknown one lists them")
    parser.add_argument("--rounds", type=int, help="how often the variants take turns (5)")
    parser.add_argument("--seconds", type=float, help="length of one measurement (4)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 2 s: minutes, and rough")
    parser.add_argument("--peers", help="only these variants, comma-separated")
    parser.add_argument("--out", type=Path, help="adds the results to this file")
    parser.add_argument("--write", action="store_true", help="writes docs/performance.md")
    parser.add_argument("--from-results", type=Path, help="writes docs/performance.md from a file of results")
    parser.add_argument("--note", help="what a reader of that page should know of these results")
    parser.add_argument("--lock", type=Path, help="holds this file's lock during each measurement")
    return parser


def run(scenario: Scenario, rounds: int, seconds: float, options: argparse.Namespace, out: Path) -> list[Result]:
    """All rounds of a scenario, its variants by turns."""
    print(f"\n{scenario.name}: {scenario.title}", flush=True)
    for name, why in scenario.missing.items():
        print(f"  without {name}: {why}")
    only = options.peers.split(",") if options.peers else list(scenario.variants)
    found = []
    for turn in range(rounds):
        for variant in (name for name in scenario.variants if any(name.startswith(one) for one in only)):
            with locked(options.lock):
                found.append(one(scenario, variant, turn, seconds))
            results.keep(out, found[-1])
            print(f"\r  round {turn + 1} of {rounds}: {variant:<30}", end="", file=sys.stderr, flush=True)
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return found


def one(scenario: Scenario, variant: str, turn: int, seconds: float) -> Result:
    """One measurement; one that fails is a result as well."""
    try:
        return Result(scenario.name, variant, turn, scenario.variants[variant](seconds))
    except (BenchError, subprocess.CalledProcessError, OSError) as error:
        return Result(scenario.name, variant, turn, {}, f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def locked(path: Path | None) -> Iterator[None]:
    """For machines that several measure on."""
    if path is None:
        yield
        return
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def show(found: list[Result], scenario: Scenario) -> None:
    """Prints a table."""
    table = list(results.rows(found, scenario))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
