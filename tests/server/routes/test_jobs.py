"""Jobs over HTTP: submit, look at, list, cancel, try again, delete."""

import asyncio
import json
from typing import Any

import pytest
from httpx import Response

from progress.commands import Command, ReadLog, WorkerSeen
from progress.errors import StoreUnavailable
from server.routes.jobs import MAX_WAIT_S, preferred_wait
from tests.support.api import Api, api_with
from tests.support.backend import ERROR
from tests.support.waiting import until

BODY: dict[str, Any] = {"kind": "echo", "input": {"text": "x"}}
JSON = {"content-type": "application/json"}


async def submitted(api: Api, *, headers: dict[str, str] | None = None, query: str = "", **fields: Any) -> Response:
    return await api.client.post(f"/v1/jobs{query}", json={**BODY, **fields}, headers=headers)


async def finish_when_followed(api: Api) -> str:
    """Ends the job that somebody follows, and says which that was."""
    await until(lambda: bool(api.state.hub.feeds))
    (job_id,) = api.state.hub.feeds
    api.worker.begin(job_id)
    api.worker.finish(job_id, 1, "succeeded", '{"said":1}')
    return job_id


# Submit


async def test_a_submission_is_answered_with_the_job_and_where_it_is(api: Api) -> None:
    answer = await submitted(api, priority=9, metadata={"m": 1})
    job = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/jobs/{job['id']}")
    assert (job["status"], job["priority"], job["metadata"], job["last_seq"]) == ("queued", 9, {"m": 1}, 1)
    assert job["queue_position"] == 1
    assert (await api.client.get(answer.headers["location"])).json()["id"] == job["id"]


async def test_the_same_key_and_body_give_the_same_job(api: Api) -> None:
    headers = {"idempotency-key": "k"}
    first, again = await submitted(api, headers=headers), await submitted(api, headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["location"] == first.headers["location"]


async def test_the_order_of_fields_does_not_make_another_body(api: Api) -> None:
    headers = {"idempotency-key": "k", **JSON}
    texts = ('{"kind":"echo","input":{"text":"x","times":2}}', '{"input":{"times":2,"text":"x"},"kind":"echo"}')
    answers = [await api.client.post("/v1/jobs", content=text, headers=headers) for text in texts]
    assert [answer.status_code for answer in answers] == [202, 200]


async def test_the_same_key_with_another_body_is_refused(api: Api) -> None:
    await submitted(api, headers={"idempotency-key": "k"})
    answer = await submitted(api, headers={"idempotency-key": "k"}, priority=6)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_conflict")


@pytest.mark.parametrize("key", ["", " ", "a\tb", "x" * 256])
async def test_an_odd_key_is_refused(api: Api, key: str) -> None:
    answer = await submitted(api, headers={"idempotency-key": key})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].lower() == "idempotency-key"
    assert (await api.client.get("/v1/jobs")).json()["jobs"] == []


async def test_twenty_clients_with_one_key_make_one_job(api: Api) -> None:
    answers = await asyncio.gather(*(submitted(api, headers={"idempotency-key": "k"}) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("", 0),
        ("wait=5", 5),
        ('Wait = "7"', 7),
        ("respond-async, wait=10", 10),
        ("wait=3; x=y", 3),
        ("wait=99999999999999999999", MAX_WAIT_S),
        ("wait=-1", 0),
        ("wait=soon", 0),
        ("wait=1.5", 0),
        ("wait", 0),
        ("wait=²", 0),
        ("waiting=5", 0),
    ],
)
def test_a_preference_that_makes_no_sense_is_ignored(prefer: str, seconds: float) -> None:
    assert preferred_wait(prefer) == seconds


async def test_a_client_may_wait_for_the_end(api: Api) -> None:
    waiting = asyncio.create_task(submitted(api, headers={"prefer": "wait=30"}))
    job_id = await finish_when_followed(api)
    answer = await waiting
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=30")
    assert (answer.json()["id"], answer.json()["result"]) == (job_id, {"said": 1})
    assert answer.headers["location"] == f"/v1/jobs/{job_id}"


@pytest.mark.slow
async def test_a_wait_that_is_too_short_answers_with_what_there_is() -> None:
    async with api_with() as api:
        waiting = asyncio.create_task(submitted(api, headers={"prefer": "wait=1"}))
        await until(lambda: bool(api.state.hub.feeds))
        (job_id,) = api.state.hub.feeds
        api.worker.begin(job_id)
        answer = await waiting
        assert (answer.status_code, answer.json()["status"]) == (202, "running")


async def test_a_wait_outlasts_a_redis_that_is_away(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.routes.jobs.RETRY_S", 0.01)
    refused = 0

    def away(command: Command[Any]) -> None:
        nonlocal refused
        if isinstance(command, ReadLog) and refused < 3:
            refused += 1
            raise StoreUnavailable("away")

    api.memory.before = away
    waiting = asyncio.create_task(submitted(api, headers={"prefer": "wait=30"}))
    await finish_when_followed(api)
    assert ((await waiting).status_code, refused) == (200, 3)


@pytest.mark.slow
async def test_a_job_that_was_accepted_is_no_error_though_nobody_can_say_how_it_is(api: Api) -> None:
    waiting = asyncio.create_task(submitted(api, headers={"prefer": "wait=1"}))
    await until(lambda: bool(api.state.hub.feeds))

    def away(_command: Command[Any]) -> None:
        raise StoreUnavailable("away")

    api.memory.before = away
    answer = await waiting
    api.memory.before = lambda _command: None
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")


async def test_a_wait_ends_when_the_process_goes(api: Api) -> None:
    waiting = asyncio.create_task(submitted(api, headers={"prefer": "wait=60"}))
    await until(lambda: bool(api.state.hub.waiting))
    api.state.hub.announce_close()
    assert (await waiting).status_code == 202


# Submit and follow


@pytest.mark.parametrize(
    ("accept", "media_type", "part"),
    [
        ("text/event-stream", "text/event-stream", "event: succeeded"),
        ("application/x-ndjson", "application/x-ndjson", '"type":"succeeded"'),
        ("text/plain", "text/plain", ""),
        ("text/event-stream, application/json", "text/event-stream", "event: queued"),
    ],
)
async def test_a_submission_may_be_answered_with_the_stream_itself(
    api: Api, accept: str, media_type: str, part: str
) -> None:
    waiting = asyncio.create_task(submitted(api, headers={"accept": accept}))
    job_id = await finish_when_followed(api)
    answer = await waiting
    assert (answer.status_code, answer.headers["location"]) == (200, f"/v1/jobs/{job_id}")
    assert answer.headers["content-type"].startswith(media_type)
    assert part in answer.text


@pytest.mark.parametrize("accept", ["application/json", "application/json, text/event-stream", "*/*", "text/html"])
async def test_whoever_takes_json_first_gets_the_job(api: Api, accept: str) -> None:
    assert (await submitted(api, headers={"accept": accept})).json()["status"] == "queued"


async def test_a_format_in_the_address_wins_over_the_stream(api: Api) -> None:
    answer = await submitted(api, headers={"accept": "text/event-stream"}, query="?format=json")
    assert answer.json()["status"] == "queued"


@pytest.mark.parametrize("query", ["?types=nonsense", "?after=x", "?format=xml", "?exact=maybe"])
async def test_a_stream_that_cannot_be_makes_no_job(api: Api, query: str) -> None:
    answer = await submitted(api, headers={"accept": "text/event-stream"}, query=query)
    assert answer.status_code == 422
    assert (await api.client.get("/v1/jobs")).json()["jobs"] == []


async def test_a_full_server_makes_no_job_that_its_client_would_know_nothing_of() -> None:
    async with api_with(max_streams=1) as api:
        with api.state.counted():
            told = await submitted(api, headers={"accept": "text/event-stream"})
            refused = await submitted(api, headers={"accept": "text/plain"})
            plain = await submitted(api)
        assert "event: overloaded" in told.text
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert plain.status_code == 202
        assert len((await api.client.get("/v1/jobs")).json()["jobs"]) == 1


@pytest.mark.parametrize("accept", ["text/event-stream", "text/plain", "application/x-ndjson"])
async def test_a_stream_that_fails_once_the_job_is_made_names_the_job(api: Api, accept: str) -> None:
    def away(command: Command[Any]) -> None:
        if isinstance(command, ReadLog):
            raise StoreUnavailable("away")

    api.memory.before = away
    answer = await submitted(api, headers={"accept": accept})
    (made,) = (await api.client.get("/v1/jobs")).json()["jobs"]
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert (answer.json()["job_id"], answer.headers["location"]) == (made["id"], f"/v1/jobs/{made['id']}")
    assert made["id"] in answer.json()["detail"]
    assert answer.headers["retry-after"]
    assert api.at_rest


async def test_a_submission_is_one_step_that_nothing_can_fail_after(api: Api) -> None:
    asked: list[str] = []
    api.memory.before = lambda command: asked.append(command.script)
    answer = await submitted(api)
    assert (answer.status_code, answer.json()["queue_position"], asked) == (202, 1, ["create"])


# Look at one


async def test_a_job_may_be_waited_for(api: Api) -> None:
    job_id = api.job()
    waiting = asyncio.create_task(api.client.get(f"/v1/jobs/{job_id}?wait=60"))
    await finish_when_followed(api)
    assert (await waiting).json()["status"] == "succeeded"
    assert (await api.client.get(f"/v1/jobs/{job_id}?wait=60")).json()["status"] == "succeeded"


async def test_a_job_that_is_deleted_while_it_is_waited_for_is_gone(api: Api) -> None:
    job_id = api.job()
    waiting = asyncio.create_task(api.client.get(f"/v1/jobs/{job_id}?wait=60"))
    await until(lambda: bool(api.state.hub.waiting))
    await api.client.delete(f"/v1/jobs/{job_id}")
    assert (await waiting).status_code == 404


@pytest.mark.parametrize("wait", ["-1", "121", "nan", "inf", "soon"])
async def test_an_odd_wait_is_refused(api: Api, wait: str) -> None:
    answer = await api.client.get(f"/v1/jobs/{api.job()}?wait={wait}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "wait")


async def test_a_job_says_its_place_in_the_queue(api: Api) -> None:
    low, first = api.job(priority=1), api.job(priority=5)
    api.memory.advance(1)
    second = api.job(priority=5)
    positions = [
        (await api.client.get(f"/v1/jobs/{job_id}")).json()["queue_position"] for job_id in (low, first, second)
    ]
    assert positions == [3, 1, 2]
    api.worker.begin(first)
    assert (await api.client.get(f"/v1/jobs/{first}")).json()["queue_position"] is None


async def test_a_job_in_a_queue_that_nobody_serves_says_so_after_a_while(api: Api) -> None:
    # The clock of the twin is moved back, as hints go by that of the API.
    api.memory.advance(-6000)
    job_id = api.job()
    api.memory.advance(6000)
    assert "no worker serves the queue llm" in (await api.client.get(f"/v1/jobs/{job_id}")).json()["hint"]
    api.worker.run(WorkerSeen("w", ("llm",)))
    assert (await api.client.get(f"/v1/jobs/{job_id}")).json()["hint"] is None


async def test_an_error_and_a_checkpoint_do_not_break_the_view(api: Api) -> None:
    job_id = api.worker.ended("failed", ERROR, kind="echo")
    job = (await api.client.get(f"/v1/jobs/{job_id}")).json()
    assert (job["status"], job["error"]) == ("failed", json.loads(ERROR))
    assert job["finished_at"] >= job["started_at"] >= job["created_at"]


# List


async def listed(api: Api, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = (await api.client.get(f"/v1/jobs{query}")).json()
    return found


async def test_the_newest_job_comes_first_and_pages_join_up(api: Api) -> None:
    made = [api.job(id=f"01000000-0000-7000-8000-{n:012x}") for n in range(5)]
    seen: list[str] = []
    cursor, pages = "", 0
    while cursor is not None:
        page = await listed(api, f"?limit=2&cursor={cursor}")
        seen += [job["id"] for job in page["jobs"]]
        cursor, pages = page["next"], pages + 1
    assert (seen, pages) == (made[::-1], 3)


async def test_a_last_page_that_is_full_has_no_next(api: Api) -> None:
    for _ in range(2):
        api.job()
    assert (await listed(api, "?limit=2"))["next"] is None


async def test_a_list_may_be_filtered(api: Api) -> None:
    waiting, done = api.job(), api.worker.ended(kind="bounded")
    assert [job["id"] for job in (await listed(api, "?status=queued"))["jobs"]] == [waiting]
    assert [job["id"] for job in (await listed(api, "?kind=bounded"))["jobs"]] == [done]
    assert (await listed(api, "?kind=bounded&status=queued"))["jobs"] == []
    assert (await listed(api, "?kind=unheard-of"))["jobs"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("status=odd", "status"),
        ("cursor=XYZ", "cursor"),
        ("kind=" + "x" * 65, "kind"),
    ],
)
async def test_an_odd_question_is_refused_by_its_field(api: Api, query: str, field: str) -> None:
    answer = await api.client.get(f"/v1/jobs?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


# Cancel, try again, delete


async def test_a_job_that_waits_is_cancelled_at_once(api: Api) -> None:
    job_id = api.job()
    first = await api.client.post(f"/v1/jobs/{job_id}/cancel")
    again = await api.client.post(f"/v1/jobs/{job_id}/cancel")
    assert (first.status_code, first.json()["status"]) == (202, "cancelled")
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")


async def test_a_job_that_runs_is_asked_to_stop(api: Api) -> None:
    job_id = api.worker.started(kind="echo")
    first = await api.client.post(f"/v1/jobs/{job_id}/cancel")
    again = await api.client.post(f"/v1/jobs/{job_id}/cancel")
    assert (first.status_code, first.json()["status"], again.status_code) == (202, "running", 200)
    assert "being cancelled" in again.json()["hint"]


async def test_a_job_that_has_ended_cannot_be_cancelled(api: Api) -> None:
    answer = await api.client.post(f"/v1/jobs/{api.worker.ended(kind='echo')}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "job_conflict")
    assert "succeeded" in answer.json()["detail"]


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled"])
async def test_a_finished_job_can_be_run_again(api: Api, outcome: Any) -> None:
    job_id = api.worker.ended(outcome, ERROR, kind="echo", input={"text": "again"}, metadata={"m": 1})
    answer = await api.client.post(f"/v1/jobs/{job_id}/retry")
    made = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/jobs/{made['id']}")
    assert (made["retry_of"], made["status"], made["metadata"]) == (job_id, "queued", {"m": 1})
    assert api.worker.read(made["id"]).input == {"text": "again"}


async def test_a_job_that_goes_on_cannot_be_run_again(api: Api) -> None:
    for job_id in (api.job(), api.worker.started(kind="echo")):
        answer = await api.client.post(f"/v1/jobs/{job_id}/retry")
        assert (answer.status_code, answer.json()["code"]) == (409, "job_conflict")


async def test_a_job_that_does_not_run_can_be_deleted(api: Api) -> None:
    for job_id in (api.job(), api.worker.ended(kind="echo")):
        answer = await api.client.delete(f"/v1/jobs/{job_id}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await api.client.get(f"/v1/jobs/{job_id}")).status_code == 404
        assert (await api.client.delete(f"/v1/jobs/{job_id}")).status_code == 404
    assert (await listed(api))["jobs"] == []


async def test_a_job_that_runs_cannot_be_deleted(api: Api) -> None:
    job_id = api.worker.started(kind="echo")
    answer = await api.client.delete(f"/v1/jobs/{job_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "job_conflict")
    assert "cancel it" in answer.json()["detail"]


async def test_whoever_follows_a_job_that_is_deleted_hears_its_end(api: Api) -> None:
    job_id = api.job()
    async with api.exchange(f"/v1/jobs/{job_id}/events") as reader:
        await reader.until_body(b"queued")
        await api.client.delete(f"/v1/jobs/{job_id}")
        await reader.end()
    assert b"event: cancelled" in reader.body


@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")])
@pytest.mark.parametrize("job_id", ["no-such-job", "a" * 36])
async def test_what_there_is_not_is_not_found(api: Api, method: str, end: str, job_id: str) -> None:
    answer = await api.client.request(method, f"/v1/jobs/{job_id}{end}")
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
