"""Recovery: how long readers wait when the process that runs their job is killed, at default settings."""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx

from bench.peers import PEERS
from bench.processes import BenchError, family, running, wait_until
from bench.site import Site, listens, site
from bench.streaming import Figures
from server.embedded import LOOPBACK

TOKENS_FIRST: Final = 20
GIVE_UP_S: Final = 40.0


def killed(pool: str, seconds: float) -> Figures:
    """From the SIGKILL to the next attempt's first token, with another worker there."""
    with site() as place, contextlib.ExitStack() as stack:
        env = {**PEERS["jobcast"].env(place), "JOBCAST_TASKS": "bench.kinds", "JOBCAST_LOG_LEVEL": "info"}
        api = stack.enter_context(running([sys.executable, "-m", "server.cli", "api"], env))
        wait_until(lambda: listens(place.port), "the API", api)
        first = stack.enter_context(_worker(place, env, pool, "first"))
        client = stack.enter_context(
            httpx.Client(base_url=f"http://{LOOPBACK}:{place.port}", trust_env=False, timeout=GIVE_UP_S)
        )
        body = {"kind": "bench-stream", "input": {"seconds": 120}}
        job_id = client.post("/v1/jobs", json=body).raise_for_status().json()["id"]
        stream = stack.enter_context(client.stream("GET", f"/v1/jobs/{job_id}/events"))
        events = _events(stream)
        for _ in range(TOKENS_FIRST):
            next(event for event in events if event["type"] == "token")
        stack.enter_context(_worker(place, env, pool, "second"))
        return _recovered(family(first), events)


def _recovered(victims: list[int], events: Iterator[dict[str, Any]]) -> Figures:
    began = time.monotonic()
    for pid in reversed(victims):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    told = 0.0
    for event in events:
        if event.get("attempt", 1) > 1:
            told = told or time.monotonic() - began
            if event["type"] == "token":
                return {"told_s": told, "token_s": time.monotonic() - began}
    raise BenchError("the job has ended without another attempt")


@contextlib.contextmanager
def _worker(place: Site, env: dict[str, str], pool: str, name: str) -> Iterator[int]:
    log = place.folder / f"{name}.log"
    command: list[str | Path] = [sys.executable, "-m", "server.cli", "worker", "--queues", "default"]
    command += ["--pool", pool, "--concurrency", "2"]
    with running(command, env, log=log) as process:
        wait_until(lambda: "worker ready" in log.read_text(), f"the {name} worker", process)
        yield process.pid


def _events(stream: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in stream.iter_lines():
        if line.startswith("data:"):
            yield json.loads(line.removeprefix("data:"))
