"""What is kept until Redis has it on disk: for a while, in order, and not without bound."""

from progress.commands import ReadJob
from progress.unsynced import KEPT_BYTES, KEPT_S, Unsynced


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_writes_are_kept_in_order_and_for_a_while() -> None:
    clock = Clock()
    unsynced = Unsynced[ReadJob](clock)
    first, second, third = (ReadJob(name) for name in "abc")
    unsynced.add(first)
    clock.now += KEPT_S - 1
    unsynced.add(second)
    assert unsynced.commands == [first, second]
    clock.now += 2
    unsynced.add(third)
    assert unsynced.commands == [first, second, third], "a server that has lost the first may have answered"
    unsynced.forget()
    assert unsynced.commands == [second, third]
    clock.now += KEPT_S + 1
    unsynced.forget()
    assert unsynced.commands == []


def test_no_more_is_kept_than_there_is_room_for() -> None:
    unsynced = Unsynced[ReadJob](Clock())
    for name in "abc":
        unsynced.add(ReadJob(name), KEPT_BYTES // 2)
    assert unsynced.commands == [ReadJob("b"), ReadJob("c")]
    unsynced.add(ReadJob("d"), 2 * KEPT_BYTES)
    assert unsynced.commands == []


def test_what_was_kept_of_one_job_can_be_dropped() -> None:
    unsynced = Unsynced[ReadJob](Clock())
    unsynced.add(ReadJob("a"), KEPT_BYTES, job_id="a")
    unsynced.drop("a")
    unsynced.add(ReadJob("b"), KEPT_BYTES, job_id="b")
    assert unsynced.commands == [ReadJob("b")]


def test_what_is_written_again_may_be_lost_again() -> None:
    clock = Clock()
    unsynced = Unsynced[ReadJob](clock)
    unsynced.add(ReadJob("a"))
    clock.now += KEPT_S + 1
    assert unsynced.again() == [ReadJob("a")]
    unsynced.forget()
    assert unsynced.commands == [ReadJob("a")]
    clock.now += KEPT_S + 1
    unsynced.forget()
    assert unsynced.commands == []
