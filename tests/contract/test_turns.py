"""Turns: given by the store, evenly, in the order in which they are asked for."""

from itertools import pairwise

import pytest

from progress.commands import Pause, TakeTurn
from tests.support.backend import Backend


def test_turns_lie_evenly_and_nobody_is_passed(backend: Backend) -> None:
    turns = [backend.run(TakeTurn("model:m", 60_000)) for _ in range(4)]
    assert turns[0].wait_s == 0
    assert [later.at - sooner.at for sooner, later in pairwise(turns)] == [60_000] * 3
    assert backend.run(TakeTurn("model:other", 60_000)).wait_s == 0, "of its own"


def test_so_many_go_at_once_after_a_rest(backend: Backend) -> None:
    turns = [backend.run(TakeTurn("model:m", 60_000, burst=3)) for _ in range(5)]
    assert [turn.wait_s > 0 for turn in turns] == [False, False, False, True, True]
    assert turns[4].at - turns[3].at == 60_000


def test_a_turn_is_taken_once(backend: Backend) -> None:
    backend.run(TakeTurn("model:m", 60_000))
    second = backend.run(TakeTurn("model:m", 60_000))
    again = backend.run(TakeTurn("model:m", 60_000, taken=second.at))
    assert again.at == second.at
    third = backend.run(TakeTurn("model:m", 60_000))
    assert third.at - second.at == 60_000, "the look has taken none"


@pytest.mark.brief
def test_a_turn_that_has_come_is_not_waited_for(backend: Backend) -> None:
    backend.run(TakeTurn("model:m", 50))
    second = backend.run(TakeTurn("model:m", 50))
    assert 0 < second.wait_s <= 0.05
    backend.pass_time(50)
    assert backend.run(TakeTurn("model:m", 50, taken=second.at)).wait_s == 0


def test_a_pause_holds_everybody_up_also_those_who_have_a_turn(backend: Backend) -> None:
    backend.run(TakeTurn("model:m", 1_000))
    second = backend.run(TakeTurn("model:m", 1_000))
    backend.run(Pause("model:m", 600_000))
    backend.run(Pause("model:m", 1_000))
    moved = backend.run(TakeTurn("model:m", 1_000, taken=second.at))
    assert 590 < moved.wait_s <= 600, "the longer one counts"
    late = backend.run(TakeTurn("model:m", 1_000))
    assert late.at - moved.at == 1_000, "and then they go one by one"
    assert 590 < backend.run(TakeTurn("model:m")).wait_s <= 600, "also where there is no rate"
    assert backend.run(TakeTurn("model:other")).wait_s == 0
