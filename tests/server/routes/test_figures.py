"""Figures as the API answers them, and what deploy/ makes of them."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from progress.commands import Command, WorkerSeen
from progress.errors import StoreUnavailable
from tests.support.api import Api, api_with
from tests.support.backend import ERROR, token

DEPLOY = Path(__file__).parents[3] / "deploy"


def work(api: Api) -> None:
    """Jobs that end in every way, and one of each that has not."""
    worker = api.worker
    api.memory.advance(0)  # the clock stands still
    job_id = worker.started(kind="echo")
    at = worker.append(job_id, 1, token()).at
    api.memory.advance(500)
    worker.finish(job_id, 2, "succeeded", "1", tokens=11, first_token_at=at)
    worker.begin(job_id)
    lost = worker.started(kind="echo", lease_ms=0, max_attempts=1)
    retried = worker.started(kind="bounded", queue="cpu")
    worker.finish(retried, 1, "retrying", ERROR, delay_ms=60_000)
    worker.swept()
    assert worker.read(lost).status == "failed"
    worker.cancel(api.job())
    api.job()
    worker.run(WorkerSeen("w", ("llm", "cpu")))
    api.queue.sent += [("x", "llm", 5), ("y", "llm", 5)]


async def scraped(api: Api) -> dict[str, Metric]:
    answer = await api.client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def values(metrics: dict[str, Metric], name: str) -> dict[tuple[str, ...], float]:
    (family,) = [metric for metric in metrics.values() if any(sample.name == name for sample in metric.samples)]
    # The kind first, then in the order of their names.
    return {
        tuple(
            value for _, value in sorted(sample.labels.items(), key=lambda label: (label[0] != "kind", label))
        ): sample.value
        for sample in family.samples
        if sample.name == name
    }


async def test_prometheus_is_told_what_has_happened(api: Api) -> None:
    work(api)
    metrics = await scraped(api)
    assert values(metrics, "jobcast_jobs_submitted_total") == {("bounded",): 1, ("echo",): 4}
    assert values(metrics, "jobcast_jobs_ended_total") == {
        ("echo", "cancelled"): 1,
        ("echo", "failed"): 1,
        ("echo", "succeeded"): 1,
    }
    assert values(metrics, "jobcast_jobs_exhausted_total") == {("echo", "worker_lost"): 1}
    assert values(metrics, "jobcast_attempts_retried_total") == {("bounded", "e"): 1}
    assert values(metrics, "jobcast_messages_redelivered_total") == {("echo", "ended"): 1}
    assert values(metrics, "jobcast_tokens_total") == {("bounded",): 0, ("echo",): 11}
    assert values(metrics, "jobcast_attempt_tokens_per_second_sum") == {("echo",): 20}
    runs = values(metrics, "jobcast_attempt_run_seconds_bucket")
    assert runs["echo", "+Inf"] == values(metrics, "jobcast_attempt_run_seconds_count")["echo",] == 1
    assert [runs["echo", bound] for bound in ("0.25", "0.5", "1.0")] == [0, 1, 1] or runs["echo", "0.25"] == 0


async def test_prometheus_is_told_what_there_is_now(api: Api) -> None:
    work(api)
    async with api.exchange(f"/v1/jobs/{api.job()}/events") as reader:
        await reader.until_body(b"queued")
        metrics = await scraped(api)
    jobs = {place: count for place, count in values(metrics, "jobcast_jobs").items() if count}
    assert jobs == {("echo", "queued"): 2, ("bounded", "retrying"): 1}
    assert values(metrics, "jobcast_queue_waiting") == {("cpu",): 0, ("llm",): 2}
    assert values(metrics, "jobcast_queue_messages") == {("cpu",): 0, ("llm",): 2}
    assert values(metrics, "jobcast_queue_workers") == {("cpu",): 1, ("llm",): 1}
    one = ("jobs_delayed", "workers", "streams", "feeds")
    assert {name: values(metrics, f"jobcast_{name}")[()] for name in one} == dict.fromkeys(one, 1)
    assert values(metrics, "process_resident_memory_bytes")[()] > 1e6


async def test_openmetrics_is_answered_where_it_is_asked_for(api: Api) -> None:
    answer = await api.client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")


async def test_people_are_told_the_same_with_quantiles(api: Api) -> None:
    work(api)
    found = (await api.client.get("/v1/stats")).json()
    assert found["now"]["jobs"]["echo"] == {"queued": 1, "running": 0, "retrying": 0}
    assert found["now"]["queues"]["llm"] == {"waiting": 1, "workers": 1, "messages": 2}
    assert (found["now"]["delayed"], found["now"]["running"], found["now"]["workers"]) == (1, 0, 1)
    assert found["now"]["readers"] == {"streams": 0, "feeds": 0, "activity": 0}
    echo, whole = found["ever"]["kinds"]["echo"], found["ever"]["all"]
    assert (echo["submitted"], whole["submitted"], echo["lost"], echo["tokens"]) == (4, 5, 1, 11)
    assert echo["tokens_per_s"] == {"count": 1, "mean": 20, "p50": 15, "p95": 19.5, "p99": 19.9}
    assert echo["run_s"]["mean"] >= 0.5
    assert whole["retried"] == {"e": 1}
    assert echo["failed"] == echo["exhausted"] == {"worker_lost": 1}
    assert found["ever"]["seconds"] is None
    assert 3300 <= found["last_hour"]["seconds"] <= 3600
    assert found["last_hour"]["all"] == whole


async def test_what_is_older_than_an_hour_is_told_as_ever_only(api: Api) -> None:
    work(api)
    api.memory.advance(3_600_000)
    found = (await api.client.get("/v1/stats")).json()
    assert found["last_hour"]["kinds"] == {}
    assert found["last_hour"]["all"]["run_s"] == {"count": 0, "mean": None, "p50": None, "p95": None, "p99": None}
    assert found["ever"]["all"]["submitted"] == 5


async def test_figures_go_without_a_broker_and_not_without_redis(api: Api) -> None:
    api.queue.broken = "refused"
    assert values(await scraped(api), "jobcast_queue_waiting")
    assert (await api.client.get("/v1/stats")).json()["now"]["queues"]["llm"]["messages"] is None

    def away(_command: Command[Any]) -> None:
        raise StoreUnavailable("no connection")

    api.memory.before = away
    assert [(await api.client.get(path)).status_code for path in ("/metrics", "/v1/stats")] == [503, 503]


async def test_figures_want_a_key_where_there_are_keys() -> None:
    async with api_with(api_keys={"me": "secret"}) as api:
        for path in ("/metrics", "/v1/stats"):
            assert (await api.client.get(path)).status_code == 401
            allowed = await api.client.get(path, headers={"Authorization": "Bearer secret"})
            assert allowed.status_code == 200


def expressions(value: Any) -> list[str]:
    """Every ``expr`` in a file of Grafana or Prometheus."""
    if isinstance(value, dict):
        return [found for name, part in value.items() for found in ([part] if name == "expr" else expressions(part))]
    return [found for part in value for found in expressions(part)] if isinstance(value, list) else []


async def test_every_expression_in_deploy_is_about_metrics_that_there_are(api: Api) -> None:
    work(api)
    known = {sample.name for family in (await scraped(api)).values() for sample in family.samples}
    dashboard = json.loads((DEPLOY / "grafana/jobcast.json").read_text("utf-8"))
    alerts = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text("utf-8"))
    for written, least in ((dashboard, 12), (alerts, 4)):
        found = expressions(written)
        assert len(found) >= least
        names = {name for expression in found for name in re.findall(r"\b(?:jobcast|process)_\w+", expression)}
        assert names - known == set()
    every = {
        name for name in known if name.startswith("jobcast_") and not name.endswith(("_sum", "_count", "_created"))
    }
    shown = " ".join(expressions(dashboard))
    assert [name for name in every if name not in shown] == [], "each has its place on the dashboard"


def test_prometheus_reads_the_alerts_that_there_are() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text("utf-8"))
    assert [(DEPLOY / "prometheus" / name).is_file() for name in config["rule_files"]] == [True]
    (scrape,) = config["scrape_configs"]
    assert scrape["metrics_path"] == "/metrics"
