"""The way of a submission: validated, recorded, and its message sent beside it."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.errors import Problem
from server.schemas import JobRequest
from server.submission import CLOSE_S, sorted_json
from tests.support.api import Api, FakeQueue, api_with
from tests.support.waiting import until


class SlowQueue(FakeQueue):
    """Holds every message until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.tried: list[str] = []

    def enqueue(self, job_id: str, queue: str, priority: int) -> None:
        self.tried.append(job_id)
        self.go.wait(60)
        super().enqueue(job_id, queue, priority)


@asynccontextmanager
async def hanging() -> AsyncIterator[tuple[Api, SlowQueue]]:
    """An API whose broker hangs."""
    queue = SlowQueue()
    try:
        async with api_with(queue=queue) as api:
            yield api, queue
            queue.go.set()
    finally:
        queue.go.set()


def request_of(**fields: Any) -> JobRequest:
    return JobRequest.model_validate({"kind": "echo", "input": {"text": "x"}, **fields})


async def refusal(api: Api, **fields: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        await api.state.submissions.submit(request_of(**fields))
    return caught.value


async def test_a_job_is_recorded_and_its_message_sent(api: Api) -> None:
    made = await api.state.submissions.submit(request_of(priority=7), owner="ann")
    assert made.created
    await until(lambda: bool(api.queue.sent))
    assert api.queue.sent == [(made.job.id, "llm", 7)]


async def test_what_a_submission_leaves_out_its_kind_or_the_settings_say(api: Api) -> None:
    plain = (await api.state.submissions.submit(request_of())).job
    bounded = (await api.state.submissions.submit(request_of(kind="bounded"))).job
    chosen = request_of(kind="bounded", queue="other", max_attempts=1, timeout_s=2.5, metadata={"m": 1})
    own = (await api.state.submissions.submit(chosen)).job
    assert (plain.queue, plain.max_attempts, plain.timeout_s) == ("llm", 3, None)
    assert (bounded.queue, bounded.max_attempts, bounded.timeout_s) == ("cpu", 7, 9.0)
    assert (own.queue, own.max_attempts, own.timeout_s, own.metadata) == ("other", 1, 2.5, {"m": 1})


async def test_an_unknown_kind_is_refused_with_those_that_there_are(api: Api) -> None:
    problem = await refusal(api, kind="unheard-of")
    assert (problem.status_code, problem.code) == (422, "unknown_kind")
    assert "bounded, echo" in problem.detail


async def test_an_input_that_its_kind_refuses_names_the_field(api: Api) -> None:
    problem = await refusal(api, input={"text": "", "colour": 1})
    assert problem.errors
    assert {error.field for error in problem.errors} == {"input.text", "input.colour"}
    assert (await refusal(api, input={})).detail == "input.text: Field required"


async def test_a_delayed_job_is_left_to_the_sweeper(api: Api) -> None:
    later = (await api.state.submissions.submit(request_of(delay_s=60))).job
    # Less than Redis counts in: no delay at all.
    soon = (await api.state.submissions.submit(request_of(delay_s=0.0001))).job
    await until(lambda: bool(api.queue.sent))
    assert [job_id for job_id, _, _ in api.queue.sent] == [soon.id]
    assert later.due_at is not None


async def test_the_same_key_and_body_send_no_second_message(api: Api) -> None:
    first = await api.state.submissions.submit(request_of(), idempotency_key="k")
    again = await api.state.submissions.submit(request_of(), idempotency_key="k")
    assert (again.created, again.job.id) == (False, first.job.id)
    await api.state.submissions.close()
    assert [job_id for job_id, _, _ in api.queue.sent] == [first.job.id]


async def test_a_broker_that_refuses_leaves_the_job_to_the_sweeper(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    api.queue.broken = "away"
    made = await api.state.submissions.submit(request_of())
    await until(lambda: "left to the sweeper" in caplog.text)
    assert made.job.id in caplog.text
    assert (await api.state.store.get(made.job.id)).status == "queued"


async def test_a_broker_that_hangs_holds_no_submission() -> None:
    async with hanging() as (api, queue):
        started = time.monotonic()
        made = [await api.state.submissions.submit(request_of()) for _ in range(5)]
        assert time.monotonic() - started < 30
        queue.go.set()
        await until(lambda: len(queue.sent) == 5)
        assert [job_id for job_id, _, _ in queue.sent] == [one.job.id for one in made]


async def test_a_broker_that_hangs_can_still_be_asked_after() -> None:
    async with hanging() as (api, queue):
        await api.state.submissions.submit(request_of())
        await until(lambda: bool(queue.tried))
        assert await api.state.submissions.beside_loop(queue.depth, "llm") == 0


async def test_closing_sends_what_waits(api: Api) -> None:
    for _ in range(20):
        await api.state.submissions.submit(request_of())
    await api.state.submissions.close()
    assert len(api.queue.sent) == 20
    assert api.queue.closed


@pytest.mark.slow
async def test_closing_does_not_wait_for_a_broker_that_hangs() -> None:
    async with hanging() as (api, queue):
        await api.state.submissions.submit(request_of())
        await until(lambda: bool(queue.tried))
        for _ in range(20):
            await api.state.submissions.submit(request_of())
        loop = asyncio.get_running_loop()
        # The one message under way gives up by itself, as a real queue's does.
        loop.call_later(CLOSE_S + 0.1, queue.go.set)
        started = time.monotonic()
        await api.state.submissions.close()
        assert time.monotonic() - started < CLOSE_S + 20
        assert len(queue.sent) == 1


async def test_a_job_that_is_tried_again_has_the_same_input_and_limits(api: Api) -> None:
    chosen = request_of(kind="bounded", priority=8, metadata={"m": 1}, max_attempts=2)
    first = (await api.state.submissions.submit(chosen)).job
    again = (await api.state.submissions.retry(first)).job
    same = ("kind", "input", "queue", "priority", "max_attempts", "timeout_s", "metadata")
    assert [getattr(again, name) for name in same] == [getattr(first, name) for name in same]
    assert (again.retry_of, again.status) == (first.id, "queued")
    assert again.id != first.id


def test_requests_that_differ_in_order_alone_are_equal() -> None:
    one = request_of(input={"text": "x", "list": [{"a": 1, "b": 2}]}, metadata={"a": 1, "b": {"c": 1, "d": 2}})
    other = request_of(metadata={"b": {"d": 2, "c": 1}, "a": 1}, input={"list": [{"b": 2, "a": 1}], "text": "x"})
    different = request_of(input={"text": "x", "list": [{"a": 2, "b": 1}]})
    assert str(sorted_json(one)) == str(sorted_json(other)) != str(sorted_json(different))
