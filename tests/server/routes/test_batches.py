"""Batches over HTTP: made as one, counted, followed; and the children of a job."""

import json
from typing import Any

import pytest
from httpx import Response

from progress.commands import Command, CreateJob, OpenGroup
from progress.errors import StoreUnavailable
from progress.jobs import uuid7
from tests.server.routes.test_events import blocks
from tests.support.api import Api, api_with
from tests.support.backend import ERROR
from tests.support.waiting import until


def some(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"kind": "echo", "input": {"text": f"{number}"}, **fields} for number in range(count)]


async def submitted(api: Api, jobs: list[dict[str, Any]], *, key: str = "", **fields: Any) -> Response:
    headers = {"idempotency-key": key} if key else {}
    return await api.client.post("/v1/batches", json={"jobs": jobs, **fields}, headers=headers)


async def counted(api: Api, batch: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api.client.get(f"/v1/batches/{batch}")).json()
    return found


async def test_a_batch_makes_all_its_jobs_and_counts_them(api: Api) -> None:
    answer = await submitted(api, some(60))
    made = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/batches/{made['batch']}")
    assert [(job["status"], job["batch"]) for job in made["jobs"]] == [("queued", made["batch"])] * 60
    now = await counted(api, made["batch"])
    assert (now["total"], now["queued"], now["ended"], now["done"]) == (60, 60, 0, False)
    await until(lambda: len(api.queue.sent) == 60)


async def test_it_tells_how_each_of_them_ended(api: Api) -> None:
    made = (await submitted(api, some(3))).json()
    first, other, third = (job["id"] for job in made["jobs"])
    api.worker.begin(first)
    api.worker.finish(first, 1, "succeeded", "1")
    api.worker.begin(other)
    api.worker.finish(other, 1, "failed", ERROR)
    assert (await counted(api, made["batch"]))["eta_s"] is not None
    api.worker.cancel(third)
    now = await counted(api, made["batch"])
    assert [now[name] for name in ("succeeded", "failed", "cancelled", "ended", "done")] == [1, 1, 1, 3, True]
    assert now["failures"] == [{"job": other, "kind": "echo", "error": json.loads(ERROR)}]
    assert now["finished_at"] is not None
    assert (now["fraction"], now["eta_s"]) == (1.0, 0)


async def test_of_a_batch_with_one_wrong_job_none_is_made(api: Api) -> None:
    wrong = [*some(2), {"kind": "echo", "input": {"text": ""}}]
    answer = await submitted(api, wrong)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "jobs.2.input.text")
    answer = await submitted(api, [*some(2), {"kind": "nope", "input": {}}])
    assert (answer.json()["code"], answer.json()["errors"][0]["field"]) == ("unknown_kind", "jobs.2.kind")
    answer = await submitted(api, [*some(1), {"kind": "echo", "input": {"text": "x"}, "priority": 12}])
    assert answer.json()["errors"][0]["field"] == "jobs.1.priority"
    assert (await api.client.get("/v1/jobs")).json()["jobs"] == []


async def test_of_a_batch_that_redis_breaks_off_nothing_is_left_to_run(api: Api) -> None:
    made: list[str] = []

    def breaks(command: Command[Any]) -> None:
        if isinstance(command, CreateJob):
            made.append(command.job.id)
            if len(made) > 30:
                raise StoreUnavailable("away")

    api.memory.before = breaks
    answer = await submitted(api, some(100))
    assert answer.status_code == 503
    api.memory.before = lambda _command: None
    jobs = api.worker
    await until(lambda: all(jobs.read(job_id).status == "cancelled" for job_id in made[:30]))
    group = jobs.read(made[0]).group
    assert group is not None
    await until(lambda: api.memory.space.groups[group].get("finished_at") is not None)


@pytest.mark.parametrize("jobs", [[], some(1001)], ids=["none", "too many"])
async def test_a_batch_is_of_1_to_1000_jobs(api: Api, jobs: list[dict[str, Any]]) -> None:
    answer = await submitted(api, jobs)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "jobs")


async def test_more_can_join_it(api: Api) -> None:
    batch = (await submitted(api, some(2))).json()["batch"]
    answer = await submitted(api, some(3), batch=batch)
    assert (answer.status_code, answer.json()["batch"]) == (202, batch)
    assert (await counted(api, batch))["total"] == 5
    answer = await submitted(api, some(1), batch=uuid7())
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_same_key_gives_the_same_batch(api: Api) -> None:
    first, again = await submitted(api, some(30), key="k"), await submitted(api, some(30), key="k")
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["batch"] == again.json()["batch"]
    assert [job["id"] for job in first.json()["jobs"]] == [job["id"] for job in again.json()["jobs"]]
    assert (await counted(api, first.json()["batch"]))["total"] == 30
    other = await submitted(api, some(40), key="k")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
    assert (await counted(api, first.json()["batch"]))["queued"] == 30


async def test_a_batch_does_not_wait_for_jobs_that_were_refused(api: Api) -> None:
    await submitted(api, some(2), key="k")
    batch = (await submitted(api, some(3))).json()["batch"]
    for _ in range(2):
        assert (await submitted(api, some(4), key="k", batch=batch)).status_code == 422
    assert (await counted(api, batch))["total"] == 3


async def test_a_key_of_a_batch_is_none_of_a_job(api: Api) -> None:
    await submitted(api, some(1), key="k")
    answer = await api.client.post("/v1/jobs", json=some(1)[0], headers={"idempotency-key": "k"})
    assert answer.status_code == 202


@pytest.mark.parametrize("path", ["", "/events"])
async def test_an_unknown_batch_is_not_found(api: Api, path: str) -> None:
    for batch in (uuid7(), "nope!", "x.y"):
        assert (await api.client.get(f"/v1/batches/{batch}{path}")).status_code == 404


async def test_its_stream_tells_of_each_change_and_ends(api: Api) -> None:
    made = (await submitted(api, some(2))).json()
    one, other = (job["id"] for job in made["jobs"])
    path = f"/v1/batches/{made['batch']}/events"
    async with api.exchange(path) as reader:
        await reader.until_body(b'"queued":2')
        api.worker.begin(one)
        api.worker.finish(one, 1, "failed", ERROR)
        await reader.until_body(b"event: failure")
        api.worker.begin(other)
        api.worker.finish(other, 1, "succeeded", "1")
        await until(lambda: reader.complete)
        body = reader.body
    told = blocks(body)
    assert [name for _, name, _ in told if name != "progress"] == ["failure", "done"]
    last = told[-1]
    assert last[2]["fraction"] == 1.0
    assert (await api.client.get(path, headers={"last-event-id": last[0] or ""})).status_code == 204
    # Whoever comes back with an older place has what is new, and each failure once.
    again = blocks((await api.client.get(path, headers={"last-event-id": told[0][0] or ""})).content)
    assert [name for _, name, _ in again] == ["failure", "done"]
    from_the_end = blocks((await api.client.get(path, headers={"last-event-id": "0.1"})).content)
    assert [name for _, name, _ in from_the_end] == ["done"]


async def test_its_stream_counts_and_is_refused_where_there_is_no_room() -> None:
    async with api_with(max_streams=1) as api:
        made = (await submitted(api, some(1))).json()
        path = f"/v1/batches/{made['batch']}/events"
        async with api.exchange(path) as reader:
            await reader.until_body(b"progress")
            answer = await api.client.get(path)
            assert blocks(answer.content)[0][1] == "overloaded"
        await until(lambda: api.state.streams == 0)


async def test_its_stream_outlives_a_redis_that_is_away(api: Api) -> None:
    made = (await submitted(api, some(1))).json()
    async with api.exchange(f"/v1/batches/{made['batch']}/events") as reader:
        await reader.until_body(b"progress")

        def away(_command: Command[Any]) -> None:
            raise StoreUnavailable("away")

        api.memory.before = away
        api.memory.before = lambda _command: None
        api.worker.cancel(made["jobs"][0]["id"])
        await reader.until_body(b"event: done")


async def test_the_children_of_a_job_are_listed_in_their_order(api: Api) -> None:
    parent = api.job()
    path = f"/v1/jobs/{parent}/children"
    assert (await api.client.get(path)).json() == {"step": None, "counts": None, "jobs": [], "next": None}
    api.worker.run(OpenGroup(f"{parent}.images", 3, "all", 60, parent, "images"))
    children = [api.job(group=f"{parent}.images", member=place, parent=parent) for place in range(3)]
    found = (await api.client.get(f"{path}?limit=2")).json()
    assert (found["step"], found["counts"]["queued"], found["next"]) == ("images", 3, 2)
    assert [job["id"] for job in found["jobs"]] == children[:2]
    assert {(job["parent"], job["batch"]) for job in found["jobs"]} == {(parent, None)}
    rest = (await api.client.get(f"{path}?after=2&step=images")).json()
    assert ([job["id"] for job in rest["jobs"]], rest["next"]) == (children[2:], None)
    assert (await api.client.get(f"{path}?step=other")).json()["step"] is None
