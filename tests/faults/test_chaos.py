"""Many jobs under a random killer: each ends once, and every reader gets its text. CHAOS_SEED=random plays others."""

import json
import os
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from progress import keys
from tests.faults.crew import Crew
from tests.faults.following import Audience, Follower, SocketFollower, TextFollower
from tests.faults.killer import Killer
from tests.support.live import Live
from tests.support.seeds import seed_of

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]

JOBS: Final = int(os.environ.get("CHAOS_JOBS", "200"))
CHAOS_S: Final = float(os.environ.get("CHAOS_S", "60"))
"""How long the killer is about; what is left then runs to its end."""
SUBMITTED: Final = 0.6
"""The part of that time over which jobs are submitted."""
EVERY_S: Final = 2.0
LEASE_S: Final = 2
JOB_S: Final = (3, 20)
CRASHES: Final = int(os.environ.get("CHAOS_CRASHES", "1"))
"""How many of Redis's two ends cost it its last writes, each in a moment of calm: see killer.py."""
END_S: Final = 90
ATTEMPTS: Final = 100
"""Enough: what is tried here is that no job is lost, not that patience has an end."""
POSTS: Final = (("llm", "threads", 50), ("llm", "threads", 50), ("cpu", "prefork", 8))


class Crowd:
    """Submits the jobs, and sends readers to each: to some at once, to others later."""

    def __init__(self, live: Live, audience: Audience, chance: random.Random, directory: Path) -> None:
        self.texts: dict[str, str] = {}
        """What each job is to say."""
        self._live = live
        self._audience = audience
        self._chance = chance
        self._directory = directory

    def come(self) -> None:
        """Over SUBMITTED of the time, two readers a job."""
        with self._live.client() as client:
            for number in range(JOBS):
                time.sleep(self._chance.uniform(0, 2) * SUBMITTED * CHAOS_S / JOBS)  # their pace, no waiting
                job_id = self._submit(client, number)
                self._send_reader(job_id)
                self._send_reader(self._chance.choice(list(self.texts)))

    def _submit(self, client: httpx.Client, number: int) -> str:
        pause_s = self._chance.choice([0.1, 0.2, 0.4])
        pieces = round(self._chance.uniform(*JOB_S) / pause_s)
        every = self._chance.choice([0, 5, 10])
        task_input = {
            "file": str(self._directory / f"{number}"),
            "pieces": pieces,
            "pause_s": pause_s,
            "checkpoint_every": every,
        }
        # A seventh is for the one worker of processes, of which there are fewer than threads.
        body = {"kind": "journal", "input": task_input, "queue": "cpu" if number % 7 == 0 else "llm"}
        job_id = submit(client, body, f"chaos-{number}")
        self.texts[job_id] = "".join(f"{piece} " for piece in range(pieces))
        return job_id

    def _send_reader(self, job_id: str) -> None:
        sort = self._chance.choice([Follower, Follower, SocketFollower, SocketFollower, TextFollower])
        restless = sort is not TextFollower and self._chance.random() < 0.5
        patience = random.Random(self._chance.random())
        self._audience.follow(
            job_id,
            exact=self._chance.random() < 0.5,
            sort=sort,
            patience=(lambda: patience.uniform(0.2, 8)) if restless else lambda: None,
        )


def submit(client: httpx.Client, body: dict[str, Any], key: str) -> str:
    """Submits a job once, however often that takes."""
    deadline, refusals = time.monotonic() + 30, Counter[str]()
    while time.monotonic() < deadline:
        try:
            answer = client.post("/v1/jobs", json={**body, "max_attempts": ATTEMPTS}, headers={"Idempotency-Key": key})
            if answer.status_code in (200, 202):
                return str(answer.json()["id"])
            assert answer.status_code == 503, answer.text
            refusals[answer.text] += 1
        except httpx.TransportError as error:
            refusals[repr(error)] += 1
        time.sleep(0.1)
    raise TimeoutError(f"no job could be submitted: {refusals}")


def is_at_rest(live: Live) -> None:
    """Nothing waits, runs or is watched any more, and every worker takes jobs."""
    for queue in ("llm", "cpu"):
        job_id = live.submit("speak", {"pieces": ["fine"]}, queue=queue)
        assert live.job(job_id, 20)["status"] == "succeeded"
        assert live.redis.command("ZCARD", f"{keys.QUEUE}{queue}") == 0
    for name in (keys.LEASES, keys.DUE, keys.UNREAD):
        assert live.redis.command("ZCARD", name) == 0


def all_is_well(live: Live, audience: Audience, crowd: Crowd) -> None:
    """Every job has succeeded, and every reader has had what its log says, and its text."""
    with live.client() as client:
        jobs = {job_id: client.get(f"/v1/jobs/{job_id}").json() for job_id in crowd.texts}
    print(Counter(job.get("attempt") for job in jobs.values()), sum(reader.connections for reader in audience.readers))
    assert {job_id: job for job_id, job in jobs.items() if job["status"] != "succeeded"} == {}
    assert len(audience.readers) == 2 * JOBS
    audience.check_against(lambda job_id: live.events(job_id, exact=1), redis_crashed=True)
    for reader in audience.readers:
        assert reader.text == crowd.texts[reader.job_id]


def keep(live: Live, audience: Audience, directory: Path) -> None:
    """Keeps what readers have seen, and the logs of jobs and processes, for whoever looks for the cause."""
    for child in live.children:
        (directory / f"{child.name}.log").write_text(child.output())
    for job_id in {reader.job_id for reader in audience.readers}:
        readers = [reader for reader in audience.readers if reader.job_id == job_id]
        seen: list[Any] = [[repr(reader), reader.exact, reader.text, reader.events] for reader in readers]
        with suppress(httpx.HTTPStatusError):
            seen.insert(0, live.events(job_id, exact=1))
        (directory / f"{job_id}.json").write_text(json.dumps(seen))
    print(f"kept in {directory}")


def test_whatever_dies_every_job_ends_once_and_every_reader_has_its_text(tmp_path: Path) -> None:
    seed = seed_of("CHAOS_SEED")
    started = time.monotonic()
    with Live(model=False, LEASE_S=str(LEASE_S), VISIBILITY_TIMEOUT_S=str(LEASE_S), DRAIN_S="1") as live:
        live.start_api()
        with Crew(live, *POSTS) as crew, Audience(live) as audience, ThreadPoolExecutor(1) as others:
            killer = Killer(
                live,
                crew,
                random.Random(f"{seed} killer"),
                lasts_s=CHAOS_S,
                every_s=EVERY_S,
                lease_s=LEASE_S,
                redis=2 - CRASHES,
                crash=CRASHES,
            )
            crowd = Crowd(live, audience, random.Random(seed), tmp_path)
            submitting = others.submit(crowd.come)
            killer.run()
            calm = time.monotonic()
            print(killer.done, crew.replaced)
            try:
                submitting.result()
                audience.wait(END_S)
                print(f"{calm - started:.0f} s of chaos, the rest took {time.monotonic() - calm:.0f} s")
                all_is_well(live, audience, crowd)
                is_at_rest(live)
            except (AssertionError, TimeoutError):
                keep(live, audience, tmp_path)
                raise
    print(f"{time.monotonic() - started:.0f} s in all, {killer.counts()}")
