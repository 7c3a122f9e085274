"""Each way of measuring runs, at a size that says nothing about speed."""

import shutil

import pytest

from bench import publishing, recovery, results, streaming, submissions
from bench.peers import PEERS
from bench.plans import Plan
from bench.results import Result
from bench.scenarios import scenarios

needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler: apt-get install gcc libc6-dev")
SMALL = Plan(2, 6, 50.0, warmup_s=0.1, seconds=0.4)


@needs_compiler
@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("name", ["jobcast", "floor", "raw hop"])
def test_readers_get_what_is_published(name: str) -> None:
    plan = SMALL if name != "raw hop" else Plan(2, 2, 50.0, warmup_s=0.1, seconds=0.4)
    figures = streaming.measure(PEERS[name], plan)
    assert figures["tokens"] > 0
    assert [figures[key] for key in ("failed", "lost", "gaps", "repeats", "broken")] == [0, 0, 0, 0, 0]


@needs_compiler
@pytest.mark.integration
@pytest.mark.slow
def test_a_closed_loop_goes_on_as_tokens_arrive() -> None:
    figures = streaming.measure(PEERS["jobcast"], Plan(2, 4, window=2, warmup_s=0.1, seconds=0.4))
    assert figures["tokens"] > 4 * 2
    assert (figures["gaps"], figures["repeats"]) == (0, 0)


@needs_compiler
@pytest.mark.integration
@pytest.mark.slow
def test_readers_who_come_late_get_every_event() -> None:
    figures = streaming.storm(PEERS["jobcast"], Plan(1, 5), 20)
    assert (figures["done"], figures["share"], figures["gaps"]) == (5, 1.0, 0)


@needs_compiler
@pytest.mark.integration
@pytest.mark.slow
def test_idle_readers_share_one_subscription() -> None:
    figures = streaming.idle(PEERS["jobcast"], Plan(1, 20))
    assert (figures["ready"], figures["failed"], figures["subscriptions"]) == (20, 0, 1)


def test_a_table_shows_medians_with_their_spread_and_what_failed() -> None:
    scenario = scenarios()["fan-100"]
    found = [Result("fan-100", "jobcast", turn, {"share": 1.0, "p50_ms": p50}) for turn, p50 in enumerate((1, 5, 2))]
    found.append(Result("fan-100", "floor", 0, {}, "BenchError: floor does not come up"))
    table = results.markdown(list(results.rows(found, scenario)))
    assert "| jobcast | 1.000 | 2.00 (1.00–5.00) |" in table
    assert "| floor | failed: BenchError: floor does not come up |" in table


def test_every_scenario_measures_this_server_or_says_why_not() -> None:
    for scenario in scenarios().values():
        assert any(name.startswith("jobcast") for name in [*scenario.variants, *scenario.missing]), scenario.name


@needs_compiler
@pytest.mark.integration
@pytest.mark.slow
def test_submissions_are_accepted() -> None:
    figures = submissions.alone(1.0)
    assert figures["accepted"] > 0
    assert figures["refused"] == 0


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("way", ["apply_async", "enqueue", "enqueue_all"])
def test_messages_are_sent(way: str) -> None:
    assert submissions.sent(way, 0.2)["sent"] > 0


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("way", publishing.WAYS.values())
def test_tokens_are_published(way: str) -> None:
    figures = publishing.published(way, 0.1)
    assert figures["tokens"] > 0
    assert figures["redis_us"] > 0


@pytest.mark.integration
@pytest.mark.slow
def test_a_killed_workers_job_goes_on() -> None:
    figures = recovery.killed("threads", 0)
    assert 0 < figures["told_s"] <= figures["token_s"]
