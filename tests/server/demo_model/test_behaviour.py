"""Directives: how they are written, which one wins, and for which request they hold."""

import pytest

from server.demo_model.behaviour import Behaviour, BehaviourError, take_directives


def test_pairs_are_separated_by_spaces_commas_or_semicolons() -> None:
    told = Behaviour.parse("status=429 retry_after=0.5,cut_after=0;echo")

    assert told == Behaviour(status=429, retry_after=0.5, cut_after=0, echo=True)


def test_nothing_said_is_no_misdeed() -> None:
    assert Behaviour.parse(" ") == Behaviour()
    assert not Behaviour().misdeed
    assert not Behaviour.parse("pace=5 tokens=3 echo chunk=2 no_usage key=a").misdeed


@pytest.mark.parametrize(
    "told", ["status=500", "cut_after=0", "stall_after=1", "garbage_after=1", "error_after=1", "silent"]
)
def test_what_breaks_an_answer_is_a_misdeed_and_can_be_taken_back(told: str) -> None:
    behaviour = Behaviour.parse(f"{told} pace=5")

    assert behaviour.misdeed
    assert behaviour.reformed() == Behaviour(pace=5)


@pytest.mark.parametrize(
    "text",
    ["bogus=1", "tokens=many", "tokens=-1", "pace=0", "chunk=0", "pace=nan", "tokens=1.5", "status=0"],
)
def test_what_means_nothing_is_an_error(text: str) -> None:
    with pytest.raises(BehaviourError, match=text.partition("=")[0]):
        Behaviour.parse(text)


def test_a_mapping_says_the_same_as_text() -> None:
    assert Behaviour.of({"cut_after": 5, "echo": True, "pace": 2.5}) == Behaviour.parse("cut_after=5 echo=1 pace=2.5")


def test_the_first_of_two_wins_where_both_say_something() -> None:
    told = Behaviour.parse("pace=1 echo").over(Behaviour.parse("pace=2 tokens=3"))

    assert told == Behaviour(pace=1, echo=True, tokens=3)


def test_failures_may_be_kept_to_the_first_requests() -> None:
    told = Behaviour.parse("fail_first=2 cut_after=5")

    assert [told.on_request(number).cut_after for number in (1, 2, 3)] == [5, 5, None]


def test_failing_first_without_saying_how_means_500() -> None:
    told = Behaviour.parse("fail_first=1 tokens=3")

    assert [told.on_request(number).status for number in (1, 2)] == [500, None]
    assert Behaviour.parse("cut_after=5").on_request(9).cut_after == 5


@pytest.mark.parametrize(
    ("prompt", "rest"),
    [
        ("[[demo: tokens=3]]\nHello", "Hello"),
        ("[[demo: tokens=3]]\r\n\nHello", "\nHello"),
        ("Hello [[demo:tokens=3]]", "Hello "),
        ("[[demo: tokens=3]]", ""),
    ],
)
def test_a_prompt_loses_its_directive_and_the_line_end_behind_it(prompt: str, rest: str) -> None:
    assert take_directives(prompt) == (Behaviour(tokens=3), rest)


def test_a_prompt_may_have_several_directives_or_none() -> None:
    assert take_directives("[[demo: echo]][[demo: pace=5]]") == (Behaviour(echo=True, pace=5), "")
    assert take_directives("[demo: echo] [[other]]") == (Behaviour(), "[demo: echo] [[other]]")
