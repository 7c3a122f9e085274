"""Limits as settings say them."""

import pytest

from progress.limits import counts
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
