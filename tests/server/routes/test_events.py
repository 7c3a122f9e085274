"""Event streams over HTTP: of one job, of several, and the activity of all."""

import json
import re
from typing import Any

import pytest

from progress import keys
from progress.activity import ActivityReader
from progress.commands import Lifetimes
from progress.events import Draft
from progress.jobs import uuid7
from server.fan import MAX_JOBS
from tests.support.api import Api, api_with
from tests.support.asgi import Exchange
from tests.support.backend import token
from tests.support.waiting import until


def blocks(body: bytes) -> list[tuple[str | None, str, dict[str, Any]]]:
    """The SSE blocks of a body: id, event and decoded data."""
    found = []
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
    return found


def ended(api: Api, *texts: str, **fields: Any) -> str:
    job_id = api.worker.started(kind="echo", **fields)
    api.worker.append(job_id, 1, *map(token, texts))
    api.worker.finish(job_id, 2, "succeeded", "1")
    return job_id


# One job


@pytest.mark.parametrize(
    ("query", "headers", "seqs"),
    [
        ("", {}, [1, 2, 3, 4]),
        ("?after=2", {}, [3, 4]),
        ("?last_event_id=3", {}, [4]),
        ("?after=1", {"last-event-id": "3"}, [4]),
        ("?types=token", {}, [3, 4]),
        ("?types=log", {}, [4]),
    ],
)
async def test_a_stream_goes_on_after_a_position(
    api: Api, query: str, headers: dict[str, str], seqs: list[int]
) -> None:
    job_id = ended(api, "x")
    answer = await api.client.get(f"/v1/jobs/{job_id}/events{query}", headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = blocks(answer.content)
    assert [data["seq"] for _, _, data in found] == seqs
    assert [seq for seq, _, _ in found] == [str(seq) for seq in seqs]
    assert [name for _, name, _ in found] == [data["type"] for _, _, data in found]


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("after=4", {}),
        ("after=9", {}),
        ("after=-1", {}),
        ("", {"last-event-id": "4"}),
        ("after=0", {"last-event-id": "4"}),
    ],
)
async def test_an_event_source_that_has_it_all_is_told_to_stop(api: Api, query: str, headers: dict[str, str]) -> None:
    job_id = ended(api, "x")
    answer = await api.client.get(f"/v1/jobs/{job_id}/events?{query}", headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("form", ["ndjson", "text"])
async def test_other_readers_that_have_it_all_get_nothing_more(api: Api, form: str) -> None:
    answer = await api.client.get(f"/v1/jobs/{ended(api, 'x')}/events?after=4&format={form}")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_job_that_goes_on_is_waited_for_even_at_its_last_event(api: Api) -> None:
    job_id = api.job()
    async with api.exchange(f"/v1/jobs/{job_id}/events?after=1") as reader:
        await until(lambda: bool(api.state.relays))
        api.worker.cancel(job_id)
        await reader.end()
    assert [name for _, name, _ in blocks(reader.body)] == ["cancelled"]


async def test_a_reader_who_is_behind_gets_neighbouring_tokens_joined(api: Api) -> None:
    job_id = ended(api, "a", "b", "c")
    joined = blocks((await api.client.get(f"/v1/jobs/{job_id}/events")).content)
    exact = blocks((await api.client.get(f"/v1/jobs/{job_id}/events?exact=1")).content)
    assert [(seq, data.get("text")) for seq, _, data in joined][2:3] == [("5", "abc")]
    assert [(seq, data.get("text")) for seq, _, data in exact][2:5] == [("3", "a"), ("4", "b"), ("5", "c")]


async def test_text_of_one_channel(api: Api) -> None:
    job_id = api.worker.started(kind="echo")
    api.worker.append(job_id, 1, token("a"), Draft.of("token", text="b", channel="notes"))
    api.worker.finish(job_id, 2, "succeeded", "1")
    path = f"/v1/jobs/{job_id}/events"
    assert (await api.client.get(path, headers={"accept": "text/plain"})).text == "a"
    assert (await api.client.get(f"{path}?format=text&channel=notes")).text == "b"


@pytest.mark.parametrize("query", ["after=x", "types=x", "format=x", "limit=0", "exact=x"])
async def test_an_odd_question_is_refused(api: Api, query: str) -> None:
    answer = await api.client.get(f"/v1/jobs/{api.job()}/events?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


async def test_an_odd_last_event_id_is_refused(api: Api) -> None:
    answer = await api.client.get(f"/v1/jobs/{api.job()}/events", headers={"last-event-id": "abc"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


async def test_a_position_that_does_not_count_is_refused_all_the_same_where_it_is_none(api: Api) -> None:
    job_id = api.job()
    for path in (f"/v1/jobs/{job_id}/events?after=odd", f"/v1/events?job={job_id}&last_event_id=odd"):
        position = f"{job_id[-12:]}.1" if "job=" in path else "1"
        answer = await api.client.get(path, headers={"last-event-id": position})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


async def test_over_its_limit_the_server_says_so_in_each_clients_form() -> None:
    async with api_with(max_streams=1) as api:
        job_id = api.job()
        async with api.exchange(f"/v1/jobs/{job_id}/events") as reader:
            await reader.until_body(b"queued")
            for path in (f"/v1/jobs/{job_id}/events", f"/v1/events?job={job_id}", "/v1/activity"):
                answer = await api.client.get(path)
                assert (answer.status_code, blocks(answer.content)[0][1]) == (200, "overloaded")
            answer = await api.client.get(f"/v1/jobs/{job_id}/events?format=ndjson")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            # A page holds no connection open.
            assert (await api.client.get(f"/v1/jobs/{job_id}/events?format=json")).status_code == 200


# A page


async def page(api: Api, job_id: str, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = (await api.client.get(f"/v1/jobs/{job_id}/events?format=json{query}")).json()
    return found


async def test_pages_join_up_to_the_whole_log(api: Api) -> None:
    job_id = ended(api, *"abcdef")
    seqs: list[int] = []
    found = await page(api, job_id, "&limit=4")
    while True:
        seqs += [event["seq"] for event in found["events"]]
        if found["done"]:
            break
        found = await page(api, job_id, f"&limit=4&after={found['next']}")
    assert seqs == list(range(1, 10))


async def test_a_page_of_a_job_that_goes_on_is_not_done(api: Api) -> None:
    job_id = api.job()
    assert await page(api, job_id, "&after=1") == {"events": [], "next": 1, "done": False}
    found = await page(api, job_id)
    assert ([event["type"] for event in found["events"]], found["next"], found["done"]) == (["queued"], 1, False)


async def test_a_page_from_now_on_is_empty_and_says_where_that_is(api: Api) -> None:
    job_id = ended(api, "x")
    assert await page(api, job_id, "&after=-1") == {"events": [], "next": 4, "done": True}
    assert await page(api, job_id, "&after=4") == {"events": [], "next": 4, "done": True}


async def test_a_page_is_filtered_and_moves_on_all_the_same(api: Api) -> None:
    job_id = ended(api, "x")
    found = await page(api, job_id, "&types=log&limit=3")
    assert found == {"events": [], "next": 3, "done": False}
    assert [event["type"] for event in (await page(api, job_id, "&types=log&after=3"))["events"]] == ["succeeded"]


async def test_a_page_tells_of_what_is_gone(api: Api) -> None:
    job_id = ended(api, *"abcdefgh", lifetimes=Lifetimes(60, 120, 4))
    found = await page(api, job_id)
    assert found["events"][0] == {"type": "gap", "lost_from": 1, "lost_to": 7, "job": job_id}
    assert [event.get("seq") for event in found["events"][1:]] == [8, 9, 10, 11]


async def test_a_page_tells_that_all_of_it_is_gone(api: Api) -> None:
    job_id = ended(api, "x", lifetimes=Lifetimes(1, 120, 100))
    api.memory.advance(1001)
    gap = {"type": "gap", "lost_from": 1, "lost_to": 4, "job": job_id}
    assert await page(api, job_id) == {"events": [gap], "next": 4, "done": True}


async def test_numbers_that_a_crash_has_passed_over_are_a_gap_for_those_who_saw_some_of_them(api: Api) -> None:
    job_id = api.job()
    crash = api.worker.save()
    crash()
    api.worker.settle()
    api.worker.begin(job_id)
    found = await page(api, job_id, "&after=1")
    (started,) = found["events"]
    assert (started["seq"] > keys.ROOM, started["follows"]) == (True, 1)
    found = await page(api, job_id, "&after=4")
    assert found["events"][0] == {"type": "gap", "lost_from": 5, "lost_to": started["seq"] - 1, "job": job_id}


# Several jobs


def several(*job_ids: str, query: str = "") -> str:
    return "/v1/events?" + "&".join(f"job={job_id}" for job_id in job_ids) + query


async def test_several_jobs_come_in_one_stream_that_ends_with_the_last(api: Api) -> None:
    one, other = ended(api, "x"), api.job()
    async with api.exchange(several(one, other)) as reader:
        await reader.until_body(b"queued")
        api.worker.cancel(other)
        await reader.end()
    found = blocks(reader.body)
    assert [data["seq"] for _, _, data in found if data["job"] == one] == [1, 2, 3, 4]
    assert [data["type"] for _, _, data in found if data["job"] == other] == ["queued", "cancelled"]
    assert reader.body.startswith(b"retry: 1000\n")
    assert reader.body.count(b"retry:") == 1


async def test_a_cut_stream_of_several_goes_on_where_each_was(api: Api) -> None:
    one, other = uuid7(), uuid7()
    for job_id in (one, other):
        ended(api, "x", "y", id=job_id)
    whole = blocks((await api.client.get(several(one, other, query="&exact=1"))).content)
    assert len(whole) == 10
    for cut in range(len(whole)):
        cursor = whole[cut][0] or ""
        answer = await api.client.get(several(one, other, query="&exact=1"), headers={"last-event-id": cursor})
        rest = [(data["job"], data["seq"]) for _, _, data in blocks(answer.content)]
        assert sorted(rest) == sorted((data["job"], data["seq"]) for _, _, data in whole[cut + 1 :])
        assert answer.status_code == (200 if rest else 204)
    by_query = await api.client.get(several(one, other, query=f"&last_event_id={whole[-1][0]}"))
    assert by_query.status_code == 204


async def test_several_can_be_followed_from_now_on(api: Api) -> None:
    one, other = ended(api, "x"), api.job()
    async with api.exchange(several(one, other, query="&after=-1")) as reader:
        await reader.until(lambda: api.state.streams == 1)
        api.worker.cancel(other)
        await reader.end()
    ends = f"{one[-12:]}.4,{other[-12:]}.2"
    assert [(cursor, data["job"], data["type"]) for cursor, _, data in blocks(reader.body)] == [
        (ends, other, "cancelled")
    ]
    assert (await api.client.get(several(one, other, query="&after=-1"))).status_code == 204
    whole = await api.client.get(several(one, other, query="&after=0"))
    assert [data["seq"] for _, _, data in blocks(whole.content)] == [1, 2, 3, 4, 1, 2]


async def test_a_filter_of_several_lets_every_end_through(api: Api) -> None:
    one, other = ended(api, "x"), ended(api, "y")
    found = blocks((await api.client.get(several(one, other, query="&types=log"))).content)
    assert [(data["job"], data["type"]) for _, _, data in found] == [(one, "succeeded"), (other, "succeeded")]


async def test_a_stream_of_several_says_what_is_gone(api: Api) -> None:
    job_id = ended(api, *"abcdefgh", lifetimes=Lifetimes(60, 120, 4))
    found = blocks((await api.client.get(several(job_id))).content)
    assert found[0] == (f"{job_id[-12:]}.0", "gap", {"type": "gap", "lost_from": 1, "lost_to": 7, "job": job_id})


async def test_a_stream_of_several_ends_well_when_the_process_goes(api: Api) -> None:
    async with api.exchange(several(api.job(), api.job())) as reader:
        await reader.until(lambda: reader.body.count(b"queued") >= 2)
        api.state.hub.announce_close()
        await reader.end()
    assert reader.complete
    assert re.search(rb"\n\nretry: \d+\n$", reader.body)


async def test_whoever_leaves_a_stream_of_several_takes_everything_along(api: Api) -> None:
    async with api.exchange(several(api.job(), api.job())) as reader:
        await reader.until_body(b"queued")
        assert api.state.streams == 1
        reader.leave()
        await reader.end()
    assert api.at_rest


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 422, "invalid_request"),
        ("job=no-such-job", 404, "job_not_found"),
        ("job=ODD", 404, "job_not_found"),
        ("job=" + "&job=".join(f"{n:x}" for n in range(MAX_JOBS + 1)), 422, "invalid_request"),
        ("job=a&last_event_id=odd", 422, "invalid_cursor"),
        ("job=a&types=odd", 422, "invalid_request"),
    ],
)
async def test_what_cannot_be_followed_is_refused(api: Api, query: str, status: int, code: str) -> None:
    answer = await api.client.get(f"/v1/events?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_one_missing_job_among_several_leaves_nothing_behind(api: Api) -> None:
    assert (await api.client.get(several(api.job(), "no-such-job"))).status_code == 404
    assert api.at_rest


async def test_a_job_named_twice_is_followed_once(api: Api) -> None:
    job_id = ended(api, "x")
    assert len(blocks((await api.client.get(several(job_id, job_id))).content)) == 4


# Activity


async def following(reader: Exchange) -> None:
    await reader.until_body(b"event: open\ndata: {}\n\n")


async def test_activity_shows_every_jobs_states_and_progress_without_texts_and_results(api: Api) -> None:
    async with api.exchange("/v1/activity") as reader:
        await following(reader)
        job_id = api.worker.started(kind="echo")
        api.worker.append(job_id, 1, token("secret"), Draft.of("progress", fraction=0.5))
        api.worker.finish(job_id, 2, "succeeded", '"secret"')
        await reader.until_body(b"succeeded")
    found = blocks(reader.body)[1:]
    assert [data["type"] for _, _, data in found] == ["queued", "started", "progress", "succeeded"]
    assert {(data["job"], data["kind"]) for _, _, data in found} == {(job_id, "echo")}
    assert b"secret" not in reader.body


async def test_activity_has_no_history(api: Api) -> None:
    ended(api, "x")
    async with api.exchange("/v1/activity") as reader:
        await following(reader)
        api.job()
        await reader.until_body(b"queued")
    assert [name for _, name, _ in blocks(reader.body)] == ["open", "queued"]


async def test_whoever_may_have_missed_something_is_told_to_look_anew(api: Api) -> None:
    async with api.exchange("/v1/activity") as reader:
        await following(reader)
        api.listener.deaf = True
        api.job()
        api.listener.reconnect()
        await reader.until_body(b"event: gap")
        api.job()
        await reader.until_body(b"queued")
    assert [name for _, name, _ in blocks(reader.body)] == ["open", "gap", "queued"]


async def test_whoever_is_too_slow_for_it_is_told_to_look_anew(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActivityReader, "BACKLOG", 50)
    async with api.exchange("/v1/activity") as reader:
        await following(reader)
        (activity,) = api.state.hub.activity_readers
        reader.stop_reading()
        api.job()
        # It has been taken, and now waits for the client.
        await until(lambda: not api.state.hub.waiting)
        for _ in range(60):
            api.job()
        await until(lambda: activity.overflowed)
        reader.read_on()
        await reader.until_body(b"event: gap")


async def test_activity_ends_well_when_the_process_goes(api: Api) -> None:
    async with api.exchange("/v1/activity") as reader:
        await following(reader)
        api.state.hub.announce_close()
        await reader.end()
    assert reader.complete
    assert re.search(rb"\n\nretry: \d+\n$", reader.body)


async def test_whoever_leaves_the_activity_takes_everything_along(api: Api) -> None:
    async with api.exchange("/v1/activity") as reader:
        await following(reader)
        reader.leave()
        await reader.end()
    assert api.at_rest
