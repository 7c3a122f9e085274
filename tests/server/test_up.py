"""`jobcast up`, with everything that it starts."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from progress.signing import key_of
from server.embedded import LOOPBACK
from server.exits import FAILED, OK
from server.up import kept_secret
from tests.server.launching import Up
from tests.support.waiting import gone, wait_until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds processes in /proc"),
]
PROMPT = {"kind": "generate", "input": {"prompt": "Once upon a time", "max_tokens": 100}}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A launcher, which the last test that takes it stops."""
    with Up(tmp_path_factory.mktemp("up")) as up:
        yield up


@pytest.fixture(scope="module")
def address(up: Up) -> str:
    """Where it is, once all of its programs are up."""
    return up.url()


def events(response: httpx.Response) -> Iterator[dict[str, object]]:
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def test_what_is_printed_to_try_works_as_it_stands(up: Up, address: str) -> None:
    up.wait_for("^Try:  curl")
    first = up.lines[-1].removeprefix("Try:").strip()
    assert address in first
    up.wait_for("^ +-d ")
    ran = subprocess.run(["sh", "-c", f"{first}\n{up.lines[-1]}"], capture_output=True, timeout=60, check=True)
    assert ran.stdout.count(b"event: token") > 1
    assert b"event: succeeded" in ran.stdout


def test_a_job_outlives_its_worker_and_the_reader_sees_the_whole_of_it(up: Up, address: str) -> None:
    with httpx.stream(
        "POST", f"{address}/v1/jobs", json=PROMPT, headers={"Accept": "text/event-stream"}, timeout=60
    ) as job:
        seen = []
        for event in events(job):
            seen.append(event)
            if event["type"] == "token" and not any("died" in line for line in up.lines):
                (worker,) = up.running("worker", "--queues", "llm")
                os.kill(worker, signal.SIGKILL)
                up.wait_for(r"^llm +\| died \(killed by SIGKILL\); starting it again")
    assert seen[-1]["type"] == "succeeded"
    assert [event["attempt"] for event in seen if event["type"] == "started"] == [1, 2]
    assert [event["seq"] for event in seen] == sorted({event["seq"] for event in seen})  # type: ignore[type-var]


def test_two_launchers_run_side_by_side_but_not_in_one_folder(up: Up, address: str, tmp_path: Path) -> None:
    with Up(tmp_path) as other:
        assert other.url() != address
    with Up(up.folder) as third:
        third.wait_for(f"jobcast up runs here already, as process {up.process.pid}")
        assert third.process.wait(30) == FAILED
    assert up.process.poll() is None


def test_ctrl_c_stops_all_of_it_and_the_next_start_has_its_jobs(up: Up, address: str) -> None:
    answer = httpx.post(f"{address}/v1/jobs", json=PROMPT, headers={"Prefer": "wait=30"}, timeout=40)
    job = answer.json()
    assert job["status"] == "succeeded"
    assert job["result"]["text"]
    pids = up.running()
    assert len(pids) > 5
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(30) == OK
    assert [pid for pid in pids if not gone(pid)] == []
    with Up(up.folder) as again:
        assert httpx.get(f"{again.url()}/v1/jobs/{job['id']}", timeout=30).json() == job
        nothing_outlives_a_kill(again)


def nothing_outlives_a_kill(up: Up) -> None:
    """A launcher that is killed takes all that it has started along."""
    pids = up.running()
    assert len(pids) > 5
    up.process.kill()
    wait_until(lambda: all(gone(pid) for pid in pids))


def test_a_leashed_launcher_stops_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-P', '-m', 'server.cli', 'up', '--leashed'])"
    env = {**os.environ, "JOBCAST_PORT": "0"}
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=env, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        try:
            next(line for line in starter.stdout if b"Jobcast is up" in line)
        finally:
            starter.kill()
        # Its end is an orderly one, and the end of its output that of everything.
        assert b"jobcast: stopping" in starter.stdout.read()


def test_a_port_that_is_taken_is_one_line_that_names_the_setting(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with Up(tmp_path, JOBCAST_PORT=str(port)) as up:
            up.wait_for(f"^jobcast: port {port} is taken: set JOBCAST_PORT")
            assert up.process.wait(30) == FAILED
    assert len(up.lines) == 1


def test_a_redis_that_is_named_is_used_or_complained_of(tmp_path: Path, redis_url: str) -> None:
    with Up(tmp_path, JOBCAST_REDIS_URL=redis_url) as up:
        up.url()
        assert up.running("--appendonly") == []
    with Up(tmp_path, JOBCAST_REDIS_URL="redis://127.0.0.1:1/0") as up:
        up.wait_for("^jobcast: JOBCAST_REDIS_URL: no Redis answers there: .*refused")
        assert up.process.wait(30) == FAILED


def test_a_program_that_cannot_start_stops_the_others_and_is_named(tmp_path: Path) -> None:
    with Up(tmp_path, JOBCAST_TASKS="no_such_module") as up:
        up.wait_for("no_such_module")
        up.wait_for("^jobcast: (llm|cpu|api) did not start: exit status")
        assert up.process.wait(30) == FAILED
        wait_until(lambda: up.running() == [])


def test_the_launcher_goes_with_a_reader_that_goes(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "server.cli", "up"]
    env = {**os.environ, "JOBCAST_PORT": "0"}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        try:
            assert process.wait(60) == OK
        finally:
            process.kill()


def test_the_secret_of_webhooks_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "webhook_secret"
    secret = kept_secret(path, said.append)
    assert key_of(secret)
    assert kept_secret(path, said.append) == secret
    assert path.stat().st_mode & 0o077 == 0
    assert [str(path) in line for line in said] == [True]
