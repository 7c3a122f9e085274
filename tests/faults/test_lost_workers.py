"""A worker dies: the job goes on elsewhere, and every reader ends with the final text."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.faults.following import final_text
from tests.support.live import Child, Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

LEASE_S = 2
POOLS = (("llm", "threads"), ("cpu", "prefork"))
WORDS = {"pieces": ["word "] * 100, "pause_s": 0.05}


@pytest.fixture
def patient() -> Iterator[Live]:
    """A Jobcast whose workers the test starts, with a short lease."""
    with Live(LEASE_S=str(LEASE_S)) as live:
        live.start_model()
        live.start_api()
        yield live


def spoken(live: Live, job_id: str, tokens: int) -> None:
    """Returns once a job has published so many tokens."""
    wait_until(lambda: sum(event["type"] == "token" for event in live.events(job_id, exact=1)) >= tokens, 20)


def follow(live: Live, job_id: str, **query: Any) -> list[dict[str, Any]]:
    """Every event of a job as NDJSON, to its end."""
    with live.client() as client:
        answer = client.get(f"/v1/jobs/{job_id}/events", params={"format": "ndjson", **query}, timeout=60)
        return [json.loads(line) for line in answer.text.split("\n") if line]


def lose(worker: Child) -> None:
    """Kills a worker and everything that belongs to it."""
    worker.kill(group=True)


def read_text_and_lose(live: Live, worker: Child, job_id: str) -> None:
    """Follows a job's text; its worker dies as soon as some of it is there."""
    query = {"format": "text"}
    with live.client() as client, client.stream("GET", f"/v1/jobs/{job_id}/events", params=query) as answer:
        for at, _ in enumerate(answer.iter_raw()):
            if at == 5:
                lose(worker)
                live.start_worker()


def test_a_killed_workers_job_goes_on_after_its_last_checkpoint(patient: Live) -> None:
    worker = patient.start_worker()
    job_id = patient.submit("generate", {"prompt": "[[demo: pace=40 tokens=160]]Tell me of the sea"})
    wait_until(lambda: patient.job(job_id)["last_seq"] > 70, 20)
    lose(worker)
    patient.start_worker()
    job = patient.job(job_id, 30)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)

    exact = patient.events(job_id, exact=1)
    (again,) = [event for event in exact if event["type"] == "started" and event["attempt"] == 2]
    assert again["rollback_to"] > 30, "the text up to the checkpoint was paid for"
    assert final_text(exact) == job["result"]["text"]
    assert final_text(follow(patient, job_id)) == job["result"]["text"], "joined tokens must not cross the checkpoint"
    with patient.client() as client:
        text = client.get(f"/v1/jobs/{job_id}/events", params={"format": "text"}).text
    assert text == job["result"]["text"]


def test_a_reader_who_stays_sees_the_lost_attempt_end_and_the_next_one_whole(patient: Live) -> None:
    worker = patient.start_worker()
    pieces = [f"{number} " for number in range(60)]
    job_id = patient.submit("speak", {"pieces": pieces, "pause_s": 0.05})
    with (
        patient.client() as client,
        client.stream("GET", f"/v1/jobs/{job_id}/events", params={"format": "ndjson"}, timeout=60) as answer,
    ):
        seen: list[dict[str, Any]] = []
        for line in answer.iter_lines():
            seen.append(json.loads(line))
            if seen[-1]["type"] == "token" and [event["type"] for event in seen].count("token") == 10:
                lose(worker)
                patient.start_worker()
    assert [event["type"] for event in seen if event["type"] != "token"] == [
        "queued", "started", "retrying", "started", "succeeded",
    ]  # fmt: skip
    assert [event["seq"] for event in seen] == sorted({event["seq"] for event in seen})
    assert final_text(seen) == "".join(pieces)


def test_plain_text_that_has_become_void_ends_in_a_cut_connection(patient: Live) -> None:
    worker = patient.start_worker()
    job_id = patient.submit("speak", {"pieces": ["word "] * 40, "pause_s": 0.05})
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        read_text_and_lose(patient, worker, job_id)
    assert patient.job(job_id, 30)["status"] == "succeeded"
    with patient.client() as client:
        assert client.get(f"/v1/jobs/{job_id}/events", params={"format": "text"}).text == "word " * 40


def test_a_job_that_kills_its_worker_ends_and_others_go_on(patient: Live) -> None:
    patient.start_worker("llm", "prefork", 3)
    poison = patient.submit("fail", {"how": "crash"}, max_attempts=2)
    others = [patient.submit("speak", {"pieces": ["fine"]}) for _ in range(20)]
    assert {patient.job(job_id, 30)["status"] for job_id in others} == {"succeeded"}
    ended = patient.job(poison, 30)
    assert (ended["status"], ended["attempt"], ended["error"]["code"]) == ("failed", 2, "worker_lost")


def test_workers_that_are_told_to_stop_hand_their_jobs_back() -> None:
    with Live(model=False, DRAIN_S="1", LEASE_S="30") as live:
        live.start_api()
        stopping = [live.start_worker(queue, pool, 2) for queue, pool in POOLS]
        talking = [live.submit("speak", WORDS, max_attempts=1, queue=queue) for queue, _ in POOLS]
        silent = [live.submit("silent", {"seconds": 5}, max_attempts=1, queue=queue) for queue, _ in POOLS]
        for job_id in talking:
            spoken(live, job_id, 3)
        for queue, pool in POOLS:
            live.start_worker(queue, pool, 2)
        for worker in stopping:
            worker.kill(signal.SIGTERM)
        for worker in stopping:
            worker.process.wait(5)  # it must not wait for the ends of its jobs
        for job_id in (*talking, *silent):
            job = live.job(job_id, 30)
            assert (job["status"], job["attempt"]) == ("succeeded", 2), "handing back does not count as an attempt"
            (retrying,) = [event for event in live.events(job_id) if event["type"] == "retrying"]
            assert retrying["error"]["code"] == "worker_stopped"
        for job_id in talking:
            assert final_text(live.events(job_id)) == "word " * 100
