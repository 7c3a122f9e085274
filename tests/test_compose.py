"""compose.yaml and the Dockerfile: valid, and set up so that nothing acknowledged is lost."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from progress.settings import PREFIX, Settings
from server.cli import parser

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "redis"}
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


def test_compose_yaml_is_a_compose_file() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_there_is_a_service_for_each_process() -> None:
    assert SERVICES.keys() == {"redis", "api", "worker-llm", "worker-cpu", "beat", "flower", "model"}


def test_redis_keeps_what_it_has_said_yes_to() -> None:
    words = SERVICES["redis"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]
    # Its memory may grow for a moment while it writes its file anew.
    assert options["--maxmemory"] == "768mb"
    assert SERVICES["redis"]["mem_limit"] == "1g"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_bounds_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["mem_limit"]
    assert service["stop_grace_period"]
    assert service["healthcheck"]


@pytest.mark.parametrize("name", SERVICES)
def test_services_wait_for_what_they_need_to_be_healthy(name: str) -> None:
    needs = SERVICES[name].get("depends_on", {})
    assert all(need["condition"] == "service_healthy" for need in needs.values())
    assert ("redis" in needs) == (name not in {"redis", "model"})
    assert all("test" in SERVICES[need]["healthcheck"] for need in needs)


def test_all_who_touch_files_see_the_same_ones() -> None:
    place = OURS["api"]["environment"]["JOBCAST_STORAGE_URL"].removeprefix("file://")
    for name in ("api", "worker-llm", "worker-cpu", "beat"):
        assert OURS[name]["environment"]["JOBCAST_STORAGE_URL"] == f"file://{place}"
        assert f"files:{place}" in OURS[name]["volumes"]
    # A new volume takes the owner of what it covers.
    assert f"install --directory --owner jobcast {place}" in DOCKERFILE


def test_nothing_runs_as_root() -> None:
    assert SERVICES["redis"]["user"] == "valkey"
    assert "user" not in {key for service in OURS.values() for key in service}
    assert DOCKERFILE.index("USER jobcast") < DOCKERFILE.index("ENTRYPOINT")


@pytest.mark.parametrize("name", OURS.keys() - {"model"})
def test_every_command_is_one_that_jobcast_has(name: str) -> None:
    parsed = parser().parse_args([str(word) for word in SERVICES[name]["command"]])
    assert parsed.run.__name__ == f"_{name.partition('-')[0]}"


def test_each_queue_has_one_worker_service() -> None:
    llm, cpu = (parser().parse_args(SERVICES[name]["command"]) for name in ("worker-llm", "worker-cpu"))
    assert llm.queues == cpu.except_queues == ("llm",)
    assert llm.pool == "threads"
    assert cpu.pool == "prefork"


@pytest.mark.parametrize("name", OURS)
def test_every_setting_is_one_that_jobcast_has(name: str) -> None:
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    assert set(SERVICES[name].get("environment", {})) <= known | ({"FLOWER_BASIC_AUTH"} if name == "flower" else set())


def test_the_monitor_is_started_only_where_it_is_asked_for() -> None:
    assert SERVICES["flower"]["profiles"] == ["flower"]
    assert SERVICES["flower"]["ports"] == ["127.0.0.1:5555:5555"]


def test_an_api_that_others_reach_has_keys_or_does_not_start() -> None:
    environment = SERVICES["api"]["environment"]
    assert environment["JOBCAST_HOST"] == "0.0.0.0"
    assert environment["JOBCAST_API_KEYS"].startswith("${JOBCAST_API_KEYS:?")
    assert SERVICES["api"]["ports"] == ["127.0.0.1:${JOBCAST_PORT:-8000}:8000"]


def test_the_image_installs_what_is_locked_and_nothing_else() -> None:
    installs = re.findall(r"pip install .*", DOCKERFILE)
    assert "--require-hashes -r requirements/run.txt" in installs[0]
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)


def test_the_image_s_build_is_sent_what_it_copies() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    copied = {
        word.rstrip("/")
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
        for word in line.split()
    }
    assert copied == {line[1:] for line in ignored if line.startswith("!")}
