"""The Sender: in order, together, and never in the way of anybody."""

import threading
from collections.abc import Iterator, Sequence

import pytest

from progress.commands import Waiting
from server import sender
from server.sender import Sender
from tasks.queue import QueueUnavailable
from tests.support.api import FakeQueue
from tests.support.waiting import wait_until


class HeldQueue(FakeQueue):
    """Notes what it is given together, and holds it until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.together: list[int] = []
        self.fault: Exception | None = None

    def enqueue_all(self, jobs: Sequence[Waiting]) -> dict[str, QueueUnavailable]:
        self.together.append(len(jobs))
        self.go.wait(30)
        if self.fault:
            raise self.fault
        return super().enqueue_all(jobs)


@pytest.fixture
def queue() -> Iterator[HeldQueue]:
    made = HeldQueue()
    yield made
    made.go.set()


def jobs(count: int) -> list[Waiting]:
    return [Waiting(f"job-{number}", "llm", 5) for number in range(count)]


def behind_one(queue: HeldQueue, count: int) -> Sender:
    """A Sender that sends the first of so many jobs' messages, while the others wait."""
    made = Sender(queue)
    first, *others = jobs(count)
    made.send(first)
    wait_until(lambda: queue.together == [1])
    for job in others:
        made.send(job)
    return made


def test_what_waits_goes_together_and_in_order(queue: HeldQueue) -> None:
    made = behind_one(queue, 1200)
    queue.go.set()
    made.close(30)
    assert queue.together == [1, 500, 500, 199]
    assert [job_id for job_id, _, _ in queue.sent] == [job.job_id for job in jobs(1200)]


def test_what_waits_for_a_hung_broker_is_bounded(queue: HeldQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "UNSENT", 3)
    made = behind_one(queue, 10)
    queue.go.set()
    made.close(30)
    assert [job_id for job_id, _, _ in queue.sent] == ["job-0", "job-1", "job-2", "job-3"]


def test_closing_leaves_to_the_sweeper_what_there_is_no_time_for(queue: HeldQueue) -> None:
    made = behind_one(queue, 10)
    # The one step under way gives up by itself, as a real queue's does: after the time to close is over.
    closing = threading.Thread(target=made.close, args=(0,))
    closing.start()
    queue.go.set()
    closing.join(30)
    assert not closing.is_alive()
    assert len(queue.sent) == 1


def test_a_message_that_cannot_be_sent_is_told_with_its_job(queue: HeldQueue, caplog: pytest.LogCaptureFixture) -> None:
    queue.broken = "away"
    queue.go.set()
    made = Sender(queue)
    for job in jobs(2):
        made.send(job)
    made.close(30)
    for job in jobs(2):
        assert f"job {job.job_id}: left to the sweeper, the broker cannot be used: away" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_that_nobody_foresaw_ends_no_later_message(queue: HeldQueue) -> None:
    queue.fault = RuntimeError("unforeseen")
    queue.go.set()
    made = Sender(queue)
    first, second = jobs(2)
    made.send(first)
    wait_until(lambda: not made._thread.is_alive())
    queue.fault = None
    made.send(second)
    made.close(30)
    assert [job_id for job_id, _, _ in queue.sent] == [second.job_id]
