"""`jobcast doctor`: each fault is found, named, and comes with its mend."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from progress.commands import Waiting
from progress.inspect import ServerFacts
from progress.settings import Settings
from server import doctor, exits
from server.doctor import judge, judge_queue
from server.findings import Finding, examine_storage, shown
from server.model_servers import ModelServer, examine_models, judge_model, model_servers
from tasks.queue import CeleryQueue, QueueUnavailable
from tasks.registry import Kind
from tests.support.live import Live
from tests.support.rabbit_server import RabbitServer
from tests.support.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
MODEL = ModelServer("model", "JOBCAST_LLM", "http://m/v1", "", "c")
HEALTHY = ServerFacts(
    "valkey", "9.1.0", (7, 2, 4), True, "noeviction", 10 * MIB, 0, 1000 * MIB, (), False, 0.001, 0.0004
)


@dataclass
class FakeQueue:
    """A broker that has so many messages, or refuses."""

    depths: dict[str, int] = field(default_factory=lambda: {"default": 0, "llm": 2})
    refuses: str = ""

    @property
    def kinds(self) -> dict[str, Kind]:
        return {}

    @property
    def queues(self) -> tuple[str, ...]:
        return tuple(self.depths)

    def enqueue(self, job_id: str, queue: str, priority: int) -> None:
        raise AssertionError("a doctor sends nothing")

    def enqueue_all(self, jobs: Sequence[Waiting]) -> dict[str, QueueUnavailable]:
        raise AssertionError("a doctor sends nothing")

    def depth(self, queue: str) -> int:
        if self.refuses:
            raise QueueUnavailable(self.refuses)
        return self.depths[queue]

    def close(self) -> None:
        """Nothing is open."""


def wrong(findings: Iterator[Finding]) -> list[str]:
    return [str(finding) for finding in findings if not finding.good]


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


def test_a_good_finding_is_one_plain_line() -> None:
    assert str(Finding("redis", "fine")) == "ok  redis  fine"


def test_a_bad_finding_says_what_and_the_mend() -> None:
    assert str(Finding("redis", "appendonly is off", "turn it on")) == "!!  redis: appendonly is off: turn it on"


def test_a_healthy_server_has_one_line_and_one_for_the_clock() -> None:
    found = list(judge("redis", HEALTHY, "redis://db:6379/0"))
    assert [finding.subject for finding in found] == ["redis", "clock"]
    assert all(finding.good for finding in found)
    assert "valkey 9.1.0 at redis://db:6379/0" in found[0].text


@pytest.mark.parametrize(
    ("change", "told", "mend"),
    [
        ({"name": "redis", "version": "5.0.7", "protocol": (5, 0, 7)}, "it is redis 5.0.7", "install Redis 6.2"),
        ({"is_replica": True}, "it is a replica", "name the primary"),
        ({"appendonly": False}, "appendonly is off", "CONFIG SET appendonly yes"),
        ({"eviction": "allkeys-lru"}, "maxmemory-policy is allkeys-lru", "CONFIG SET maxmemory-policy noeviction"),
        ({"failures": ("its last snapshot",)}, "its last snapshot failed", "full disk"),
        ({"limit_bytes": 11 * MIB}, "it uses 10 of 11 MiB", "give it more"),
        ({"machine_bytes": 12 * MIB}, "it uses 10 of 12 MiB", "give it more"),
        ({"ahead_s": 7.25}, "this machine's is 7.2 s behind that of the server", "time server"),
        ({"ahead_s": -7.25}, "this machine's is 7.2 s ahead of that of the server", "time server"),
    ],
)
def test_each_fault_of_a_server_is_named_with_its_mend(change: dict[str, Any], told: str, mend: str) -> None:
    (line,) = wrong(judge("redis", replace(HEALTHY, **change), "redis://db"))
    assert told in line
    assert mend in line


def test_several_faults_are_all_named() -> None:
    facts = replace(HEALTHY, appendonly=False, eviction="allkeys-lru", failures=("its last snapshot",))
    assert len(wrong(judge("redis", facts, "redis://db"))) == 3


def test_a_slow_way_to_the_server_is_not_taken_for_a_wrong_clock() -> None:
    facts = replace(HEALTHY, ahead_s=2.5, round_trip_s=2.0)
    assert wrong(judge("redis", facts, "redis://db")) == []


def test_a_queue_without_a_worker_is_a_fault_even_when_nothing_waits() -> None:
    assert "start `jobcast worker --queues llm`" in str(judge_queue("llm", 0, 0))
    assert str(judge_queue("llm", 3, 1)) == "ok  queue llm  1 worker, 3 waiting"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (httpx.Response(401, request=httpx.Request("GET", "http://m")), "refuses the key (401)"),
        (httpx.Response(404, request=httpx.Request("GET", "http://m")), "want it to end in /v1"),
        (httpx.Response(200, text="<html>", request=httpx.Request("GET", "http://m")), "no list of models (200)"),
        (httpx.Response(200, json=[], request=httpx.Request("GET", "http://m")), "no list of models (200)"),
        (
            httpx.Response(200, json={"data": [{"id": "a"}, {"id": "b"}]}, request=httpx.Request("GET", "http://m")),
            "has no model 'c': set JOBCAST_LLM_MODEL to one of a, b",
        ),
    ],
)
def test_what_is_wrong_with_a_model_server_is_told(answer: httpx.Response, told: str) -> None:
    found = judge_model(MODEL, answer)
    assert not found.good
    assert told in str(found)


def test_a_model_server_that_has_the_model_is_good() -> None:
    answer = httpx.Response(200, json={"data": [{"id": "a"}]}, request=httpx.Request("GET", "http://m"))
    assert judge_model(replace(MODEL, model="a"), answer).good
    assert "has a" in judge_model(replace(MODEL, model=""), answer).text


def test_a_model_server_that_is_not_there_is_named() -> None:
    (line,) = wrong(examine_models(settings(llm_base_url="http://127.0.0.1:9/v1")))
    assert line.startswith("!!  model: does not answer at http://127.0.0.1:9/v1/models: ")


def test_servers_for_images_and_embeddings_are_looked_at_where_they_have_settings() -> None:
    everywhere = settings(llm_base_url="http://m/v1", llm_api_key="k", image_base_url="http://i/v1", embed_model="e")
    assert [(one.subject, one.url, one.key, one.model) for one in model_servers(everywhere)] == [
        ("model", "http://m/v1", "k", ""),
        ("images", "http://i/v1", "", ""),
        ("embeddings", "http://m/v1", "k", "e"),
    ]
    assert [one.subject for one in model_servers(settings(llm_base_url="http://m/v1"))] == ["model"]
    assert list(model_servers(settings(embed_model="e"))) == []


def test_a_server_for_images_need_not_list_its_models() -> None:
    answer = httpx.Response(404, request=httpx.Request("GET", "http://m"))
    assert judge_model(replace(MODEL, subject="images"), answer).good


def test_a_key_without_a_model_server_is_a_contradiction() -> None:
    (line,) = wrong(doctor.examine_settings(settings(llm_api_key="k")))
    assert "LLM_API_KEY is set and LLM_BASE_URL is not" in line


def test_a_deployment_without_a_model_server_is_told() -> None:
    (line,) = wrong(doctor.examine_settings(settings(redis_url="redis://db")))
    assert "set JOBCAST_LLM_BASE_URL" in line


def test_a_broker_that_refuses_is_named_and_one_that_answers_tells_its_depths() -> None:
    (line,) = wrong(doctor.examine_broker(FakeQueue(refuses="Connection refused.")))
    assert line.startswith("!!  broker: does not answer: Connection refused: start it")
    assert [str(found) for found in doctor.examine_broker(FakeQueue())] == [
        "ok  broker  messages waiting: default 0, llm 2"
    ]


def test_no_line_shows_a_password() -> None:
    assert shown("redis://me:secret@db:6379/0") == "redis://…@db:6379/0"
    assert shown("redis://db:6379/0") == "redis://db:6379/0"


def test_without_an_address_and_without_a_launcher_the_mend_is_told() -> None:
    (line,) = wrong(doctor.examine_all(settings(port=9), FakeQueue()))
    assert "JOBCAST_REDIS_URL is not set" in line
    assert "start `jobcast up`" in line


@pytest.mark.integration
def test_a_redis_that_does_not_answer_ends_what_depends_on_it() -> None:
    found = wrong(doctor.examine_all(settings(redis_url="redis://127.0.0.1:9/0"), FakeQueue()))
    assert [line.partition(":")[0] for line in found] == ["!!  redis"]


@pytest.mark.integration
@pytest.mark.integration
def test_a_rabbitmq_is_asked_and_what_it_refuses_is_told(rabbit_server: RabbitServer) -> None:
    url = rabbit_server.new_url()
    queue = CeleryQueue.from_settings(settings(broker_url=url))
    queue.enqueue("the-job", "llm", 5)
    (found,) = doctor.examine_broker(queue)
    queue.close()
    assert found.good
    assert found.text.endswith("default 0, llm 1")
    for broken, why in ((url.replace(":guest", ":wrong"), "ACCESS_REFUSED"), (f"{url}-not", "not found")):
        queue = CeleryQueue.from_settings(settings(broker_url=broken))
        (line,) = wrong(doctor.examine_broker(queue))
        queue.close()
        assert why in line
        assert "mend JOBCAST_BROKER_URL" in line


def test_a_broker_of_its_own_is_examined_like_the_store() -> None:
    with RedisServer("--appendonly", "yes") as store, RedisServer() as broker:
        found = wrong(doctor.examine_all(settings(redis_url=store.url, broker_url=broker.url), FakeQueue()))
    assert [line for line in found if line.startswith("!!  broker: appendonly is off")]
    assert not [line for line in found if line.startswith("!!  redis")]


def ran(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server.cli", "doctor"]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.integration
def test_a_deployment_that_works_has_nothing_to_mend(live: Live) -> None:
    done = ran(live.env)
    assert (done.returncode, done.stderr) == (exits.OK, "")
    assert {line[:4] for line in done.stdout.splitlines()} == {"ok  "}
    assert "ok  queue llm  1 worker, 0 waiting" in done.stdout


@pytest.mark.integration
def test_without_an_address_the_api_is_asked(live: Live) -> None:
    done = ran({**live.env, "JOBCAST_REDIS_URL": ""})
    assert done.returncode == exits.OK, done.stdout
    assert f"ok  redis  the one of `jobcast up` at {live.url}: ok" in done.stdout


@pytest.mark.integration
@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"JOBCAST_LEASE_S": "100"}, "VISIBILITY_TIMEOUT_S is shorter than LEASE_S"),
        ({"JOBCAST_LEASES": "1"}, "JOBCAST_LEASES is no setting of Jobcast"),
        ({"JOBCAST_TASKS": "no_such_module"}, "no_such_module"),
    ],
)
def test_settings_that_stop_every_start_are_told_and_nothing_else_is_tried(setting: dict[str, str], told: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JOBCAST_")}
    done = ran({**clean, **setting})
    assert done.returncode == exits.FAILED
    assert told in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_the_place_of_files_is_written_to(tmp_path: Path) -> None:
    (found,) = examine_storage(Settings(_env_file=None, storage_url=tmp_path.as_uri()))
    assert (found.good, found.text) == (True, f"{tmp_path} can be written")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_place_that_cannot_be_written_is_told_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (found,) = examine_storage(Settings(_env_file=None, storage_url=(tmp_path / "file").as_uri()))
    assert "files cannot be kept in" in found.text
    assert "JOBCAST_STORAGE_URL" in found.mend
