"""The sweeper: what it enqueues again, when, and what stops it for a while, over the in-memory twin."""

from typing import Any

import pytest

from progress.claims import Claims
from progress.commands import Command, ReadHealth
from progress.errors import StoreUnavailable
from progress.holder import Holder
from progress.testing import Memory
from tasks.queue import QueueUnavailable
from tasks.recovery import LOST_AFTER_S, PRESENCE_EVERY, Sweeper
from tests.support.api import FakeQueue
from tests.support.backend import LEASE_MS, on_memory
from tests.support.waiting import wait_until

LOST_MS = round(LOST_AFTER_S * 1000)


class Shop:
    """A store, a broker, and workers that sweep."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.queue = FakeQueue()
        self.store = on_memory(self.memory)

    def sweeper(
        self, name: str = "w", served: tuple[str, ...] = ("llm",), holder: Holder | None = None, **more: Any
    ) -> Sweeper:
        claims = Claims(self.memory.executor, lease_ms=LEASE_MS, holder=holder)
        return Sweeper(claims, self.queue, name, served, **more)

    @property
    def enqueued(self) -> list[str]:
        return [job_id for job_id, _, _ in self.queue.sent]


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def here() -> Holder:
    """This process. Skips where the system does not tell."""
    found = Holder.here()
    if found is None:
        pytest.skip("no /proc here: a holder is lost when its lease is over")
    return found


def gone(here: Holder) -> Holder:
    """A process of this machine that had this one's id before it."""
    pid, _, began = here.process.partition(".")
    return Holder(here.machine, f"{pid}.{int(began) - 1}")


def held(shop: Shop, holder: Holder) -> str:
    """A job that a process has begun."""
    job_id = shop.store.create()
    begun = Claims(shop.memory.executor, lease_ms=LEASE_MS, holder=holder).begin(job_id, "w")
    assert begun.answer == "ok"
    return job_id


def rounds(sweeper: Sweeper, count: int = PRESENCE_EVERY) -> None:
    for _ in range(count):
        sweeper.sweep()


def test_a_delayed_job_is_enqueued_when_its_time_has_come(shop: Shop) -> None:
    job_id, sweeper = shop.store.create(delay_s=10, priority=8), shop.sweeper()
    sweeper.sweep()
    assert shop.queue.sent == []
    shop.memory.advance(10_000)
    sweeper.sweep()
    sweeper.sweep()
    assert shop.queue.sent == [(job_id, "llm", 8)]


def test_a_job_whose_worker_died_is_enqueued_again(shop: Shop) -> None:
    shop.memory.advance(0)
    job_id, sweeper = shop.store.started(lease_ms=1000), shop.sweeper()
    sweeper.sweep()
    assert shop.enqueued == []
    shop.memory.advance(1001)
    sweeper.sweep()
    assert shop.enqueued == [job_id]
    assert shop.store.read(job_id).status == "retrying"


def test_a_job_whose_process_is_gone_is_enqueued_again_whoever_sweeps(shop: Shop, here: Holder) -> None:
    shop.sweeper("other").sweep()
    job_id = held(shop, gone(here))
    alive, elsewhere = held(shop, here), held(shop, Holder("elsewhere", gone(here).process))
    sweeper = shop.sweeper(holder=here)
    sweeper.sweep()
    assert shop.enqueued == [job_id]
    assert [shop.store.read(one).status for one in (job_id, alive, elsewhere)] == ["retrying", "running", "running"]
    sweeper.sweep()
    assert shop.enqueued == [job_id]


def test_a_worker_that_does_not_know_its_machine_buries_nobody(shop: Shop, here: Holder) -> None:
    job_id = held(shop, gone(here))
    shop.sweeper(holder=None).sweep()
    assert shop.store.read(job_id).status == "running"


def test_a_job_that_kills_its_workers_ends_as_failed(shop: Shop) -> None:
    job_id = shop.store.started(lease_ms=1000, max_attempts=1)
    shop.memory.advance(1001)
    shop.sweeper().sweep()
    assert shop.enqueued == []
    job = shop.store.read(job_id)
    assert job.error is not None
    assert (job.status, job.error["code"]) == ("failed", "worker_lost")


def test_a_job_that_waits_without_a_message_is_enqueued_after_a_while(shop: Shop) -> None:
    # The clock stands still from here on: on a busy machine milliseconds pass between two lines of a test.
    shop.memory.advance(0)
    job_id, sweeper = shop.store.create(), shop.sweeper()
    shop.memory.advance(LOST_MS - 1)
    rounds(sweeper)
    assert shop.enqueued == []
    shop.memory.advance(1)
    rounds(sweeper)
    assert shop.enqueued == [job_id]


def test_a_job_whose_message_waits_in_the_broker_is_left_alone(shop: Shop) -> None:
    job_id, sweeper = shop.store.create(), shop.sweeper()
    shop.queue.enqueue(job_id, "llm", 5)
    for _ in range(3):
        shop.memory.advance(LOST_MS)
        rounds(sweeper)
    assert shop.enqueued == [job_id]


def test_a_job_without_a_message_is_found_in_a_busy_queue_too(shop: Shop) -> None:
    shop.memory.advance(0)
    lost, sweeper = shop.store.create(priority=9), shop.sweeper()
    for _ in range(2):
        shop.queue.enqueue(shop.store.create(), "llm", 5)
    shop.memory.advance(LOST_MS)
    rounds(sweeper)
    assert lost not in shop.enqueued
    shop.store.begin(shop.enqueued[0])
    rounds(sweeper)
    assert shop.enqueued[2:] == [lost]


def test_a_job_without_a_message_in_a_queue_of_no_kind_is_found_by_a_worker_that_serves_it(shop: Shop) -> None:
    shop.memory.advance(0)
    job_id = shop.store.create(queue="reports")
    shop.memory.advance(LOST_MS)
    rounds(shop.sweeper("first"))
    assert shop.enqueued == []
    rounds(shop.sweeper("second", ("reports",)))
    assert shop.enqueued == [job_id]


def test_the_wait_of_a_job_that_was_enqueued_again_begins_anew(shop: Shop) -> None:
    job_id, sweeper = shop.store.create(), shop.sweeper()
    shop.memory.advance(LOST_MS)
    rounds(sweeper)
    shop.queue.sent.clear()
    rounds(sweeper)
    assert shop.enqueued == []
    shop.memory.advance(LOST_MS)
    rounds(sweeper)
    assert shop.enqueued == [job_id]


def test_one_worker_sweeps_at_a_time_and_another_takes_over(shop: Shop) -> None:
    first, second = shop.sweeper("first"), shop.sweeper("second")
    first.sweep()
    job_id = shop.store.create(delay_s=1)
    shop.memory.advance(1000)
    second.sweep()
    assert shop.enqueued == []
    shop.memory.advance(3000)
    second.sweep()
    assert shop.enqueued == [job_id]


def test_a_worker_says_that_it_lives_though_another_one_sweeps(shop: Shop) -> None:
    shop.sweeper("first", ("cpu",)).sweep()
    shop.sweeper("second", ("llm", "cpu")).sweep()
    seen = shop.store.run(ReadHealth(("cpu", "llm"))).queues
    assert set(seen["cpu"].workers) == {"first", "second"}
    assert seen["llm"].workers == ("second",)


def test_what_a_broker_refuses_is_enqueued_once_it_is_back(shop: Shop) -> None:
    job_id, sweeper = shop.store.create(delay_s=1), shop.sweeper()
    shop.memory.advance(1000)
    shop.queue.broken = "away"
    with pytest.raises(QueueUnavailable):
        sweeper.sweep()
    shop.queue.broken = ""
    shop.memory.advance(LOST_MS)
    rounds(sweeper)
    assert shop.enqueued == [job_id]


def test_its_thread_outlives_a_redis_and_a_broker_that_are_away(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    def away(_command: Command[Any]) -> None:
        raise StoreUnavailable("away")

    def here(_command: Command[Any]) -> None:
        pass

    shop.memory.before = away
    sweeper = shop.sweeper()
    sweeper.start()
    try:
        wait_until(lambda: "sweep put off" in caplog.text)
        shop.memory.before = here
        job_id = shop.store.create(delay_s=0.001)
        wait_until(lambda: shop.enqueued == [job_id])
    finally:
        sweeper.close()


def test_a_closed_sweeper_leaves_no_thread(shop: Shop) -> None:
    sweeper = shop.sweeper()
    sweeper.start()
    sweeper.close()
    assert not sweeper._thread.is_alive()


class Faulty(FakeQueue):
    """A queue with a fault that nobody has foreseen, once."""

    asked = 0

    def depth(self, queue: str) -> int:
        """See JobQueue."""
        self.asked += 1
        if self.asked == 1:
            raise RuntimeError("a fault of the broker's client")
        return super().depth(queue)


def test_a_fault_that_nobody_has_foreseen_does_not_end_the_sweeping(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tasks.recovery.EVERY_S", 0.001)
    shop.queue = faulty = Faulty()
    sweeper = shop.sweeper()
    sweeper.start()
    wait_until(lambda: faulty.asked > 2)
    sweeper.close()
    assert "a fault of the broker's client" in caplog.text


@pytest.mark.parametrize(("aging_s", "sent"), [(60, [8]), (0, [])])
def test_a_job_that_has_waited_for_long_is_sent_as_more_urgent(shop: Shop, aging_s: float, sent: list[int]) -> None:
    job_id = shop.store.create(priority=7)
    shop.queue.sent.append((job_id, "llm", 7))
    shop.memory.advance(60_000)
    sweeper = shop.sweeper(aging_s=aging_s)
    for _ in range(PRESENCE_EVERY):
        sweeper.sweep()
    assert [priority for _, _, priority in shop.queue.sent[1:]] == sent
