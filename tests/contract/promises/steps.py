"""What a step of a Play is, and what may be drawn for its arguments."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from hypothesis import strategies as st

from tests.contract.promises.process import Plan

F = TypeVar("F", bound=Callable[..., None])
T = TypeVar("T")
Step = tuple[str, dict[str, Any]]
"""The name of a method of Play, and its arguments."""

ALL: Final[Plan] = ()
PLANS: Final[tuple[Plan, ...]] = (
    *(("lost",), ("unanswered",), ("later",), ("unanswered", "unanswered"), ("lost", "lost")),
    *(("answered", "later"), ("unanswered", "later"), ("answered", "unanswered", "lost"), ("answered", "lost")),
)
STEPS: Final[list[st.SearchStrategy[Step]]] = []

number = st.integers(0, 7)
plans = st.sampled_from([*(ALL,) * 2 * len(PLANS), *PLANS])
published = st.lists(st.sampled_from(["token", "token", "checkpoint", "progress"]), min_size=1, max_size=4)
outcomes = st.sampled_from(["succeeded", "failed", "retrying", "retrying", "released"])


def step(weight: int, **arguments: st.SearchStrategy[Any]) -> Callable[[F], F]:
    """Makes a method one of the steps, taken the more often the greater its weight."""

    def register(method: F) -> F:
        STEPS.extend([st.tuples(st.just(method.__name__), st.fixed_dictionaries(arguments))] * weight)
        return method

    return register


def pick(things: Sequence[T], number: int) -> T:
    """Every number stands for one of them."""
    return things[number % len(things)]
