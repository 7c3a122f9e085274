"""Redis crashes and has lost its last second: what readers saw stays, and everything goes on from there."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.crew import Crew
from tests.faults.following import Audience, Follower, SocketFollower, final_text, follows, spoken
from tests.faults.plays import play
from tests.support.live import Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

LOST_MS = 900
PAUSE_S = 0.03


@pytest.fixture(scope="module")
def house() -> Iterator[Live]:
    """A Jobcast with a worker of each sort, which are started again should they end."""
    with Live(model=False) as live:
        live.start_api()
        with Crew(live, ("llm", "threads", 20), ("cpu", "prefork", 2)):
            yield live


def submit(house: Live, file: Path, pieces: int, queue: str = "llm") -> str:
    """A job that counts aloud, and notes what it really did."""
    return house.submit("journal", {"file": str(file), "pieces": pieces, "pause_s": PAUSE_S}, queue=queue)


def follow(audience: Audience, job_id: str) -> list[Follower]:
    """Readers of each sort."""
    return [
        audience.follow(job_id),
        audience.follow(job_id, exact=False),
        audience.follow(job_id, sort=SocketFollower),
    ]


def counted(pieces: int) -> str:
    """What such a job says."""
    return "".join(f"{number} " for number in range(pieces))


def crash(house: Live, kept: int, away_s: float) -> None:
    """Redis loses what it has written after ``kept``, and is back after a while."""
    assert house.redis.crash(kept) > 0
    time.sleep(away_s)  # how long it is away, no waiting for anything
    house.redis.start()


def all_is_as_it_was_seen(house: Live, audience: Audience) -> None:
    """Each reader's events are those that now stand in the log, and nobody was sent away."""
    audience.wait(40)
    audience.check()
    for reader in audience.readers:
        written = {event["seq"]: event for event in house.events(reader.job_id)}
        assert [follows(event) for event in written.values()] == [0, *list(written)[:-1]]
        assert reader.connections == 1, reader
        if reader.exact:
            assert reader.events == list(written.values())


@pytest.mark.parametrize("away_s", [0.2, 5])
def test_streams_go_on_under_the_same_numbers(house: Live, tmp_path: Path, away_s: float) -> None:
    with Audience(house) as audience:
        files = {"llm": tmp_path / "threads", "cpu": tmp_path / "prefork"}
        jobs = {queue: submit(house, file, 150, queue) for queue, file in files.items()}
        readers = [reader for job_id in jobs.values() for reader in follow(audience, job_id)]
        for reader in readers:
            spoken(reader, 5)
        kept = house.redis.written_before(LOST_MS)
        seen = min(reader.cursor for reader in readers)
        crash(house, kept, away_s)
        assert seen > 20
        all_is_as_it_was_seen(house, audience)
        assert {reader.text for reader in readers} == {counted(150)}
        for queue, file in files.items():
            assert file.read_text().splitlines().count("1 begins") == 1
            assert (house.job(jobs[queue])["status"], house.job(jobs[queue])["attempt"]) == ("succeeded", 1)


def test_whole_lives_of_jobs_come_back(house: Live, tmp_path: Path) -> None:
    """What began, ended, was cancelled or was submitted at all within the time that is lost."""
    with Audience(house) as audience:
        running = submit(house, tmp_path / "running", 100)
        early = follow(audience, running)
        spoken(early[0], 3)
        kept = house.redis.written()
        short, going = submit(house, tmp_path / "short", 2), submit(house, tmp_path / "going", 100, "cpu")
        waiting = house.submit("speak", {"pieces": ["x"]}, queue="default")
        stopped = house.submit("speak", {"pieces": ["x"]}, queue="default")
        dying = submit(house, tmp_path / "dying", 1000)
        for job_id in (short, going, waiting, stopped, dying):
            follow(audience, job_id)
        readers = {reader.job_id: reader for reader in audience.readers}
        spoken(readers[going], 3)
        spoken(readers[dying], 3)
        with house.client() as client:
            for job_id in (stopped, dying):
                assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
        wait_until(lambda: all(readers[job_id].ended for job_id in (short, stopped)))
        assert not readers[running].ended
        crash(house, kept, 0.3)
        house.start_worker("default", "prefork", 1)
        all_is_as_it_was_seen(house, audience)
        ends = {job_id: readers[job_id].events[-1]["type"] for job_id in readers}
        assert ends == {
            running: "succeeded",
            short: "succeeded",
            going: "succeeded",
            waiting: "succeeded",
            stopped: "cancelled",
            dying: "cancelled",
        }
        assert {house.job(job_id)["status"] for job_id in ends} == {"succeeded", "cancelled"}
        assert readers[short].text == counted(2)
        assert readers[going].text == readers[running].text == counted(100)
        for name in ("running", "going", "short", "dying"):
            assert (tmp_path / name).read_text().splitlines().count("1 begins") == 1


def test_where_nobody_is_left_who_knows_no_number_is_used_twice(house: Live, tmp_path: Path) -> None:
    """Redis crashes together with the worker: the next attempt's events get numbers that no reader can have seen."""
    with Audience(house) as audience:
        job_id = submit(house, tmp_path / "notes", 60, "cpu")
        stayed, gone = follow(audience, job_id)[0], audience.follow(job_id)
        spoken(stayed, 5)
        kept = house.redis.written_before(LOST_MS)
        workers = [child for child in house.children if child.name.startswith("worker-cpu")]
        for worker in workers:
            worker.kill(group=True)
        assert house.redis.crash(kept) > 0
        house.redis.start()
        audience.wait(40)
        contents: dict[int, str] = {}
        for reader in (stayed, gone):
            for event in reader.events:
                if event["type"] == "gap":
                    continue
                shown = f"{event['type']} {event['attempt']} {event.get('text')}"
                assert contents.setdefault(event["seq"], shown) == shown
            assert reader.text == counted(60)
            assert [event["seq"] for event in reader.events if "seq" in event] == sorted(contents)
        written = {event["seq"]: event for event in house.events(job_id)}
        assert set(written) < set(contents), "something that was seen is lost"
        assert stayed.of("gap"), "and that is said"


def test_a_frozen_worker_that_wakes_after_the_crash_uses_no_number_twice(stage: Live, tmp_path: Path) -> None:
    """Another one had its job; Redis has lost that, and the other one is gone: see doubtful in common.lua."""
    workers = stage.start_workers(("llm", "threads", 2), ("llm", "threads", 2))
    with play(stage, tmp_path / "notes", lasts_s=6) as act:
        frozen = act.worker(workers)
        (other,) = [worker for worker in workers if worker is not frozen]
        frozen.kill(signal.SIGSTOP, group=True)
        kept = stage.redis.written()
        act.next_attempt()
        spoken(act.exact, 5)
        seen = list(act.exact.events)
        other.kill(group=True)
        assert stage.redis.crash(kept) > 0
        stage.redis.start()
        frozen.kill(signal.SIGCONT, group=True)
        job = stage.job(act.job_id, 20)
        assert (job["status"], job["attempt"]) == ("succeeded", 1)
        written = {event["seq"]: event for event in stage.events(act.job_id, exact=1)}
        assert final_text(list(written.values())) == act.speech
        assert {follows(event) for event in written.values()} == {0, *written} - {job["last_seq"]}
        late = [event for event in seen if event["attempt"] == 2 or event["type"] == "retrying"]
        assert len(late) > 5
        assert not {event["seq"] for event in late} & set(written)
        wait_until(lambda: act.exact.ended)
        assert act.exact.of("gap"), "what was lost is said"
        act.exact.check(redis_crashed=True)
