"""Events: one encoding, read back as it was written."""

import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progress.commands.source import linked
from progress.connect import RedisExecutor
from progress.events import (
    EVENT_TYPES,
    MAX_EVENT_BYTES,
    MAX_TEXT_BYTES,
    TERMINAL,
    Draft,
    Event,
    Gap,
    encode_json,
    join_tokens,
    rfc3339,
    split_encoded,
    token_drafts,
    well_formed,
)
from tests.support.backend import on_redis
from tests.support.redis_server import RedisServer

RAW = b'{"seq":12,"type":"token","attempt":1,"at":"2026-01-02T03:04:05.678Z","text":" hello"}'


def event(seq: int, text: str = "", kind: str = "token", *, attempt: int = 1, channel: str = "main") -> Event:
    data = {"seq": seq, "type": kind, "attempt": attempt, "at": f"at {seq}", "text": text}
    return Event.parse(encode_json(data if channel == "main" else {**data, "channel": channel}).encode())


def text_of(drafts: list[Draft]) -> str:
    return "".join(json.loads("{" + draft.fields + "}")["text"] for draft in drafts)


def test_an_event_is_read_from_its_head() -> None:
    read = Event.parse(RAW)
    assert (read.seq, read.type, read.attempt, read.raw) == (12, "token", 1, RAW)
    assert read.data["text"] == " hello"
    assert not read.is_terminal


def test_an_event_knows_its_forms() -> None:
    read = Event.parse(RAW)
    assert read.sse == b"id: 12\nevent: token\ndata: " + RAW + b"\n\n"
    assert read.line == RAW + b"\n"


@pytest.mark.parametrize("raw", [b"", b"{}", b"[1]", b'{"type":"token","seq":1}', RAW[1:]])
def test_what_is_no_event_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="not an event"):
        Event.parse(raw)


def test_the_last_events_of_a_log_are_known() -> None:
    assert {kind for kind in EVENT_TYPES if event(1, kind=kind).is_terminal} == TERMINAL


def test_a_token_is_of_the_main_output_unless_it_says_otherwise() -> None:
    assert event(1).channel == "main"
    assert event(1, channel="left").channel == "left"
    assert event(1, text='"channel":"left"').channel == "main"


def test_a_gap_has_no_seq() -> None:
    gap = Gap(3, 9, "j")
    assert json.loads(gap.raw) == {"type": "gap", "lost_from": 3, "lost_to": 9, "job": "j"}
    assert gap.type == "gap"


def test_a_draft_leaves_out_what_is_not_there() -> None:
    assert Draft.of("progress", fraction=0.5, step=None) == Draft("progress", '"fraction":0.5')
    assert Draft.of("log") == Draft("log", "")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        Draft.of("progress", fraction=value)


def test_values_that_json_does_not_have_are_refused() -> None:
    with pytest.raises(TypeError):
        encode_json({"at": datetime.now(UTC)})


@given(st.text() | st.text(st.sampled_from("\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029é😀")))
def test_no_client_takes_json_for_several_lines(text: str) -> None:
    encoded = encode_json({"text": text})
    assert len(encoded.splitlines()) == 1
    assert json.loads(encoded) == {"text": text}


@given(st.text(st.characters(codec=None, categories=["Cs", "Lu", "So"])))
def test_whatever_is_encoded_has_a_utf8_form(text: str) -> None:
    assert json.loads(encode_json([text]).encode()) == [well_formed(text)]
    well_formed(text).encode()


@given(st.text())
def test_text_that_is_well_formed_stays_as_it_is(text: str) -> None:
    assert well_formed(text) is text


def test_halves_of_surrogate_pairs_are_joined_or_replaced() -> None:
    assert well_formed("a\ud83d\ude00b") == "a😀b"
    assert well_formed("a\ud83db") == "a\ufffdb"
    assert well_formed("\ude00\ud83d") == "\ufffd\ufffd"


def test_a_short_text_is_one_token() -> None:
    assert list(token_drafts('say "hi"\n')) == [Draft("token", r'"text":"say \"hi\"\n"')]
    assert list(token_drafts("hi", "left")) == [Draft("token", '"text":"hi","channel":"left"')]


@pytest.mark.parametrize("character", ["x", "é", "😀", "\u2028", "\n", '"', "\\", "\x00"])
def test_a_text_of_100_kb_is_split_and_joins_byte_for_byte(character: str) -> None:
    text = character * 100_000
    drafts = list(token_drafts(text))
    assert text_of(drafts) == text
    assert len(drafts) > 1
    assert all(len(draft.fields.encode()) < MAX_EVENT_BYTES - 512 for draft in drafts)


def test_an_event_is_measured_in_bytes_and_not_in_characters() -> None:
    drafts = list(token_drafts("😀" * (MAX_TEXT_BYTES // 3)))
    assert all(len(draft.fields.encode()) <= MAX_EVENT_BYTES for draft in drafts)


@given(st.text(st.sampled_from('a\\"\n\x00é😀\u2028\ud83d'), max_size=60), st.integers(6, 20))
def test_a_cut_is_never_inside_an_escape_nor_a_character(text: str, limit: int) -> None:
    encoded = encode_json(text)[1:-1]
    pieces = list(split_encoded(encoded, limit))
    assert "".join(pieces) == encoded
    assert "".join(json.loads(f'"{piece}"') for piece in pieces) == well_formed(text)
    assert all(len(piece.encode()) <= limit for piece in pieces)


def test_neighbouring_tokens_join_with_the_last_position() -> None:
    joined = list(join_tokens([event(1, "a"), event(2, "\u2028"), event(3, '"')]))
    assert [(one.seq, one.data["text"], one.data["at"]) for one in joined] == [(3, 'a\u2028"', "at 3")]
    assert joined[0] == Event.parse(joined[0].raw)


@pytest.mark.parametrize(
    "between", [event(2, kind="log"), event(2, attempt=2), event(2, channel="left")], ids=["type", "attempt", "channel"]
)
def test_only_tokens_of_one_output_and_attempt_join(between: Event) -> None:
    events = [event(1, "a"), between, event(3, "b")]
    assert list(join_tokens(events)) == events


def test_tokens_of_a_parallel_output_join_too() -> None:
    joined = list(join_tokens([event(1, "a", channel="left"), event(2, "b", channel="left")]))
    assert [(one.seq, one.channel, one.data["text"]) for one in joined] == [(2, "left", "ab")]


def test_events_of_other_types_never_join() -> None:
    events = [event(1, kind="log"), event(2, kind="log")]
    assert list(join_tokens(events)) == events
    assert list(join_tokens([])) == []


def test_a_joined_event_is_no_longer_than_an_event_may_be() -> None:
    events = [event(seq, "x" * 1000) for seq in range(1, 201)]
    joined = list(join_tokens(events))
    assert 1 < len(joined) < 6
    assert all(len(one.raw) <= MAX_TEXT_BYTES for one in joined)
    assert "".join(one.data["text"] for one in joined) == "x" * 200_000


@given(st.lists(st.tuples(st.text(max_size=3), st.sampled_from(["main", "left"]), st.sampled_from(["token", "log"]))))
def test_joining_changes_no_text_and_no_order(parts: list[tuple[str, str, str]]) -> None:
    events = [event(seq, text, kind, channel=channel) for seq, (text, channel, kind) in enumerate(parts, 1)]
    joined = list(join_tokens(events))
    assert [one.seq for one in joined] == sorted({one.seq for one in joined})
    for channel in ("main", "left"):
        texts = ["".join(one.data["text"] for one in some if one.channel == channel) for some in (events, joined)]
        assert texts[0] == texts[1]


@given(st.lists(st.text(), min_size=2, max_size=5), st.sampled_from(["main", "left", '","text":"']))
def test_joined_tokens_are_what_they_would_be_if_they_were_read_and_written_anew(
    texts: list[str], channel: str
) -> None:
    events = [event(seq, well_formed(text), channel=channel) for seq, text in enumerate(texts, 1)]
    (joined,) = join_tokens(events)
    data = {**events[-1].data, "text": "".join(one.data["text"] for one in events)}
    assert joined.raw == encode_json(data).encode()


@given(st.integers(0, 9_999_999_999_999))
def test_times_are_rfc_3339_in_utc_to_the_millisecond(epoch_ms: int) -> None:
    text = rfc3339(epoch_ms)
    assert datetime.fromisoformat(text).timestamp() * 1000 == pytest.approx(epoch_ms, abs=0.5)
    assert len(text) == 24


def test_lua_writes_times_as_python_does(executor: RedisExecutor, redis_server: RedisServer) -> None:
    store = on_redis(executor, redis_server)
    job_id = store.create()
    assert store.last(job_id)["at"] == rfc3339(store.read(job_id).created_at)


MOMENTS = (0, 951_782_399_999, 951_782_400_000, 1_709_164_800_123, 1_735_689_599_999, 4_107_542_400_000)
"""The epoch, the ends of February and of years, in leap years and not."""


@pytest.mark.parametrize("epoch_ms", MOMENTS)
def test_the_calendar_of_lua_is_that_of_python(redis_server: RedisServer, epoch_ms: int) -> None:
    code = linked("return rfc3339(tonumber(ARGV[1]))", {})
    assert redis_server.command("EVAL", code, 0, epoch_ms) == rfc3339(epoch_ms)


def test_tokens_are_not_joined_across_a_position_that_may_be_rolled_back_to() -> None:
    events = [event(1, "a"), event(2, "b"), event(3, "c"), event(4, "d")]
    joined = list(join_tokens(events, cuts={2}))
    assert [(each.seq, each.data["text"]) for each in joined] == [(2, "ab"), (4, "cd")]
