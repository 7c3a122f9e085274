"""RabbitMQ killed, frozen, full and emptied, and its connections cut: jobs go on, and new ones only wait."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.faults.crew import Crew
from tests.faults.following import Audience, spoken
from tests.support.live import Live, waited_s
from tests.support.rabbit_server import RabbitServer
from tests.support.waiting import LIMIT_S, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

LEASE_S: Final = 2
AWAY_S: Final = 3
"""Longer than a lease: nobody is dead because the broker was."""
PAUSE_S: Final = 0.05
PIECES: Final = 80
QUEUES: Final = ("llm", "cpu")
ACCEPTED_S: Final = 1
"""Less than a broker is waited for that is frozen, of 2 s."""
TOO_LATE: Final = "delivery acknowledgement on channel"
"""What RabbitMQ logs when it closes a channel since nothing was acknowledged there for too long."""
QUEUES_HAVE_TIMEOUTS: Final = (3, 12)
SOON_S: Final = 10
"""The longest from a broker's return to the end of a short job that was submitted meanwhile."""


@pytest.fixture(scope="module")
def house(rabbit_server: RabbitServer) -> Iterator[Live]:
    """A Jobcast with a worker of each sort, which are started again should they end. Nobody serves ``default``."""
    with Live(model=False, LEASE_S=str(LEASE_S), BROKER_URL=rabbit_server.new_url()) as live:
        live.start_api()
        with Crew(live, ("llm", "threads", 20), ("cpu", "prefork", 2)) as crew:
            yield live
            assert crew.replaced == [], "a worker has ended, whatever became of its broker"


@pytest.fixture
def audience(house: Live) -> Iterator[Audience]:
    with Audience(house) as audience:
        yield audience


def speaking(house: Live, audience: Audience, directory: Path) -> list[Path]:
    """A job of each sort that has begun to speak, with a reader. What they note of what they really do."""
    files = [directory / queue for queue in QUEUES]
    for queue, file in zip(QUEUES, files, strict=True):
        task_input = {"file": str(file), "pieces": PIECES, "pause_s": PAUSE_S}
        spoken(audience.follow(house.submit("journal", task_input, queue=queue)), 1)
    return files


def ran_once(house: Live, audience: Audience, files: list[Path]) -> None:
    """Every job has had one attempt, which has done each thing once, and whose reader never had to come again."""
    audience.wait(40)
    audience.check_against(lambda job_id: house.events(job_id, exact=1))
    for reader in audience.readers:
        job = house.job(reader.job_id)
        assert (job["status"], job["attempt"], reader.connections) == ("succeeded", 1, 1)
    for file in files:
        assert file.read_text().splitlines() == ["1 begins", *(f"1 {number}" for number in range(PIECES)), "1 ends"]


def submitted(house: Live) -> list[str]:
    """Short jobs for each worker, which are accepted at once."""
    made, started = [], time.monotonic()
    for queue in (*QUEUES, *QUEUES):
        made.append(house.submit("speak", {"pieces": ["x"]}, queue=queue))
    assert time.monotonic() - started < len(made) * ACCEPTED_S + house.stalls.since(started)
    return made


def takes_jobs(house: Live) -> None:
    """Every worker does what it is for."""
    for job_id in submitted(house):
        assert house.job(job_id, SOON_S)["status"] == "succeeded"


def pass_time(seconds: float) -> None:
    """What is tested here is that time passes."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > until, seconds + 5)


@contextmanager
def without(server: RabbitServer, how: str) -> Iterator[None]:
    """Without its broker, which is back afterwards."""
    acts: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        "killed": (server.kill, server.start),
        "frozen": (lambda: server.signal(signal.SIGSTOP), lambda: server.signal(signal.SIGCONT)),
        "full": (lambda: server.has_room(False), lambda: server.has_room(True)),
    }
    take, give_back = acts[how]
    take()
    try:
        yield
    finally:
        give_back()


@pytest.mark.parametrize("how", ["killed", "frozen", "full"])
def test_jobs_go_on_without_the_broker_and_new_ones_wait_for_it(
    house: Live, audience: Audience, rabbit_server: RabbitServer, tmp_path: Path, how: str
) -> None:
    files = speaking(house, audience, tmp_path)
    with without(rabbit_server, how):
        waiting = submitted(house)
        with house.client() as client:
            # One that is full answers, and takes no messages; jobs are taken in either case.
            assert client.get("/readyz").status_code == (200 if how == "full" else 503)
            assert client.get("/health").json()["status"] == ("ok" if how == "full" else "unavailable")
        pass_time(AWAY_S)
        assert {house.job(job_id)["status"] for job_id in waiting} == {"queued"}
    back = time.monotonic()
    for job_id in waiting:
        assert house.job(job_id, SOON_S)["status"] == "succeeded"
    print(f"{how}: {time.monotonic() - back:.1f} s")
    ran_once(house, audience, files)
    takes_jobs(house)


def test_jobs_run_once_though_every_connection_is_cut(
    house: Live, audience: Audience, rabbit_server: RabbitServer, tmp_path: Path
) -> None:
    files = speaking(house, audience, tmp_path)
    for _ in range(4):
        rabbit_server.cut_all()
        pass_time(0.7)
    ran_once(house, audience, files)
    takes_jobs(house)


def test_jobs_run_though_the_broker_has_lost_every_queue(
    house: Live, audience: Audience, rabbit_server: RabbitServer, tmp_path: Path
) -> None:
    files = speaking(house, audience, tmp_path)
    waiting = [house.submit("speak", {"pieces": ["x"]}, queue="default", priority=priority) for priority in (0, 9, 5)]
    rabbit_server.delete_queues()
    worker = house.start_worker("default", "threads", 1)
    for job_id in waiting:
        assert house.job(job_id, SOON_S)["status"] == "succeeded"
    ran_once(house, audience, files)
    takes_jobs(house)
    worker.stop()


def test_a_job_that_lasts_longer_than_rabbitmq_waits_for_its_acknowledgement_runs_once(
    house: Live, audience: Audience, rabbit_server: RabbitServer, tmp_path: Path
) -> None:
    rabbit_server.set("consumer_timeout", 1000)
    rabbit_server.set("channel_tick_interval", 300)
    try:
        rabbit_server.cut_all()  # a connection keeps what it began with
        takes_jobs(house)
        before, begun = rabbit_server.output.count(TOO_LATE), time.monotonic()
        ran_once(house, audience, speaking(house, audience, tmp_path))
        is_late = rabbit_server.output.count(TOO_LATE) > before
        # Newer ones know the timeout of a queue, which is longer, and close nothing. Where the machine stands still,
        # heartbeats are missed, and the whole connection is closed.
        assert is_late == (rabbit_server.version < QUEUES_HAVE_TIMEOUTS) or house.stalls.longest(begun) > LEASE_S / 2
        takes_jobs(house)
    finally:
        rabbit_server.set("consumer_timeout", 30 * 60 * 1000)
        rabbit_server.set("channel_tick_interval", 60 * 1000)
        rabbit_server.cut_all()


def test_delays_and_retries_are_kept(house: Live) -> None:
    delayed = house.submit("speak", {"pieces": ["x"]}, delay_s=1)
    retried = house.submit("fail", {"how": "retry", "attempts": 2, "after_s": 0.5})
    ended = house.job(delayed, SOON_S)
    assert ended["status"] == "succeeded"
    assert waited_s(ended) >= 1
    job = house.job(retried, SOON_S)
    assert (job["status"], job["attempt"]) == ("succeeded", 3)


def test_the_most_urgent_job_is_next(house: Live) -> None:
    worker = house.start_worker("one-by-one", "threads", 1)
    busy = house.submit("speak", {"pieces": ["x"], "pause_s": 2}, queue="one-by-one")
    wait_until(lambda: house.job(busy)["status"] == "running")
    jobs = [
        house.submit("speak", {"pieces": ["x"]}, queue="one-by-one", priority=priority) for priority in (0, 5, 9, 5)
    ]
    ended = [house.job(job_id, SOON_S) for job_id in jobs]
    in_order = sorted(ended, key=lambda job: str(job["started_at"]))
    assert [job["priority"] for job in in_order] == [9, 5, 5, 0]
    worker.stop()


def test_a_second_worker_of_the_same_queues_works_beside_the_first(house: Live) -> None:
    worker = house.start_worker("llm", "threads", 2)
    with house.client() as client:
        # It says that it is there a moment after it takes jobs.
        wait_until(lambda: len(client.get("/health").json()["queues"]["llm"]["workers"]) == 2)
    worker.kill(signal.SIGTERM)
    assert worker.process.wait(LIMIT_S) == 0
