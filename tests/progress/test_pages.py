"""Pages of Logs: bounded in bytes for a whole process, and the same bytes for all."""

import json

from progress.events import Event
from progress.pages import Page, Pages


def event(seq: int, text: str = "x", kind: str = "token") -> Event:
    fields = {"seq": seq, "type": kind, "attempt": 1, "at": "2026-01-02T03:04:05.678Z", "text": text}
    return Event.parse(json.dumps(fields, separators=(",", ":")).encode())


def page(first: int, count: int = 10) -> Page:
    return Page([event(seq) for seq in range(first, first + count)])


def test_the_page_that_nobody_asked_for_longest_goes_first() -> None:
    pages = Pages(round(page(1).size * 2.5))
    for after in (0, 10):
        pages.keep("log", after, page(after + 1))
    assert pages.get("log", 0)
    pages.keep("other", 0, page(1))
    assert pages.get("log", 10) is None
    assert pages.get("log", 0)
    assert pages.get("other", 0)


def test_a_page_larger_than_all_room_is_not_kept_and_takes_no_room_for_ever() -> None:
    pages = Pages(page(1).size)
    pages.keep("log", 0, page(1, 100))
    assert pages.get("log", 0) is None
    pages.keep("log", 0, page(1))
    assert pages.get("log", 0)


def test_an_empty_page_is_not_kept_since_events_may_follow() -> None:
    pages = Pages()
    pages.keep("log", 0, Page([]))
    assert pages.get("log", 0) is None


def test_what_is_kept_first_stays_the_same_for_all() -> None:
    pages, first = Pages(), page(1)
    pages.keep("log", 0, first)
    pages.keep("log", 0, page(1, 3))
    assert pages.get("log", 0) is first
    assert first.joined_sse is first.joined_sse


def test_forgetting_a_log_leaves_the_others_and_makes_room() -> None:
    pages = Pages(round(page(1).size * 2.5))
    for after in (0, 10):
        pages.keep("log", after, page(after + 1))
    pages.forget("log")
    pages.forget("never-read")
    for after in (0, 10):
        pages.keep("other", after, page(after + 1))
    assert pages.get("log", 0) is None
    assert pages.get("other", 0)
    assert pages.get("other", 10)
    # What went to make room for others must not be forgotten twice.
    pages.keep("log", 0, page(1))
    pages.forget("other")
    assert pages.get("log", 0)


def test_no_text_is_joined_across_a_position_that_may_be_rolled_back_to() -> None:
    cut = Page([event(seq) for seq in range(1, 5)], frozenset({2}))
    assert [one.seq for one in cut.joined] == [2, 4]
    assert cut.joined_sse.count(b"event: token") == 2
    assert cut.sse.count(b"event: token") == 4
