"""Which jobs run alone: those with one attempt left whose last one was lost, and no others."""

import pytest

from progress.claims import Claims
from progress.testing import Memory
from tasks import alone
from tests.support.backend import ERROR, LEASE_MS, on_memory


class Shop:
    """Jobs, and a worker who asks about them."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.store = on_memory(self.memory)
        self.claims = Claims(self.memory.executor, lease_ms=LEASE_MS)

    def is_suspect(self, job_id: str) -> bool:
        return alone.is_suspect(self.claims, job_id)

    def lose(self, job_id: str) -> None:
        """Begins an attempt that is lost."""
        assert self.store.begin(job_id, lease_ms=1000).answer == "ok"
        self.memory.advance(1000)
        self.store.swept()


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_a_job_is_alone_in_its_last_attempt_after_a_loss(shop: Shop) -> None:
    job_id = shop.store.create(max_attempts=3)
    assert not shop.is_suspect(job_id)
    shop.lose(job_id)
    assert not shop.is_suspect(job_id)
    shop.lose(job_id)
    assert shop.is_suspect(job_id)
    shop.lose(job_id)
    assert not shop.is_suspect(job_id), "it has failed"


def test_a_job_whose_holder_may_be_lost_is_not_claimed_among_others(shop: Shop) -> None:
    job_id = shop.store.started(max_attempts=2)
    assert shop.is_suspect(job_id)
    only = shop.store.started(max_attempts=1)
    assert not shop.is_suspect(only), "a claim would end it"


def test_a_job_that_ended_with_an_error_is_no_suspect(shop: Shop) -> None:
    job_id = shop.store.create(max_attempts=3)
    shop.lose(job_id)
    assert shop.store.begin(job_id).answer == "ok"
    shop.store.finish(job_id, 1, "retrying", ERROR, attempt=2)
    assert not shop.is_suspect(job_id)


def test_attempts_that_were_handed_back_do_not_count(shop: Shop) -> None:
    job_id = shop.store.create(max_attempts=3)
    for attempt in (1, 2):
        assert shop.store.begin(job_id).answer == "ok"
        shop.store.finish(job_id, 1, "released", ERROR, attempt=attempt)
        shop.store.swept()
        assert not shop.is_suspect(job_id)
    shop.lose(job_id)
    assert not shop.is_suspect(job_id)
    shop.lose(job_id)
    assert shop.is_suspect(job_id)


def test_a_job_that_is_gone_is_no_suspect(shop: Shop) -> None:
    assert not shop.is_suspect("nothing")


def test_where_no_process_can_be_made_the_caller_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Full:
        def start(self) -> None:
            raise OSError("no room")

    monkeypatch.setattr(alone, "_processes", type("", (), {"Process": lambda *_args, **_named: Full()}))
    assert alone.run("some") is None
    assert "no room" in caplog.text
