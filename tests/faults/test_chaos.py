"""Many jobs under a random killer: each ends once, and every reader gets its text. CHAOS_SEED=N plays one again."""

import os
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.faults.crew import Crew
from tests.faults.following import Audience, Follower, SocketFollower
from tests.support.live import Child, Live

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(240)]

JOBS: Final = int(os.environ.get("CHAOS_JOBS", "40"))
CHAOS_S: Final = float(os.environ.get("CHAOS_S", "15"))
"""How long the killer is about; what is left then runs to its end."""
EVERY_S: Final = 1.0
LEASE_S: Final = 2
END_S: Final = 60
ATTEMPTS: Final = 100
"""Enough: what is tried here is that no job is lost, not that patience has an end."""


class Killer:
    """Breaks one thing after another, as chance will have it.

    In the test's own thread: what it starts again must not end with the thread that started it (server/leash.py).
    """

    def __init__(self, live: Live, crew: Crew, chance: random.Random) -> None:
        self.deeds: list[str] = []
        self._live = live
        self._crew = crew
        self._chance = chance

    def run(self, over: Callable[[], bool]) -> None:
        """Goes on until it is over."""
        plan = ["kill", "kill", "pool", "freeze", "freeze", "stop", "cut"] * 10
        self._chance.shuffle(plan)
        for deed, first, every in (("api", 2, 9), ("redis", 6, 13)):
            for at in range(first, len(plan), every):
                plan.insert(at, deed)
        for deed in plan:
            self._pause(self._chance.uniform(0.5, 1.5) * EVERY_S)
            if over():
                return
            self.deeds.append(deed)
            self._act(deed)

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds)  # the killer's pace; nothing is waited for

    def _act(self, deed: str) -> None:
        worker = self._chance.choice(self._crew.workers)
        acts: dict[str, Callable[[], object]] = {
            "kill": lambda: worker.kill(group=True),
            "pool": lambda: self._kill_child(worker),
            "freeze": lambda: self._freeze(worker),
            "stop": lambda: worker.kill(signal.SIGTERM),
            "cut": lambda: self._live.redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
            "api": lambda: self._live.restart_api(self._chance.choice([signal.SIGTERM, signal.SIGKILL])),
            "redis": self._restart_redis,
        }
        acts[deed]()

    def _kill_child(self, worker: Child) -> None:
        for children in sorted(Path(f"/proc/{worker.pid}/task").glob("*/children")):
            for pid in map(int, children.read_text().split()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                return

    def _freeze(self, worker: Child) -> None:
        worker.kill(signal.SIGSTOP, group=True)
        self._pause(self._chance.uniform(0.5, 2.5) * LEASE_S)
        worker.kill(signal.SIGCONT, group=True)

    def _restart_redis(self) -> None:
        self._live.redis.kill()
        self._pause(self._chance.uniform(0.1, 3))
        self._live.redis.start()


def submit_all(live: Live, audience: Audience, chance: random.Random, directory: Path) -> dict[str, str]:
    """Submits every job over the time of the chaos; the text of each by its id."""
    texts: dict[str, str] = {}
    with live.client() as client:
        for number in range(JOBS):
            time.sleep(chance.uniform(0, 2) * CHAOS_S / JOBS)  # the pace of those who submit, no waiting for anything
            pause_s = chance.choice([0.02, 0.05, 0.1])
            pieces = round(chance.uniform(2, 6) / pause_s)
            task_input = {"file": str(directory / f"{number}"), "pieces": pieces, "pause_s": pause_s}
            body = {"kind": "journal", "input": task_input, "queue": chance.choice(["llm", "llm", "cpu"])}
            job_id = submit(client, body, f"chaos-{number}")
            texts[job_id] = "".join(f"{piece} " for piece in range(pieces))
            audience.follow(job_id)
            audience.follow(job_id, exact=False, sort=chance.choice([Follower, SocketFollower]))
    return texts


def submit(client: httpx.Client, body: dict[str, Any], key: str) -> str:
    """Submits a job once, however often that takes."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            answer = client.post("/v1/jobs", json={**body, "max_attempts": ATTEMPTS}, headers={"Idempotency-Key": key})
            if answer.status_code in (200, 202):
                return str(answer.json()["id"])
            assert answer.status_code == 503, answer.text
        time.sleep(0.1)
    raise TimeoutError("no job could be submitted")


def test_whatever_dies_every_job_ends_once_and_every_reader_has_its_text(tmp_path: Path) -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(10**6)))
    print(f"CHAOS_SEED={seed}")
    chance = random.Random(seed)
    posts = (("llm", "threads", 20), ("llm", "threads", 20), ("cpu", "prefork", 4))
    with Live(model=False, LEASE_S=str(LEASE_S), VISIBILITY_TIMEOUT_S=str(LEASE_S), DRAIN_S="1") as live:
        live.start_api()
        with Crew(live, *posts) as crew, Audience(live) as audience, ThreadPoolExecutor(1) as others:
            killer = Killer(live, crew, random.Random(seed + 1))
            submitting = others.submit(submit_all, live, audience, chance, tmp_path)
            killer.run(submitting.done)
            texts = submitting.result()
            print(killer.deeds, crew.replaced)
            audience.wait(END_S)
            audience.check()
            assert {reader.job_id: reader.text for reader in audience.readers} == texts
            with live.client() as client:
                ends = {job_id: client.get(f"/v1/jobs/{job_id}").json()["status"] for job_id in texts}
            assert ends == dict.fromkeys(texts, "succeeded")
