"""Limits and stop strings, whatever the tokens that a stop string is spread over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.demo_model.sampling import Answer


def taken(answer: Answer) -> str:
    return "".join(answer)


def test_an_answer_without_limits_is_all_of_it() -> None:
    answer = Answer(["a", "b"], None, [])

    assert (taken(answer), answer.finish_reason, answer.count) == ("ab", "stop", 2)


@pytest.mark.parametrize(("limit", "text", "reason"), [(1, "a", "length"), (2, "ab", "stop"), (3, "ab", "stop")])
def test_a_limit_is_the_reason_only_where_it_cuts(limit: int, text: str, reason: str) -> None:
    answer = Answer(["a", "b"], limit, [])

    assert (taken(answer), answer.finish_reason, answer.count) == (text, reason, len(text))


def test_a_stop_string_ends_the_text_before_it() -> None:
    answer = Answer(["one", " t", "wo", " three"], None, ["two"])

    assert (taken(answer), answer.finish_reason, answer.count) == ("one ", "stop", 3)


def test_a_stop_string_within_the_limit_is_the_reason() -> None:
    assert taken(answer := Answer(["a", "b", "c"], 2, ["b"])) == "a"
    assert answer.finish_reason == "stop"


def test_what_only_began_like_a_stop_string_is_said_after_all() -> None:
    assert list(Answer(["a", "t", "w", "x", "t"], None, ["two"])) == ["a", "twx", "t"]


@given(st.lists(st.text("ab", min_size=1, max_size=3)), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1))
def test_the_first_stop_string_to_be_complete_ends_the_text(pieces: list[str], stops: list[str]) -> None:
    said = ""
    for piece in pieces:
        said += piece
        if found := [said.find(stop) for stop in stops if stop in said]:
            said = said[: min(found)]
            break

    assert taken(Answer(pieces, None, stops)) == said
