"""The two WebSockets, driven by hand."""

from typing import Any

import pytest

from progress.commands import Command, DeleteJob, ReadLog
from progress.errors import StoreUnavailable
from progress.events import Draft
from server.auth import COOKIE
from server.fan import MAX_JOBS
from tests.support.api import Api, api_with
from tests.support.asgi import HOST, Socket
from tests.support.backend import token
from tests.support.waiting import until

NO_SUCH = "00000000-0000-7000-8000-000000000000"


def one(job_id: str, query: str = "") -> str:
    return f"/v1/jobs/{job_id}/ws{query}"


def ended(api: Api) -> str:
    return api.worker.ended(kind="echo")


def away(command: Command[Any]) -> None:
    raise StoreUnavailable("away")


# Both


async def test_a_socket_is_accepted_before_it_is_closed(api: Api) -> None:
    async with api.socket(one(NO_SUCH)) as socket:
        assert await socket.closed() == (4404, f"no job {NO_SUCH}")
    assert [message["type"] for message in socket.sent] == ["websocket.accept", "websocket.close"]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [((), None), (("jobcast.v1",), "jobcast.v1"), (("other", "jobcast.v1"), "jobcast.v1"), (("other",), None)],
)
async def test_the_subprotocol_is_optional(api: Api, offered: tuple[str, ...], chosen: str | None) -> None:
    async with api.socket("/v1/ws", subprotocols=offered) as socket:
        await socket.until(lambda: socket.sent)
        assert socket.sent[0]["subprotocol"] == chosen
        socket.leave()
        await socket.end()


@pytest.mark.parametrize("path", ["/v1/ws", one(NO_SUCH)])
async def test_another_sites_page_gets_no_socket(api: Api, path: str) -> None:
    async with api.socket(path, headers={"origin": "http://evil.example"}) as socket:
        assert (await socket.closed())[0] == 4403


async def test_our_own_page_gets_one(api: Api) -> None:
    async with api.socket(one(ended(api)), headers={"origin": f"http://{HOST}"}) as socket:
        assert await socket.closed() == (1000, "done")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 4401),
        ({"authorization": "Bearer wrong"}, 4401),
        ({"authorization": "Bearer a-key"}, 1000),
        ({"cookie": f"{COOKIE}=a-key"}, 1000),
    ],
)
async def test_with_keys_a_socket_wants_one(headers: dict[str, str], code: int) -> None:
    async with api_with(api_keys={"ann": "a-key"}) as api, api.socket(one(ended(api)), headers=headers) as socket:
        assert (await socket.closed())[0] == code


async def test_over_its_limit_the_server_says_so() -> None:
    async with api_with(max_streams=1) as api, api.socket(one(api.job())) as first:
        await first.hear()
        async with api.socket("/v1/ws") as second:
            assert (await second.closed())[0] == 1013
        assert api.state.streams == 1


@pytest.mark.parametrize("path", ["/v1/ws", "one"])
async def test_a_planned_shutdown_says_come_back(api: Api, path: str) -> None:
    async with api.socket(one(api.job()) if path == "one" else path) as socket:
        await until(lambda: bool(api.state.hub.waiting))
        api.state.hub.announce_close()
        assert (await socket.closed())[0] == 1001


@pytest.mark.parametrize("path", ["/v1/ws", "one"])
@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("nothing", "not JSON"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("9" * 5000, "not JSON"),
        ("7", "op"),
        ("[]", "op"),
        ("{}", "op"),
        ('{"op":7}', "op"),
        ('{"op":"dance"}', ""),
    ],
)
async def test_a_bad_message_closes_its_socket_with_a_reason(api: Api, path: str, text: str, part: str) -> None:
    async with api.socket("/v1/ws") as other, api.socket(one(api.job()) if path == "one" else path) as socket:
        socket.say_text(text)
        code, reason = await socket.closed()
        assert code == 1008
        assert part in reason
        assert len(reason.encode()) <= 123
        other.say({"op": "subscribe", "job": NO_SUCH})
        assert (await other.hear())["code"] == "job_not_found"


async def test_a_binary_message_closes_its_socket(api: Api) -> None:
    async with api.socket("/v1/ws") as socket:
        socket.say_bytes(b'{"op":"cancel"}')
        assert (await socket.closed())[0] == 1008


async def test_a_long_reason_is_cut_where_a_character_ends(api: Api) -> None:
    async with api.socket(one("é" * 40)) as socket:
        code, reason = await socket.closed()
    assert (code, len(reason.encode()) <= 120) == (4404, True)


@pytest.mark.parametrize("path", ["/v1/ws", "one"])
async def test_a_client_who_leaves_takes_everything_along(api: Api, path: str) -> None:
    async with api.socket(one(api.job()) if path == "one" else path) as socket:
        await until(lambda: bool(api.state.hub.waiting))
        socket.leave()
        await socket.end()
    assert api.at_rest


# One job


async def test_a_socket_of_one_job_follows_it_to_its_end(api: Api) -> None:
    job_id = api.job()
    async with api.socket(one(job_id)) as socket:
        assert (await socket.hear())["type"] == "queued"
        api.worker.begin(job_id)
        api.worker.append(job_id, 1, token("hi"))
        api.worker.finish(job_id, 2, "succeeded", "1")
        assert await socket.closed() == (1000, "done")
    assert [(frame["seq"], frame["type"]) for frame in socket.frames] == [
        (1, "queued"),
        (2, "started"),
        (3, "token"),
        (4, "succeeded"),
    ]
    assert "job" not in socket.frames[0]


async def test_it_goes_on_after_a_position(api: Api) -> None:
    async with api.socket(one(ended(api), "?after=2")) as socket:
        await socket.closed()
    assert [frame["seq"] for frame in socket.frames] == [3]


async def test_it_joins_tokens_unless_asked_for_each(api: Api) -> None:
    job_id = api.worker.started(kind="echo")
    api.worker.append(job_id, 1, token("a"), token("b"))
    api.worker.finish(job_id, 2, "succeeded", "1")
    for query, texts in (("", ["ab"]), ("?exact=1", ["a", "b"])):
        async with api.socket(one(job_id, query)) as socket:
            await socket.closed()
        assert [frame["text"] for frame in socket.frames if frame["type"] == "token"] == texts


async def test_an_odd_position_closes_it(api: Api) -> None:
    async with api.socket(one(api.job(), "?after=x")) as socket:
        code, reason = await socket.closed()
    assert (code, "position" in reason) == (1008, True)


async def test_its_client_may_cancel_the_job(api: Api) -> None:
    async with api.socket(one(api.job())) as socket:
        await socket.hear()
        socket.say({"op": "cancel"})
        assert (await socket.hear())["type"] == "cancelled"
        assert (await socket.closed())[0] == 1000


async def test_a_cancel_that_comes_too_late_changes_nothing(api: Api) -> None:
    job_id = api.worker.started(kind="echo")

    def finish(command: Command[Any]) -> None:
        if command.script == "cancel":
            api.memory.before = lambda _command: None
            api.worker.finish(job_id, 1, "succeeded", "1")

    async with api.socket(one(job_id)) as socket:
        await socket.hear()
        api.memory.before = finish
        socket.say({"op": "cancel"})
        assert (await socket.closed())[0] == 1000
    assert socket.frames[-1]["type"] == "succeeded"


async def test_it_takes_no_other_operation(api: Api) -> None:
    async with api.socket(one(api.job())) as socket:
        socket.say({"op": "subscribe", "job": NO_SUCH})
        assert (await socket.closed())[0] == 1008


@pytest.mark.slow
async def test_a_record_that_goes_under_a_reader_is_no_such_job(api: Api) -> None:
    job_id = api.job()
    async with api.socket(one(job_id)) as socket:
        await socket.hear()
        # As when it expires: nobody is told.
        api.listener.deaf = True
        api.worker.run(DeleteJob(job_id))
        api.listener.reconnect()
        assert (await socket.closed())[0] == 4404


async def test_a_redis_that_is_away_is_told_as_come_back(api: Api) -> None:
    job_id = api.job()
    api.memory.before = away
    async with api.socket(one(job_id)) as socket:
        assert (await socket.closed())[0] == 1013


# Many jobs


async def following(socket: Socket, *job_ids: str, **fields: Any) -> None:
    for job_id in job_ids:
        socket.say({"op": "subscribe", "job": job_id, **fields})


async def test_events_of_many_jobs_name_their_job_and_come_after_the_answer(api: Api) -> None:
    job_ids = [ended(api), api.job()]
    async with api.socket("/v1/ws") as socket:
        await following(socket, *job_ids)
        await socket.until(lambda: len(socket.frames) >= 6)
        api.worker.cancel(job_ids[1])
        await socket.until(lambda: socket.frames[-1].get("type") == "cancelled")
    for job_id in job_ids:
        mine = [frame for frame in socket.frames if frame["job"] == job_id]
        assert mine[0] == {"op": "ok", "of": "subscribe", "job": job_id}
        assert [frame["seq"] for frame in mine[1:]] == list(range(1, len(mine)))


async def test_a_socket_of_many_jobs_stays_open_when_all_have_ended(api: Api) -> None:
    first, second = ended(api), ended(api)
    async with api.socket("/v1/ws") as socket:
        await following(socket, first)
        await socket.until(lambda: len(socket.frames) == 4)
        await following(socket, second, after=2)
        await socket.until(lambda: len(socket.frames) == 6)
        assert [frame.get("seq") for frame in socket.frames[4:]] == [None, 3]
        assert not api.state.hub.feeds


async def test_from_now_on_nothing_older_comes(api: Api) -> None:
    job_id = api.job()
    async with api.socket("/v1/ws") as socket:
        await following(socket, job_id, after=-1)
        await socket.hear()
        api.worker.cancel(job_id)
        assert (await socket.hear())["seq"] == 2


async def in_the_middle_of_a_batch(api: Api, socket: Socket, job_id: str) -> None:
    """The client stops to read while two events are on their way to it."""
    await until(lambda: bool(api.state.hub.waiting))
    socket.stop_reading()
    api.worker.append(job_id, 1, token("x"), Draft.of("log", level="info", message="m"))
    await until(lambda: not api.state.hub.waiting)


async def said_and_taken(socket: Socket, message: dict[str, Any]) -> None:
    """Sends a message that the server takes before the client reads again."""
    socket.say(message)
    await until(lambda: socket.unread == 0)
    socket.read_on()


def after_the_last_answer(socket: Socket) -> list[dict[str, Any]]:
    answers = [place for place, frame in enumerate(socket.frames) if "op" in frame]
    return socket.frames[answers[-1] + 1 :]


async def test_a_job_that_is_left_brings_nothing_after_the_answer(api: Api) -> None:
    job_id, other = api.worker.started(kind="echo"), api.job()
    async with api.socket("/v1/ws") as socket:
        await following(socket, job_id, other)
        await socket.until(lambda: len(socket.frames) == 5)
        await in_the_middle_of_a_batch(api, socket, job_id)
        await said_and_taken(socket, {"op": "unsubscribe", "job": job_id})
        api.worker.append(job_id, 2, token("too late"))
        api.worker.begin(other)
        await socket.until(lambda: {"job": other, "type": "started"}.items() <= socket.frames[-1].items())
    assert [(frame["job"], frame["type"]) for frame in after_the_last_answer(socket)] == [(other, "started")]


async def test_a_job_that_is_followed_anew_brings_nothing_of_before(api: Api) -> None:
    job_id = api.worker.started(kind="echo")
    async with api.socket("/v1/ws") as socket:
        await following(socket, job_id)
        await socket.until(lambda: len(socket.frames) == 3)
        await in_the_middle_of_a_batch(api, socket, job_id)
        await said_and_taken(socket, {"op": "subscribe", "job": job_id, "after": 1})
        api.worker.append(job_id, 2, token("y"))
        await socket.until(lambda: socket.frames[-1].get("text") == "y")
    assert [frame["seq"] for frame in after_the_last_answer(socket)] == [2, 3, 4, 5]


async def test_whoever_follows_nothing_may_still_unsubscribe(api: Api) -> None:
    async with api.socket("/v1/ws") as socket:
        socket.say({"op": "unsubscribe", "job": "anything"})
        assert await socket.hear() == {"op": "ok", "of": "unsubscribe", "job": "anything"}


async def test_jobs_may_be_cancelled_without_following_them(api: Api) -> None:
    job_id = api.job()
    async with api.socket("/v1/ws") as socket:
        socket.say({"op": "cancel", "job": job_id})
        assert await socket.hear() == {"op": "ok", "of": "cancel", "job": job_id}
    assert api.worker.read(job_id).status == "cancelled"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"op": "subscribe", "job": NO_SUCH}, "job_not_found"),
        ({"op": "subscribe", "job": "ODD"}, "job_not_found"),
        ({"op": "subscribe", "job": "\ud800"}, "job_not_found"),
        ({"op": "subscribe", "job": NO_SUCH, "after": "1"}, "invalid_cursor"),
        ({"op": "subscribe", "job": NO_SUCH, "after": 1.5}, "invalid_cursor"),
        ({"op": "subscribe", "job": NO_SUCH, "after": True}, "invalid_cursor"),
        ({"op": "subscribe", "job": NO_SUCH, "after": -2}, "invalid_cursor"),
        ({"op": "subscribe", "job": NO_SUCH, "after": 10**20}, "invalid_cursor"),
        ({"op": "subscribe", "job": NO_SUCH, "after": {"a": ["x" * 1000]}}, "invalid_cursor"),
        ({"op": "cancel", "job": NO_SUCH}, "job_not_found"),
        ({"op": "cancel", "job": "ODD"}, "job_not_found"),
    ],
)
async def test_what_cannot_be_done_is_answered_and_the_socket_stays(
    api: Api, message: dict[str, Any], code: str
) -> None:
    async with api.socket("/v1/ws") as socket:
        socket.say(message)
        answer = await socket.hear()
        assert (answer["op"], answer["of"], answer["code"]) == ("error", message["op"], code)
        assert answer["message"]
        socket.say({"op": "unsubscribe", "job": "x"})
        assert (await socket.hear())["op"] == "ok"


async def test_a_job_that_has_ended_cannot_be_cancelled(api: Api) -> None:
    async with api.socket("/v1/ws") as socket:
        socket.say({"op": "cancel", "job": ended(api)})
        assert (await socket.hear())["code"] == "job_conflict"


async def test_a_redis_that_is_away_is_answered_and_the_socket_stays(api: Api) -> None:
    job_id = api.job()
    async with api.socket("/v1/ws") as socket:
        await until(lambda: bool(api.state.hub.waiting))
        api.memory.before = away
        await following(socket, job_id)
        assert (await socket.hear())["code"] == "unavailable"
        api.memory.before = lambda _command: None
        await following(socket, job_id)
        assert (await socket.hear())["op"] == "ok"


@pytest.mark.parametrize("message", [{"op": "subscribe"}, {"op": "subscribe", "job": 7}, {"op": "cancel", "job": None}])
async def test_an_operation_without_a_job_is_a_bad_message(api: Api, message: dict[str, Any]) -> None:
    async with api.socket("/v1/ws") as socket:
        socket.say(message)
        assert await socket.closed() == (1008, '"job" is the id of a job')


async def test_one_socket_follows_so_many_jobs_and_no_more(api: Api) -> None:
    job_ids = [api.job() for _ in range(MAX_JOBS + 1)]
    async with api.socket("/v1/ws") as socket:
        await following(socket, *job_ids, after=-1)
        await socket.until(lambda: len(socket.frames) == MAX_JOBS + 1)
        assert [frame["op"] for frame in socket.frames] == ["ok"] * MAX_JOBS + ["error"]
        assert socket.frames[-1]["code"] == "too_many_jobs"
        await following(socket, job_ids[0], after=-1)
        await socket.until(lambda: len(socket.frames) == MAX_JOBS + 2)
        assert socket.frames[-1]["op"] == "ok"


async def test_a_gap_of_one_job_among_many_names_it_once(api: Api) -> None:
    job_id = ended(api)
    lost = False

    def lose(command: Command[Any]) -> None:
        nonlocal lost
        if isinstance(command, ReadLog) and command.limit and not lost:
            lost = True
            api.worker.run(DeleteJob(job_id))

    api.memory.before = lose
    async with api.socket("/v1/ws") as socket:
        await following(socket, job_id)
        await socket.until(lambda: len(socket.frames) == 2)
    assert socket.frames[1] == {"type": "gap", "lost_from": 1, "lost_to": 3, "job": job_id}
