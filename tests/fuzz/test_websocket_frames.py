"""WebSocket frames that nobody should send: they close their own socket at most, and disturb no one else."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import websockets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from tests.integration.readers import SseReader
from tests.support.live import Live

pytestmark = [pytest.mark.integration, pytest.mark.slow]

UNKNOWN = "01a00000-0000-7000-8000-000000000000"
PROTOCOL_ERROR, NOT_UTF_8, BAD_MESSAGE, TOO_BIG = 1002, 1007, 1008, 1009


@asynccontextmanager
async def socket(live: Live, path: str = "/v1/ws") -> AsyncIterator[ClientConnection]:
    """An open socket."""
    async with websockets.connect(live.ws_url + path, proxy=None, close_timeout=2, compression=None) as opened:
        yield opened


async def closed_with(opened: ClientConnection) -> tuple[int | None, str | None]:
    """The code and the reason with which the server closes it."""
    try:
        async with asyncio.timeout(30):
            while True:
                await opened.recv()
    except websockets.ConnectionClosed:
        return opened.close_code, opened.close_reason


async def raw(opened: ClientConnection, opcode: Opcode, data: bytes, *, fin: bool = True) -> None:
    """Sends a frame past all that the client library would check."""
    frame = Frame(opcode, data, fin=fin)
    opened.transport.write(frame.serialize(mask=True))


NONSENSE = [
    "", "{", "null", "[]", '"x"', "7", "NaN", "{}", '{"op":7}', '{"op":null}', '{"op":"fly"}', '{"op":"subscribe"}',
    '{"op":"subscribe","job":7}', '{"op":"subscribe","job":null}', '{"op":"subscribe","job":["x"]}', '{"op":"\\ud800"}',
    '{"op":"' + "x" * 5000 + '"}', '{"op":"unsubscribe"}', '{"op":"cancel","job":{}}', '{"op":["subscribe"],"job":"x"}',
    "[" * 30_000, '{"op":' * 10_000, "\x00", "1" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/ws", "one"])
async def test_a_message_that_makes_no_sense_closes_its_socket_with_1008(calm: Live, path: str) -> None:
    if path == "one":
        path = f"/v1/jobs/{calm.submit('silent', {'seconds': 5})}/ws"
    for text in NONSENSE:
        async with socket(calm, path) as opened:
            await opened.send(text)
            code, reason = await closed_with(opened)
            assert code == BAD_MESSAGE, text[:60]
            assert reason


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"op": "subscribe", "job": "x"}, "job_not_found"),
        ({"op": "subscribe", "job": UNKNOWN}, "job_not_found"),
        ({"op": "subscribe", "job": "x" * 30_000}, "job_not_found"),
        ({"op": "subscribe", "job": UNKNOWN, "after": "7"}, "invalid_cursor"),
        ({"op": "subscribe", "job": UNKNOWN, "after": -2}, "invalid_cursor"),
        ({"op": "subscribe", "job": UNKNOWN, "after": 1.5}, "invalid_cursor"),
        ({"op": "subscribe", "job": UNKNOWN, "after": True}, "invalid_cursor"),
        ({"op": "subscribe", "job": UNKNOWN, "after": None}, "invalid_cursor"),
        ({"op": "subscribe", "job": UNKNOWN, "after": 10**40}, "invalid_cursor"),
        ({"op": "subscribe", "job": UNKNOWN, "after": {"x": []}}, "invalid_cursor"),
        ({"op": "cancel", "job": "\ud800"}, "job_not_found"),
        ({"op": "cancel", "job": UNKNOWN}, "job_not_found"),
    ],
)
async def test_an_operation_that_cannot_be_done_is_answered(calm: Live, message: dict[str, object], code: str) -> None:
    async with socket(calm) as opened:
        for _ in range(2):
            await opened.send(json.dumps(message))
            reply = json.loads(await asyncio.wait_for(opened.recv(), 30))
            assert (reply["op"], reply["of"], reply["code"]) == ("error", message["op"], code)


async def test_an_endless_number_closes_one_socket(calm: Live) -> None:
    async with socket(calm) as opened:
        await opened.send('{"op":"subscribe","job":"' + UNKNOWN + '","after":' + "9" * 6000 + "}")
        assert (await closed_with(opened))[0] == BAD_MESSAGE


async def test_frames_that_are_no_text_close_their_socket(calm: Live) -> None:
    for opcode, data, expected in (
        (Opcode.BINARY, b"\x00\xff", BAD_MESSAGE),
        (Opcode.TEXT, b"\xff\xfe", NOT_UTF_8),
        (Opcode.TEXT, b'{"op":"\xed\xa0\x80"}', NOT_UTF_8),
        (Opcode.TEXT, b"x" * 70_000, TOO_BIG),
        (Opcode.CONT, b"out of order", PROTOCOL_ERROR),
    ):
        async with socket(calm) as opened:
            await raw(opened, opcode, data)
            assert (await closed_with(opened))[0] == expected


async def test_a_message_in_many_fragments_is_one_message(calm: Live) -> None:
    message = json.dumps({"op": "subscribe", "job": UNKNOWN}).encode()
    async with socket(calm) as opened:
        await raw(opened, Opcode.TEXT, message[:1], fin=False)
        for at in range(1, len(message) - 1):
            await raw(opened, Opcode.CONT, message[at : at + 1], fin=False)
            if at % 20 == 0:
                await raw(opened, Opcode.PING, b"in between")
        await raw(opened, Opcode.CONT, message[-1:])
        assert json.loads(await asyncio.wait_for(opened.recv(), 30))["code"] == "job_not_found"


async def test_noise_on_the_wire_disturbs_no_other_reader(calm: Live) -> None:
    job_id = calm.submit("speak", {"pieces": ["undisturbed "], "repeat": 300, "pause_s": 0.01})
    watching = asyncio.create_task(watch(calm, job_id))
    chance = random.Random(11)
    try:
        while not watching.done():
            await asyncio.gather(*(noise(calm, job_id, chance) for _ in range(20)))
        assert (await watching).text == b"undisturbed " * 300
    finally:
        watching.cancel()


async def watch(live: Live, job_id: str) -> SseReader:
    """Reads a job to its end over one connection."""
    reader = SseReader(live, job_id, exact=True, cuts=[])
    await reader.follow()
    return reader


async def noise(live: Live, job_id: str, chance: random.Random) -> None:
    """One socket that sends bytes of all sorts and vanishes."""
    path = chance.choice(["/v1/ws", f"/v1/jobs/{job_id}/ws", f"/v1/jobs/{job_id}/ws?after=999999999"])
    async with socket(live, path) as opened:
        # The job may have ended, and the server have said so by now.
        for _ in range(chance.randrange(4) if opened.state is State.OPEN else 0):
            if chance.random() < 0.5:
                opened.transport.write(chance.randbytes(chance.randrange(1, 300)))
            else:
                await raw(opened, chance.choice(list(Opcode)), chance.randbytes(chance.randrange(100)))
        opened.transport.abort()


async def test_subscribing_and_leaving_in_haste_leaves_one_subscription(calm: Live) -> None:
    job_id = calm.submit("speak", {"pieces": ["again "], "repeat": 200, "pause_s": 0.01})
    subscribe = json.dumps({"op": "subscribe", "job": job_id, "after": 0, "exact": True})
    unsubscribe = json.dumps({"op": "unsubscribe", "job": job_id})
    async with socket(calm) as opened:
        for _ in range(100):
            await opened.send(subscribe)
            await opened.send(unsubscribe)
        await opened.send(subscribe)
        events = [event async for event in after_the_last_answer(opened, answers=201)]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert "".join(str(event.get("text", "")) for event in events) == "again " * 200


async def after_the_last_answer(opened: ClientConnection, answers: int) -> AsyncIterator[dict[str, object]]:
    """The events that come after so many answers, to the job's end."""
    async with asyncio.timeout(30):
        async for message in opened:
            decoded = json.loads(message)
            answers -= "op" in decoded
            if answers == 0 and "op" not in decoded:
                yield decoded
                if decoded["type"] == "succeeded":
                    return


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
operations = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["subscribe", "unsubscribe", "cancel"]) | json_values,
        "job": st.just(UNKNOWN) | json_values,
    },
    optional={"after": json_values, "exact": json_values, "x": json_values},
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=operations)
def test_any_operation_is_answered_or_closes_with_1008(calm: Live, message: dict[str, object]) -> None:
    async def attempt() -> None:
        async with socket(calm) as opened:
            await opened.send(json.dumps(message))
            try:
                reply = json.loads(await asyncio.wait_for(opened.recv(), 30))
            except websockets.ConnectionClosed:
                assert opened.close_code == BAD_MESSAGE
            else:
                assert reply["op"] in ("ok", "error")

    asyncio.run(attempt())
