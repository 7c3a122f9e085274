"""What the measurements share: a Redis, an API process on a core of its own, and the CPU time that it used."""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from progress.commands import BeginAttempt, Claim, CreateJob, Lifetimes
from progress.connect import RedisExecutor, ping
from progress.errors import StoreUnavailable
from progress.jobs import NewJob
from progress.publisher import Committer, Publisher
from server.embedded import LOOPBACK, find_server, free_port

ROOT = Path(__file__).parents[1]
SERVER_CORE = 0


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """An empty Redis; its address."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--bind", LOOPBACK, "--dir", folder, "--save", "", "--loglevel", "warning"]
        with _process([str(find_server()), *options], {}, pin=False):
            url = f"redis://{LOOPBACK}:{port}/0"
            _until(lambda: _answers(url))
            yield url


def _answers(url: str) -> bool:
    try:
        ping(url)
    except StoreUnavailable:
        return False
    return True


def _until(condition, timeout_s: float = 20.0) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("a process of the bench does not come up")
        time.sleep(0.02)


@contextlib.contextmanager
def _process(command: list[str], env: dict[str, str], *, pin: bool) -> Iterator[subprocess.Popen[bytes]]:
    leash = [sys.executable, "-m", "server.leash", str(os.getpid())]
    process = subprocess.Popen([*leash, *command], cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.DEVNULL)
    if pin and hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(process.pid, {SERVER_CORE})
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()


@contextlib.contextmanager
def server(redis_url: str, app: str) -> Iterator[tuple[str, int]]:
    """A server process: ``jobcast`` is ours, anything else a design of ``bench/designs.py``. Its address and pid."""
    port = free_port()
    ours = ["-m", "server.cli", "api"]
    other = ["-m", "uvicorn", "bench.designs:app", "--port", str(port), "--log-level", "warning", "--no-access-log"]
    env = {"JOBCAST_REDIS_URL": redis_url, "JOBCAST_PORT": str(port), "JOBCAST_MAX_STREAMS": "20000", "DESIGN": app}
    env["JOBCAST_LOG_LEVEL"] = "error"
    env["JOBCAST_LLM_BASE_URL"] = f"http://{LOOPBACK}:9/v1"
    with _process([sys.executable, *(ours if app == "jobcast" else other)], env, pin=True) as process:
        url = f"http://{LOOPBACK}:{port}"
        _until(lambda: _is_up(url))
        yield url, process.pid


def _is_up(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/livez", trust_env=False).status_code == httpx.codes.OK
    return False


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def running_job(executor: RedisExecutor) -> Claim:
    """A job that an attempt holds: the right to write to it."""
    new = NewJob("generate", {"prompt": "bench"}, "llm")
    executor.run(CreateJob(new, Lifetimes(600, 600, 100_000)))
    claim = executor.run(BeginAttempt(new.id, "bench", 600_000)).claim
    assert claim is not None
    return claim


def publisher(committer: Committer, claim: Claim, *, flush_ms: int = 20) -> Publisher:
    """The write end of a running job."""
    return Publisher(committer, claim, lease_ms=600_000, flush_ms=flush_ms)


def spread(values: list[float], unit: str = "") -> str:
    """Median, and least to most."""
    return f"{statistics.median(values):,.2f}{unit} ({min(values):,.2f}–{max(values):,.2f})"
