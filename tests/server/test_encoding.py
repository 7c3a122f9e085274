"""How batches of a log become the bytes of each format."""

import json
import re
from typing import Any

import pytest

from progress.events import Event, Gap
from progress.jobs import Job
from server.encoding import TextBroken, TextEncoder, encoder, goodbye
from server.negotiation import Format, StreamRequest


def event(seq: int, event_type: str = "token", attempt: int = 1, **fields: Any) -> Event:
    head = {"seq": seq, "type": event_type, "attempt": attempt, "at": "2026-01-02T03:04:05.678Z"}
    return Event.parse(json.dumps({**head, **fields}, separators=(",", ":")).encode())


def said(seq: int, text: str, **fields: Any) -> Event:
    return event(seq, text=text, **fields)


def started(seq: int, rollback_to: int, attempt: int = 2) -> Event:
    return event(seq, "started", attempt, worker="w", rollback_to=rollback_to)


def job(voids: str = "") -> Job:
    return Job("id", "echo", "running", "llm", 5, 1, 3, 0, 2, input={}, metadata={}, voids=voids)


def asked(form: Format, types: frozenset[str] | None = None) -> StreamRequest:
    return StreamRequest(form, 0, False, types, "main", 100)


GAP = Gap(3, 7, "id")


def test_an_event_is_a_block_with_its_position() -> None:
    block = said(3, "hi").sse
    assert block.startswith(b'id: 3\nevent: token\ndata: {"seq":3,')
    assert block.endswith(b'"text":"hi"}\n\n')


def test_a_gap_leaves_the_readers_position_where_it_is() -> None:
    assert GAP.sse == b'event: gap\ndata: {"type":"gap","lost_from":3,"lost_to":7,"job":"id"}\n\n'


def test_the_last_line_of_a_stream_that_will_be_back_is_a_short_pause() -> None:
    pauses = {int(re.fullmatch(rb"retry: (\d+)\n", goodbye())[1]) for _ in range(50)}  # type: ignore[index]
    assert 100 <= min(pauses) < max(pauses) <= 1000


@pytest.mark.parametrize("form", ["sse", "ndjson"])
def test_what_was_not_asked_for_is_left_out(form: Format) -> None:
    encode = encoder(asked(form, frozenset({"log"})))
    assert encode([said(1, "no")]) == b""
    body = encode([said(2, "no"), event(3, "log", message="m"), GAP, event(9, "failed", error={})])
    assert [b'"type":"%b"' % kind in body for kind in (b"token", b"log", b"gap", b"failed")] == [
        False,
        True,
        True,
        True,
    ]


def test_a_line_of_ndjson_is_the_event_itself() -> None:
    one, other = said(1, "a"), said(2, "b")
    assert encoder(asked("ndjson"))([one, other]) == one.raw + b"\n" + other.raw + b"\n"


def test_text_is_that_of_one_channel() -> None:
    batch = [said(1, "a"), said(2, "b", channel="notes"), event(3, "log", message="m"), said(4, "c")]
    for channel, text in (("main", b"ac"), ("notes", b"b")):
        encoder = TextEncoder(channel, job())
        assert encoder.encode(batch) == text
        assert encoder.whole


def test_text_that_something_is_missing_in_is_not_the_whole() -> None:
    encoder = TextEncoder("main", job())
    assert encoder.encode([said(1, "a"), GAP, said(9, "c")]) == b"ac"
    assert not encoder.whole


def test_text_that_no_longer_counts_is_left_out() -> None:
    # The second attempt began at 6 and kept what came up to 3; the third at 9 and kept the same.
    encode = TextEncoder("main", job(voids="3-6,3-9,")).encode
    assert encode([said(3, "kept "), said(4, "void"), started(6, 3), said(7, "void"), started(9, 3)]) == b"kept "
    assert encode([said(10, "new")]) == b"new"


def test_text_that_was_sent_and_is_void_cannot_be_taken_back() -> None:
    encode = TextEncoder("main", job()).encode
    assert encode([said(3, "sent")]) == b"sent"
    with pytest.raises(TextBroken):
        encode([started(5, 0)])


def test_text_before_a_checkpoint_stays() -> None:
    encode = TextEncoder("main", job()).encode
    assert encode([said(3, "sent")]) == b"sent"
    assert encode([started(5, 3), said(6, " on")]) == b" on"


def test_the_first_attempt_makes_nothing_void() -> None:
    assert TextEncoder("main", job()).encode([started(2, 0, 1), said(3, "a")]) == b"a"
