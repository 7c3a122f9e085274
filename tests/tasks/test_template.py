"""Ready-made messages: nothing in them differs from those that Celery makes, but the ids."""

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import signals

from progress import keys
from progress.commands import Waiting
from progress.jobs import uuid7
from tasks import template
from tasks.queue import CeleryQueue
from tests.support.api import settings
from tests.support.redis_server import RedisServer

Message = dict[str, Any]


class Office:
    """A queue on a Redis of its own, and the messages in it."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.queue = CeleryQueue.from_settings(settings(redis_url=server.url))

    def sent(self, where: str, priority: int) -> list[Message]:
        """The messages of a queue and a priority, the first one first."""
        step = 9 - priority
        found = self.server.command("LRANGE", f"{keys.BROKER}{where}{f':{step}' * bool(step)}", 0, -1)
        assert isinstance(found, list)
        return [json.loads(text) for text in reversed(found)]

    def made_by_celery(self, job_id: str, where: str, priority: int) -> Message:
        """What Celery and kombu send for a job."""
        self.queue._sending.attempt(lambda producer: self.queue._send(producer, job_id, where, priority))
        return self.sent(where, priority)[-1]


@pytest.fixture
def office(redis_server: RedisServer) -> Iterator[Office]:
    redis_server.command("FLUSHALL")
    made = Office(redis_server)
    yield made
    made.queue.close()


def ids_of(message: Message) -> list[str]:
    """Those that are of a message itself: its task's, and that of its delivery."""
    headers, properties = message["headers"], message["properties"]
    assert headers["id"] == headers["root_id"] == properties["correlation_id"]
    return [headers["id"], properties["delivery_tag"]]


def without_ids(message: Message) -> Message:
    task, tag = ids_of(message)
    bare: Message = json.loads(json.dumps(message).replace(task, "TASK").replace(tag, "TAG"))
    return bare


@pytest.mark.parametrize(("where", "priority"), [("llm", 5), ("llm", 9), ("only-named-by-a-submission", 0)])
def test_a_message_is_celerys_but_for_its_ids(office: Office, where: str, priority: int) -> None:
    job_id = uuid7()
    theirs = office.made_by_celery(job_id, where, priority)
    office.queue.enqueue(job_id, where, priority)
    _, ours = office.sent(where, priority)
    assert without_ids(ours) == without_ids(theirs)
    assert list(ours) == list(theirs)
    assert json.loads(base64.b64decode(ours["body"]))[0] == [job_id]


def test_every_message_has_ids_of_its_own(office: Office) -> None:
    jobs = [Waiting(uuid7(), "llm", 5) for _ in range(20)]
    assert office.queue.enqueue_all(jobs) == {}
    sent = office.sent("llm", 5)
    assert [json.loads(base64.b64decode(message["body"]))[0][0] for message in sent] == [job.job_id for job in jobs]
    ids = {one for message in sent for one in ids_of(message)}
    assert len(ids) == 40
    assert {uuid.UUID(one).version for one in ids} == {4}
    left_over = {template.JOB, template.TASK}
    assert not any(one in json.dumps(message) for message in sent for one in left_over)


def test_several_queues_and_priorities_go_together(office: Office) -> None:
    jobs = [Waiting(uuid7(), where, priority) for where in ("llm", "cpu") for priority in (5, 9, 5)]
    assert office.queue.enqueue_all(jobs) == {}
    counts = {(where, priority): len(office.sent(where, priority)) for where in ("llm", "cpu") for priority in (5, 9)}
    assert counts == {("llm", 5): 2, ("llm", 9): 1, ("cpu", 5): 2, ("cpu", 9): 1}
    assert (office.queue.depth("llm"), office.queue.depth("cpu")) == (3, 3)


def test_whoever_listens_to_celerys_signals_sees_each_message(office: Office) -> None:
    seen: list[str] = []

    def mark(headers: Message, body: Any, **_: object) -> None:
        headers["trace"] = "t1"
        seen.append(body[0][0])

    jobs = [Waiting(uuid7(), "llm", 5) for _ in range(2)]
    office.queue.enqueue(uuid7(), "llm", 5)
    signals.before_task_publish.connect(mark)
    try:
        assert office.queue.enqueue_all(jobs) == {}
        office.queue.enqueue(jobs[0].job_id, "llm", 5)
    finally:
        signals.before_task_publish.disconnect(mark)
    assert seen == [jobs[0].job_id, jobs[1].job_id, jobs[0].job_id]
    assert [message["headers"].get("trace") for message in office.sent("llm", 5)] == [None, "t1", "t1", "t1"]


def test_text_that_looks_like_a_form_stays_as_it_is() -> None:
    message = {
        "body": base64.b64encode(f'[["{template.JOB}"], {{"100%": "%s"}}]'.encode()).decode(),
        "headers": {"id": template.TASK, "origin": "50%@%(host)s"},
        "properties": {"delivery_tag": "x"},
    }
    made = json.loads(template.Template.of("q", message).message("the-job", lambda: "an-id"))
    assert base64.b64decode(made["body"]) == b'[["the-job"], {"100%": "%s"}]'
    assert made["headers"] == {"id": "an-id", "origin": "50%@%(host)s"}
    assert made["properties"] == {"delivery_tag": "an-id"}


def test_queues_that_only_submissions_name_fill_no_memory(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.queue.TEMPLATES", 2)
    jobs = [Waiting(uuid7(), f"q{number}", 5) for number in range(5)]
    assert office.queue.enqueue_all(jobs) == {}
    assert len(office.queue._templates) <= 2
    assert [office.queue.depth(job.queue) for job in jobs] == [1] * 5
