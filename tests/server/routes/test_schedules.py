"""Schedules over HTTP."""

from typing import Any

import pytest
from httpx import Response

from progress.commands import PutSchedule, ReadSchedules
from progress.jobs import NewJob
from progress.schedules import Schedule, Timing, work_of
from tests.support.api import Api
from tests.support.waiting import until

BODY: dict[str, Any] = {"kind": "echo", "input": {"text": "x"}, "cron": "0 3 * * *"}


async def posted(api: Api, **fields: Any) -> Response:
    body = {name: value for name, value in {**BODY, **fields}.items() if value is not ...}
    return await api.client.post("/v1/schedules", json=body)


async def made(api: Api, **fields: Any) -> dict[str, Any]:
    answer = await posted(api, **fields)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_schedule_is_made_shown_and_listed(api: Api) -> None:
    answer = await posted(api, timezone="Europe/Berlin", name="Nightly", priority=9, metadata={"a": 1})
    shown = answer.json()
    assert answer.headers["location"] == shown["links"]["self"] == f"/v1/schedules/{shown['id']}"
    assert (await api.client.get(answer.headers["location"])).json() == shown
    assert (await api.client.get("/v1/schedules")).json() == {"schedules": [shown]}
    assert (shown["kind"], shown["input"], shown["queue"], shown["priority"]) == ("echo", {"text": "x"}, "llm", 9)
    assert (shown["cron"], shown["every_s"], shown["timezone"]) == ("0 3 * * *", None, "Europe/Berlin")
    assert shown["next_run_at"][11:] in ("01:00:00.000Z", "02:00:00.000Z")
    assert (shown["last_run_at"], shown["last_job"], shown["paused"], shown["built_in"]) == (None, None, False, False)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"cron": ...}, "cron"),
        ({"every_s": 60}, "cron"),
        ({"cron": "0 3 * *"}, "cron"),
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"cron": "* " * 300}, "cron"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"cron": ..., "every_s": 0}, "every_s"),
        ({"cron": ..., "every_s": "60"}, "every_s"),
        ({"paused": "yes"}, "paused"),
        ({"kind": "none"}, "kind"),
        ({"input": {"text": ""}}, "input.text"),
        ({"delay_s": 5}, "delay_s"),
        ({"priority": 10}, "priority"),
        ({"webhook": "https://example.com"}, "webhook"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_its_field(api: Api, fields: dict[str, Any], field: str) -> None:
    answer = await posted(api, **fields)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert (await api.client.get("/v1/schedules")).json() == {"schedules": []}


async def test_pause_and_resume(api: Api) -> None:
    shown = await made(api, cron=..., every_s=60)
    paused = (await api.client.post(shown["links"]["pause"])).json()
    assert paused == {**shown, "paused": True, "next_run_at": None}
    resumed = (await api.client.post(shown["links"]["resume"])).json()
    assert resumed == shown
    assert (await made(api, paused=True))["next_run_at"] is None


async def test_run_now_makes_a_job_and_leaves_the_next_run_where_it_is(api: Api) -> None:
    api.memory.advance(0)  # the clock stands still
    shown = await made(api, priority=9, metadata={"m": 1})
    await api.client.post(shown["links"]["pause"])
    answer = await api.client.post(shown["links"]["run"])
    job = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, job["links"]["self"])
    assert (job["kind"], job["priority"], job["metadata"], job["status"]) == ("echo", 9, {"m": 1}, "queued")
    await until(lambda: bool(api.queue.sent))
    assert api.queue.sent == [(job["id"], "llm", 9)]
    found = (await api.client.get(shown["links"]["self"])).json()
    assert (found["last_job"], found["last_run_at"], found["paused"]) == (job["id"], job["created_at"], True)


async def test_delete(api: Api) -> None:
    path = (await made(api))["links"]["self"]
    assert (await api.client.delete(path)).status_code == 204
    for answer in (await api.client.get(path), await api.client.delete(path), await api.client.post(f"{path}/run")):
        assert (answer.status_code, answer.json()["code"]) == (404, "schedule_not_found")


@pytest.mark.parametrize("schedule_id", ["none", "A", "x" * 65, "..", "%00"])
async def test_an_id_that_is_none_is_not_found(api: Api, schedule_id: str) -> None:
    answer = await api.client.post(f"/v1/schedules/{schedule_id}/pause")
    assert answer.status_code == 404


async def test_one_that_comes_with_its_kind_can_be_paused_and_not_deleted(api: Api) -> None:
    now = api.worker.run(ReadSchedules()).now
    work = work_of(NewJob("echo", {}, "llm"))
    api.worker.run(PutSchedule(Schedule("echo", work, Timing("@daily"), now, built_in=True, next_run_at=now + 1)))
    answer = await api.client.delete("/v1/schedules/echo")
    assert (answer.status_code, answer.json()["code"]) == (409, "schedule_conflict")
    assert (await api.client.post("/v1/schedules/echo/pause")).json()["paused"] is True
