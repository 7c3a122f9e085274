"""Redis killed, frozen and emptied in mid-stream: streams go on, ends are recorded, and nobody hangs."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.faults.crew import Crew
from tests.faults.following import Audience, Follower, SocketFollower, spoken
from tests.support.beside import side_by_side
from tests.support.live import Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

LEASE_S = 2
FROZEN_S = 20
LONG_AWAY_S = 21
SOON_S = 7
"""kombu's next attempts would be made 20 and 30 s after Redis went, which is 9 s after it is back."""
PAUSE_S = 0.04
PIECES = 150
LONG = 600
"""Pieces of a speech that lasts longer than Redis is away."""
QUEUES = ("llm", "cpu")


@contextmanager
def jobcast() -> Iterator[Live]:
    """A Jobcast with a worker of each sort, which are started again should they end."""
    with Live(model=False, LEASE_S=str(LEASE_S), VISIBILITY_TIMEOUT_S=str(LEASE_S)) as live:
        live.start_api()
        with Crew(live, ("llm", "threads", 20), ("cpu", "prefork", 2)):
            yield live


@pytest.fixture(scope="module")
def house() -> Iterator[Live]:
    """One for all that is short."""
    with jobcast() as live:
        yield live


def speaking(house: Live, audience: Audience, file: Path, queue: str, pieces: int = PIECES) -> list[Follower]:
    """A job that has begun to speak, with three readers."""
    task_input = {"file": str(file), "pieces": pieces, "pause_s": PAUSE_S}
    job_id = house.submit("journal", task_input, queue=queue)
    readers = [
        audience.follow(job_id),
        audience.follow(job_id, exact=False),
        audience.follow(job_id, sort=SocketFollower),
    ]
    for reader in readers:
        spoken(reader, 1)
    return readers


def pass_time(seconds: float) -> None:
    """What is tested here is that time passes."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > until, seconds + 5)


def went_on(house: Live, audience: Audience, files: list[Path], pieces: int = PIECES) -> None:
    """Every job has had one attempt; who stayed and who comes now have its text, over one connection."""
    audience.wait(40)
    for job_id in {reader.job_id for reader in audience.readers}:
        job = house.job(job_id)
        assert (job["status"], job["attempt"]) == ("succeeded", 1)
        audience.follow(job_id)
    audience.wait()
    audience.check()
    assert {reader.text for reader in audience.readers} == {"".join(f"{number} " for number in range(pieces))}
    assert {reader.connections for reader in audience.readers} == {1}
    for file in files:
        assert file.read_text().splitlines().count("1 begins") == 1


def takes_jobs(house: Live) -> None:
    """Each worker does what it is for."""
    for queue in QUEUES:
        wait_until(lambda: httpx.get(f"{house.url}/readyz", trust_env=False).status_code == 200)
        job_id = house.submit("speak", {"pieces": ["fine"]}, queue=queue)
        assert house.job(job_id, 20)["status"] == "succeeded"


def test_streams_go_on_after_redis_was_away_for_long(house: Live, tmp_path: Path) -> None:
    """For many leases, in mid-stream."""
    side_by_side(lambda: killed(house, tmp_path), lambda: frozen(tmp_path))


def killed(house: Live, directory: Path) -> None:
    """Its workers are there soon after it is back, and nothing that was said meanwhile is lost."""
    with Audience(house) as audience:
        files = [directory / "killed-threads", directory / "killed-prefork"]
        for file, queue in zip(files, QUEUES, strict=True):
            speaking(house, audience, file, queue, LONG)
        house.redis.kill()
        pass_time(LONG_AWAY_S)
        house.redis.start()
        back = time.monotonic()
        for job_id in [submit_when_it_can(house, queue) for queue in QUEUES]:
            wait_until(partial(has_succeeded, house, job_id), 60)
        took = time.monotonic() - back
        print(f"done after {took:.1f} s")
        assert took < SOON_S + house.stalls.recovery(back, LEASE_S)
        went_on(house, audience, files, LONG)


def frozen(directory: Path) -> None:
    """The same, where connections stay open and nothing answers."""
    with jobcast() as live, Audience(live) as audience:
        files = [directory / "frozen-threads", directory / "frozen-prefork"]
        for file, queue in zip(files, QUEUES, strict=True):
            speaking(live, audience, file, queue)
        live.redis.signal(signal.SIGSTOP)
        pass_time(FROZEN_S)
        live.redis.signal(signal.SIGCONT)
        went_on(live, audience, files)
        takes_jobs(live)


def has_succeeded(house: Live, job_id: str) -> bool:
    """Asks once: what waits for a job's end may not be there again as soon as the worker."""
    return bool(house.job(job_id)["status"] == "succeeded")


def submit_when_it_can(house: Live, queue: str) -> str:
    """Submits a job as soon as the API takes one."""
    body = {"kind": "speak", "input": {"pieces": ["fine"]}, "queue": queue}
    made: list[str] = []

    def submits() -> bool:
        with house.client() as client:
            answer = client.post("/v1/jobs", json=body)
        made.extend([answer.json()["id"]] if answer.status_code == 202 else [])
        return bool(made)

    wait_until(submits)
    return made[0]


def test_a_job_that_ends_while_redis_is_away_is_recorded_when_it_is_back(house: Live, tmp_path: Path) -> None:
    with Audience(house) as audience:
        file = tmp_path / "notes"
        first, *_ = speaking(house, audience, file, "llm", pieces=20)
        house.redis.kill()
        wait_until(lambda: "1 ends" in file.read_text())
        pass_time(1)
        house.redis.start()
        audience.wait()
        audience.check()
        assert first.events[-1]["result"] == {"pieces": 20}
        assert {reader.text for reader in audience.readers} == {"".join(f"{number} " for number in range(20))}
        assert house.job(first.job_id)["attempt"] == 1
    takes_jobs(house)


def test_when_everything_is_lost_no_reader_hangs_and_the_next_jobs_run(house: Live, tmp_path: Path) -> None:
    with Audience(house) as audience:
        files = [tmp_path / "threads", tmp_path / "prefork"]
        groups = [speaking(house, audience, f, queue) for f, queue in zip(files, QUEUES, strict=True)]
        waiting = house.submit("speak", {"pieces": ["x"]}, queue="default")
        silent = audience.follow(waiting)
        wait_until(lambda: silent.cursor == 1)
        house.redis.command("FLUSHALL")
        audience.wait(20)
        for reader in audience.readers:
            assert reader.events[-1]["type"] != "succeeded"
            assert reader.status == 404 or (isinstance(reader, SocketFollower) and reader.code == 4404)
        takes_jobs(house)
        for group, file in zip(groups, files, strict=True):
            assert "1 ends" not in file.read_text(), "its task went on for nobody"
            with house.client() as client:
                assert client.get(f"/v1/jobs/{group[0].job_id}").status_code == 404
