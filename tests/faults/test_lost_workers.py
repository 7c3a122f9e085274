"""A worker dies: the job goes on elsewhere, and every reader ends with the final text."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest

from tests.faults.following import final_text
from tests.support.beside import side_by_side
from tests.support.live import Child, Live, Post
from tests.support.waiting import LIMIT_S, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

LEASE_S = 2
POSTS: list[Post] = [("llm", "threads", 2), ("cpu", "prefork", 2)]
WORDS: dict[str, Any] = {"pieces": ["word "] * 80, "pause_s": 0.05}
SECOND = {"pieces": ["word "] * 20, "pause_s": 0.05}


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


def half_told(live: Live) -> str:
    """A job that is at work, and has made checkpoints. When the machine stood still, the model makes up for it."""
    job_id = live.submit("generate", {"prompt": "[[demo: pace=40 tokens=240]]Tell me of the sea"})

    def position() -> int:
        job = live.job(job_id)
        return int(job["last_seq"]) if job["status"] != "succeeded" else 240

    wait_until(lambda: position() > 70)
    return job_id if position() < 140 else half_told(live)


def lose(worker: Child) -> None:
    """Kills a worker and everything that belongs to it."""
    worker.kill(group=True)


def test_a_killed_workers_job_goes_on_after_its_last_checkpoint(patient: Live) -> None:
    worker = patient.start_worker()
    job_id = half_told(patient)
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


def test_a_job_that_kills_its_worker_ends_and_others_go_on(both_brokers: tuple[dict[str, Any], ...]) -> None:
    with started(both_brokers, [("llm", "prefork", 10)], LEASE_S=str(LEASE_S)) as lives:
        side_by_side(*(partial(killed_by_its_job, live) for live, _ in lives))


def killed_by_its_job(live: Live) -> None:
    """A worker, again and again, until that job has had its attempts."""
    poison = live.submit("fail", {"how": "crash", "after_s": 0.5})
    others = [live.submit("speak", SECOND) for _ in range(50)]
    assert {live.job(job_id, 30)["status"] for job_id in others} == {"succeeded"}
    ended = live.job(poison, 30)
    assert (ended["status"], ended["attempt"], ended["error"]["code"]) == ("failed", 3, "worker_lost")


def test_workers_that_are_told_to_stop_hand_their_jobs_back(both_brokers: tuple[dict[str, Any], ...]) -> None:
    with started(both_brokers, POSTS, DRAIN_S="1", LEASE_S="30") as lives:
        side_by_side(*(partial(told_to_stop, live, workers) for live, workers in lives))


def told_to_stop(live: Live, stopping: list[Child]) -> None:
    """Workers, whose jobs others go on with."""
    queues = [queue for queue, _, _ in POSTS]
    talking = [live.submit("speak", WORDS, max_attempts=1, queue=queue) for queue in queues]
    silent = [live.submit("silent", {"seconds": 4}, max_attempts=1, queue=queue) for queue in queues]
    for job_id in talking:
        spoken(live, job_id, 3)
    wait_until(lambda: all(live.job(job_id)["status"] == "running" for job_id in silent))
    for worker in stopping:
        worker.kill(signal.SIGTERM)
    live.start_workers(*POSTS)
    for worker in stopping:
        worker.process.wait(LIMIT_S)
    for job_id in (*talking, *silent):
        job = live.job(job_id, 30)
        assert (job["status"], job["attempt"]) == ("succeeded", 2), "handed back at once, and that does not count"
        (retrying,) = [event for event in live.events(job_id) if event["type"] == "retrying"]
        assert retrying["error"]["code"] == "worker_stopped"
    for job_id in talking:
        assert final_text(live.events(job_id)) == "".join(WORDS["pieces"])


@contextmanager
def started(
    brokers: tuple[dict[str, Any], ...], posts: list[Post], **settings: Any
) -> Iterator[list[tuple[Live, list[Child]]]]:
    """A Jobcast on each broker, and its workers."""
    with ExitStack() as stack:
        lives = [stack.enter_context(Live(model=False, **settings, **broker)) for broker in brokers]
        for live in lives:
            live.start_api()
        yield [(live, live.start_workers(*posts)) for live in lives]
