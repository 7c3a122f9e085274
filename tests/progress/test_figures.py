"""Figures: what counts say, as values."""

import pytest

from progress.figures import Figures, Histogram, added, place_of


def of(*sizes_ms: int) -> Histogram:
    fields = [f"run a {place_of(size, (10, 100, 1000))}" for size in sizes_ms]
    counts = tuple(fields.count(f"run a {place}") for place in range(1, 5))
    return Histogram((0.01, 0.1, 1.0), counts, sum(sizes_ms) / 1000)


def test_a_size_belongs_to_the_first_bound_that_it_is_not_above() -> None:
    assert [place_of(size, (10, 100)) for size in (0, 10, 11, 100, 101)] == [1, 1, 2, 2, 3]


def test_a_quantile_lies_between_the_bounds_of_its_sizes() -> None:
    sizes = of(5, 50, 50, 50, 500, 500, 500, 500, 5000, 5000)
    assert sizes.quantile(0.1) == pytest.approx(0.01)
    assert sizes.quantile(0.25) == pytest.approx(0.055), "half of those up to 0.1 s"
    assert sizes.quantile(0.8) == pytest.approx(1.0)
    assert sizes.quantile(0.99) == 1.0, "above the last bound nothing is known"
    assert sizes.count == 10
    assert sizes.mean == pytest.approx(1.2155)


def test_where_nothing_was_counted_nothing_is_said() -> None:
    nothing = Figures({}).histogram("run", "a")
    assert (nothing.count, nothing.mean, nothing.quantile(0.5)) == (0, None, None)
    assert Figures({}).kinds == []


def test_all_kinds_together_are_their_sum() -> None:
    found = Figures({"ended a failed": 1, "ended b failed": 2, "ended b succeeded": 3, "wait a 1": 1, "wait a sum": 4})
    assert found.kinds == ["a", "b"]
    assert found.labelled("ended", "") == {"failed": 3, "succeeded": 3}
    assert found.count("ended", "b", "failed") == 2
    assert found.histogram("wait", "").total == 0.004


def test_counts_of_the_same_field_are_added() -> None:
    assert added([{"a": 1, "b": 2}, {}, {"a": 3}]) == {"a": 4, "b": 2}
