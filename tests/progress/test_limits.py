"""Limits as settings say them."""

import pytest

from progress.limits import Rate, counts, queues, rates
from progress.settings import Settings


def test_limits_are_pairs() -> None:
    assert counts(" image = 4, retrain=1,") == {"image": 4, "retrain": 1}
    assert counts("") == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("image", "name=value pairs"),
        ("image=4,image=2", "the same name"),
        ("image=0", "image: '0' is no whole number above 0"),
        ("image=many", "image: 'many' is no whole number"),
        ("Im age=1", "'Im age' is no name of a kind"),
    ],
)
def test_what_is_no_limit_is_refused_with_its_name(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        counts(text)


def test_a_cluster_has_no_limits() -> None:
    with pytest.raises(ValueError, match="leave RUNNING_LIMITS out"):
        Settings(
            _env_file=None,
            redis_url="redis+cluster://one:6379",
            broker_url="redis://broker:6379",
            running_limits="image=4",
        )


def test_rates_are_of_kinds_and_of_models() -> None:
    assert rates("generate=5/s, model:org/m:1=120/m+10") == {
        "kind:generate": Rate(200, 1, "5/s"),
        "model:org/m:1": Rate(500, 10, "120/m+10"),
    }
    assert rates("a=2/h")["kind:a"].every_ms == 1_800_000


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a=5", "a: '5' is no rate, as 10/s"),
        ("a=0/s", "is no rate"),
        ("a=1/s+0", "is no rate"),
        ("a=1/d", "is no rate"),
        ("A b=1/s", "neither the name of a kind"),
        ("model:=1/s", "neither the name of a kind"),
    ],
)
def test_what_is_no_rate_is_refused_with_its_name(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        rates(text)


def test_routes_are_pairs_of_a_kind_and_a_queue() -> None:
    assert queues("score=batch, generate=llm.fast") == {"score": "batch", "generate": "llm.fast"}
    with pytest.raises(ValueError, match="score: 'a b' is no name of a queue"):
        queues("score=a b")
