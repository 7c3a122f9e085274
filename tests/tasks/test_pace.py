"""Rates, times left, and which counts are told."""

import pytest

from tasks.pace import BURST, EVENTS_PER_S, WINDOW_S, Pace, rate_text


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(clock)


def run(pace: Pace, clock: Clock, per_s: float, seconds: float, first: float = 0.0) -> float:
    """Counts evenly, ten times a second."""
    for _ in range(round(seconds * 10)):
        clock.now += 0.1
        first += per_s / 10
        pace.count(first, "scoring")
    return first


def test_a_rate_is_told_after_a_second_and_not_guessed_before(pace: Pace, clock: Clock) -> None:
    assert (pace.rate, pace.eta_s(10)) == (None, None)
    pace.count(0, "scoring")
    done = run(pace, clock, 100, 0.8)
    assert (pace.rate, pace.eta_s(1000)) == (None, None)
    done = run(pace, clock, 100, 0.4, done)
    assert pace.rate == pytest.approx(100)
    assert pace.eta_s(1000) == pytest.approx((1000 - done) / 100, abs=0.1)
    assert pace.eta_s(None) is None


def test_the_rate_is_that_of_the_last_seconds(pace: Pace, clock: Clock) -> None:
    pace.count(0, "scoring")
    done = run(pace, clock, 1000, 60)
    run(pace, clock, 10, WINDOW_S + 1, done)
    assert pace.rate == pytest.approx(10)


def test_one_hiccup_hardly_moves_it(pace: Pace, clock: Clock) -> None:
    pace.count(0, "scoring")
    done = run(pace, clock, 100, 20)
    clock.now += 1
    run(pace, clock, 100, 0.1, done)
    assert pace.rate == pytest.approx(100, rel=0.12)


def test_memory_is_bounded_however_often_is_counted(pace: Pace, clock: Clock) -> None:
    for number in range(10_000):
        clock.now += 0.01
        pace.count(number, None)
    assert len(pace._samples) < 50


@pytest.mark.parametrize(("count", "step"), [(5, "scoring"), (2000, "writing")])
def test_a_count_that_falls_or_a_new_step_begins_anew(pace: Pace, clock: Clock, count: float, step: str) -> None:
    pace.count(0, "scoring")
    run(pace, clock, 100, 5)
    pace.count(count, step)
    assert pace.rate is None


def test_nothing_done_has_no_time_left(pace: Pace, clock: Clock) -> None:
    pace.count(5, None)
    clock.now += 5
    pace.count(5, None)
    assert pace.rate == 0
    assert pace.eta_s(10) is None
    assert rate_text(pace.rate) is None


def test_a_few_counts_are_told_at_once_and_then_ten_a_second(pace: Pace, clock: Clock) -> None:
    assert [pace.is_due() for _ in range(20)].count(True) == BURST
    told = 0
    for _ in range(5000):
        clock.now += 0.001
        told += pace.is_due()
    assert told == pytest.approx(5 * EVENTS_PER_S, abs=1)


@pytest.mark.parametrize(
    ("rate", "text"),
    [(1240.4, "1,240/s"), (12.3, "12/s"), (2.54, "2.5/s"), (0.2, "12/min"), (0.01, "0.6/min"), (None, None)],
)
def test_a_rate_is_written_for_people(rate: float | None, text: str | None) -> None:
    assert rate_text(rate) == text
