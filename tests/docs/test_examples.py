"""Every example in the documentation, run against a real server."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docs.markdown import README, ROOT, blocks, shell
from tests.docs.running import run_blocks
from tests.server.launching import Up
from tests.support.demo import Demo, running_demo
from tests.support.live import NO_TLS, Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
API, KINDS, TASKS = ROOT / "docs/api.md", ROOT / "docs/kinds.md", ROOT / "docs/tasks.md"
FREE = {"queues", "metadata", "result"}
"""Members whose names depend on what runs."""


def python(page: Path) -> str:
    return "\n\n".join(block.text for block in blocks(page) if block.language == "python")


def same_shape(told: Any, seen: Any) -> bool:
    """Whether an example has the members that the real thing has."""
    if isinstance(told, dict) and isinstance(seen, dict):
        return told.keys() == seen.keys() and all(name in FREE or same_shape(told[name], seen[name]) for name in told)
    if isinstance(told, list) and isinstance(seen, list):
        return len(told) == len(seen) and all(map(same_shape, told, seen))
    return (told is None) == (seen is None) and isinstance(told, dict | list) == isinstance(seen, dict | list)


def check(language: str, told: str, seen: str) -> None:
    """Compares an output with the block that shows it."""
    match language:
        case "json":
            shown, real = json.loads(told), json.loads(seen.strip().splitlines()[-1])
            assert same_shape(shown, real), f"told {shown}\nseen {real}"
        case "http":
            assert told.splitlines()[0] in seen
            names = re.findall(r"^([a-z-]+):", told, re.MULTILINE)
            assert [name for name in names if f"\n{name}:" not in seen.lower()] == []
        case "text":
            assert re.findall(r"^event: .+", seen, re.MULTILINE) == re.findall(r"^event: .+", told, re.MULTILINE)


def test_every_request_of_the_api_page_is_answered_as_it_says(live: Live, tmp_path: Path) -> None:
    pairs = shell(API)
    assert len(pairs) > 10
    for (_, shown), seen in zip(pairs, run_blocks([text for text, _ in pairs], live.url, tmp_path), strict=True):
        assert shown is None or seen.strip()
        if shown:
            check(shown.language, shown.text, seen)


def test_every_job_of_the_page_on_kinds_succeeds(live: Live, tmp_path: Path) -> None:
    examples = [text for text, _ in shell(KINDS)]
    seen = run_blocks(examples, live.url, tmp_path)
    assert [json.loads(answer)["status"] for answer in seen] == ["succeeded"] * len(examples)


def test_the_websocket_example_reads_a_job(live: Live, tmp_path: Path) -> None:
    job_id = live.submit("speak", {"pieces": ["a", "b", "c"]})
    (tmp_path / "example.py").write_text(f"{python(API)}\nprint(follow({live.ws_url!r}, {job_id!r}))\n", "utf-8")
    ran = subprocess.run(
        [sys.executable, tmp_path / "example.py"], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stdout == "abc\n", ran.stderr


def test_the_tests_of_the_page_on_tasks_pass(tmp_path: Path) -> None:
    (tmp_path / "test_my_tasks.py").write_text(python(TASKS), "utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "3 passed" in ran.stdout, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def quick() -> Iterator[Demo]:
    """A model server."""
    with running_demo(tokens_per_s=300) as demo:
        yield demo


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, quick: Demo) -> Iterator[str]:
    """A launcher with the tasks of the README and of the page on tasks."""
    folder = tmp_path_factory.mktemp("up")
    (folder / "my_tasks.py").write_text(python(README), "utf-8")
    (folder / "docs_tasks.py").write_text(python(TASKS), "utf-8")
    # The launcher's own model writes at the pace of a person who reads.
    with Up(folder, JOBCAST_TASKS="my_tasks,docs_tasks", JOBCAST_LLM_BASE_URL=quick.url) as up:
        yield up.url()


def test_every_command_of_the_readme_shows_something(address: str, tmp_path: Path) -> None:
    texts = [text for text, _ in shell(README) if "make " not in text]
    assert len(texts) == 4
    plain, streams, submitted, counted = run_blocks(texts, address, tmp_path)
    assert len(plain.split()) > 10
    assert streams.count("event: succeeded") == 1
    assert streams.rstrip().endswith("}")
    assert '"seq":5,' not in streams.partition("event: succeeded")[2]
    assert "generate" in submitted
    assert json.loads(counted) == {"one": 3, "three": 5}


def ended(address: str, kind: str, task_input: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A job, submitted and waited for."""
    body = {"kind": kind, "input": task_input, **fields}
    answer = httpx.post(f"{address}/v1/jobs", json=body, headers={"Prefer": "wait=30"}, timeout=40)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def text_of(address: str, job: dict[str, Any]) -> str:
    return httpx.get(f"{address}{job['links']['events']}?format=text", timeout=30).text


def test_the_first_task_of_the_page_on_tasks_runs(address: str) -> None:
    job = ended(address, "greet", {"names": ["Ada", "Alan"]})
    assert job["result"] == {"greeted": 2}
    assert text_of(address, job) == "Hello, Ada! Hello, Alan! "


@pytest.mark.parametrize(
    ("outcome", "max_attempts", "code", "attempt"),
    [
        ("refused", 3, "refused", 1),
        ("shaky", 2, "shaky", 2),
        ("unforeseen", 1, "task_error", 1),
        ("busy", 1, "retry", 1),
    ],
)
def test_a_task_fails_as_the_page_says(address: str, outcome: str, max_attempts: int, code: str, attempt: int) -> None:
    job = ended(address, "fetch", {"outcome": outcome}, max_attempts=max_attempts)
    assert (job["status"], job["error"]["code"], job["attempt"]) == ("failed", code, attempt)


def test_a_task_goes_on_where_its_last_attempt_was(address: str) -> None:
    job = ended(address, "copy", {"lines": ["a", "b", "c"], "fails_at": 2})
    assert job["result"] == {"copied": 3, "after_resuming_at": 2}
    assert text_of(address, job) == "a\nb\nc\n"


def test_a_silent_task_stops_and_keeps_its_result(address: str) -> None:
    job = httpx.post(f"{address}/v1/jobs", json={"kind": "wait", "input": {}}, timeout=30).json()
    here = f"{address}{job['links']['self']}"
    wait_until(lambda: httpx.get(here, timeout=30, verify=NO_TLS).json()["status"] == "running")
    httpx.post(f"{address}{job['links']['cancel']}", timeout=30)
    found = httpx.get(here, params={"wait": 20}, timeout=30).json()
    assert found["status"] == "cancelled"
    assert found["result"]["waited_s"] < 20
