"""The page that a run writes: targets by what was measured, plots that a browser can show."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import report, results, targets
from bench.percentiles import percentile
from bench.plot import Bar, Panel, svg
from bench.results import Result
from bench.scenarios import scenarios


def fan(variant: str, *cpu: float) -> list[Result]:
    """Some turns of a variant."""
    return [
        Result("fan-1000", variant, turn, {"deliveries_per_cpu_s": value, "server_s_per_million": 1e6 / value})
        for turn, value in enumerate(cpu)
    ]


def test_a_target_is_met_by_the_ratio_of_medians_or_not() -> None:
    found = fan("jobcast", 100, 300, 200) + fan("nchan", 100)
    assert targets.times("fan-1000", "deliveries_per_cpu_s", "nchan", 2).shown(found) == "× nchan: 2.00 (≥ 2), met"
    assert "**not met**" in targets.times("fan-1000", "deliveries_per_cpu_s", "nchan", 2.01).shown(found)


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    shown = targets.times("fan-1000", "deliveries_per_cpu_s", "nchan", 2).shown(fan("jobcast", 100))
    assert shown == "× nchan: not measured (≥ 2)"


def test_nothing_at_all_meets_a_bound_of_nothing() -> None:
    mark = targets.ours("gaps", "resume", "gaps", 0)
    assert mark.shown([Result("resume", "jobcast", 0, {"gaps": 0})]).endswith(", met")
    assert mark.shown([Result("resume", "jobcast", 0, {"gaps": 1})]).endswith("**not met**")


def test_every_target_reads_what_a_scenario_measures() -> None:
    figures = dict.fromkeys(("deliveries_per_cpu_s", "rate", "share", "p99_ms", "p50_ms", "server_s_per_million"), 2.0)
    figures |= dict.fromkeys(("done_p99_ms", "kib_a_reader", "subscriptions", "gaps", "repeats", "kib_a_stalled"), 2.0)
    figures |= dict.fromkeys(("call_p99_us", "redis_us", "posts", "post_p99_ms", "sent"), 2.0)
    known = scenarios()
    found = [
        Result(scenario.name, variant, 0, figures)
        for scenario in known.values()
        for variant in [*scenario.variants, *scenario.missing]
    ]
    marks = [mark for target in targets.TARGETS for mark in (*target.must, *target.goal)]
    unknown = [mark.text for mark in marks if mark.value(found) is None]
    assert unknown == []
    columns = {column.key for scenario in known.values() for column in scenario.columns}
    assert set(figures) - columns <= {"deliveries_per_cpu_s"}


def test_a_plot_is_well_formed_and_to_scale() -> None:
    bars = [Bar("ours", 1, 2, 4, is_ours=True), Bar("<them>", 4, 4, 4)]
    drawn = ElementTree.fromstring(svg([Panel("a & b", bars)]))  # noqa: S314  # our own
    widths = [float(bar.attrib["width"]) for bar in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths[1] == pytest.approx(2 * widths[0])
    texts = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["a & b", "ours", "2.0 (1.0–4.0)", "<them>", "4.0"]


def test_the_generator_proves_itself_with_its_ceiling_and_its_share() -> None:
    found = [
        Result("closed-fan-out", "floor", 0, {"rate": 1_500_000.0}),
        Result("fan-1000", "jobcast", 0, {"readers_cpu": 0.21, "failed": 0, "broken": 0}),
    ]
    said = " ".join(report.generator(found))
    assert "1,500,000 deliveries/s" in said
    assert "fan-1000 21%" in said


def test_the_page_has_a_place_for_each_of_its_parts() -> None:
    text = report.TEXT.read_text("utf-8")
    for name in ("machine", "command", "rounds", "peers", "generator", "targets", "tables"):
        assert f"@{name}@" in text
    for name in report.PLOTS:
        assert f"(performance/{name}.svg)" in text


def test_results_come_back_as_they_were_kept(tmp_path: Path) -> None:
    path = tmp_path / "more" / "results.jsonl"
    results.keep_facts(path, {"commit": "abc"})
    results.keep(path, Result("fan-1000", "jobcast", 0, {"rate": 1.5}))
    assert results.read(path) == ([Result("fan-1000", "jobcast", 0, {"rate": 1.5}, commit="abc")], {"commit": "abc"})


def test_the_last_run_of_a_variant_counts(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for commit, rates in (("abc", (1, 2)), ("def", (3,))):
        results.keep_facts(path, {"commit": commit})
        for turn, rate in enumerate(rates):
            results.keep(path, Result("fan-1000", "jobcast", turn, {"rate": rate}))
    results.keep_facts(path, {"commit": "ghi"})
    results.keep(path, Result("storm", "jobcast", 0, {"rate": 4}))
    found, facts = results.read(path)
    assert [(one.scenario, one.commit, one.figures["rate"]) for one in found] == [
        ("fan-1000", "def", 3),
        ("storm", "ghi", 4),
    ]
    assert facts == {"commit": "ghi"}


@pytest.mark.parametrize(("share", "expected"), [(50, 2), (99, 4), (0, 1), (100, 4)])
def test_percentiles_are_values_that_were_measured(share: float, expected: float) -> None:
    assert percentile([4, 1, 3, 2], share) == expected


def test_a_percentile_of_nothing_is_nothing() -> None:
    assert percentile([], 99) == 0
