"""Deliveries to real receivers, over the in-memory twin, whose clock is moved instead of waited for."""

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from progress import factory
from progress.commands import Due, Lifetimes, ReadDeliveries, Tried
from progress.deliveries import LEASE_MS, Deliveries
from progress.errors import StoreUnavailable
from progress.jobs import Json
from progress.signing import new_secret
from progress.targets import Targets
from progress.testing import Memory
from server.schemas import JobView
from tasks import deliverer, webhooks
from tasks.deliverer import AT_ONE_HOST, FOR_S, Deliverer, Deliveryman, next_try_ms, pause_s
from tasks.webhooks import Messenger, message, retry_after_s
from tests.support.api import settings
from tests.support.backend import ERROR, on_memory
from tests.support.receiver import Receiver
from tests.support.waiting import until, wait_until

SECRET = new_secret()
DAY_MS = 86_400_000
KEPT = Lifetimes(7 * 86_400, 7 * 86_400, 1_000)


class Post:
    """A store, and one who delivers."""

    def __init__(self, *allowed: str) -> None:
        self.memory = Memory()
        self.store = on_memory(self.memory)
        self.messenger = Messenger([SECRET], Targets.of(allowed))
        self.deliveries = Deliveries(self.memory.async_executor)
        self.man = self.another()

    def another(self) -> Deliveryman:
        return Deliveryman(self.deliveries, self.messenger, jitter=lambda: 0.0)

    def ended(self, **fields: Any) -> str:
        """A job that has ended and is kept for long."""
        return self.store.ended(lifetimes=KEPT, **fields)

    async def deliver(self) -> None:
        """Everything that is due."""
        while await self.man.round():
            pass
        await self.man.finish(30)

    def tries(self, job_id: str) -> list[Json]:
        return self.store.run(ReadDeliveries(job_id)).tries

    def told(self, job_id: str) -> list[int | str]:
        return [one["status"] or one["error"] for one in self.tries(job_id)]


@asynccontextmanager
async def post(*allowed: str) -> AsyncIterator[Post]:
    made = Post(*allowed)
    try:
        yield made
    finally:
        await made.messenger.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


async def test_a_receiver_gets_a_signed_message_with_the_job_as_the_api_shows_it(receiver: Receiver) -> None:
    async with post("127.0.0.1") as sender:
        job_id = sender.ended(value='{"text":"é"}', webhook=receiver.url, input={"secret": 1}, metadata={"a": 1})
        await sender.deliver()
        (body,) = receiver.verified(SECRET)
        job = sender.store.read(job_id)
        assert body == {
            "type": "job.succeeded",
            "timestamp": JobView.of(job).finished_at,
            "data": JobView.of(job).model_dump(mode="json"),
        }
        assert (receiver.got[0].path, receiver.got[0].id) == ("/hook", f"msg_{job_id}")
        assert receiver.got[0].headers["host"] == f"127.0.0.1:{receiver.port}"
        assert receiver.got[0].headers["content-type"] == "application/json"
        await sender.deliver()
        assert (len(receiver.got), sender.told(job_id)) == (1, [204])


async def test_a_message_of_a_job_with_progress_and_error_is_that_of_the_api_too() -> None:
    async with post() as sender:
        job_id = sender.store.started(max_attempts=1)
        sender.store.append(job_id, 1, progress='{"fraction":0.5,"eta_s":3}')
        sender.store.finish(job_id, 2, "failed", ERROR)
        job = sender.store.read(job_id)
        assert json.loads(message(job))["data"] == JobView.of(job).model_dump(mode="json")


async def test_a_receiver_that_was_down_gets_every_message_once_it_is_up() -> None:
    receiver = Receiver()
    async with post("127.0.0.1") as sender:
        ids = {sender.ended(webhook=receiver.url) for _ in range(3)}
        for _ in range(3):
            await sender.deliver()
            sender.memory.advance(60_000)
        with receiver:
            await sender.deliver()
            assert {body["data"]["id"] for body in receiver.verified(SECRET)} == ids
        for job_id in ids:
            *failed, last = sender.tries(job_id)
            assert len(failed) == 3
            assert all(one["status"] is None and one["error"] and one["next_at"] for one in failed)
            assert (last["status"], last["next_at"]) == (204, None)


async def test_each_try_of_a_delivery_has_the_same_id(receiver: Receiver) -> None:
    receiver.answer = lambda _message: (500 if len(receiver.got) < 3 else 200, {})
    async with post("127.0.0.1") as sender:
        job_id = sender.ended(webhook=receiver.url)
        for _ in range(5):
            await sender.deliver()
            sender.memory.advance(3_600_000)
        assert sender.told(job_id) == [500, 500, 200]
        assert {message.id for message in receiver.got} == {f"msg_{job_id}"}
        assert len(receiver.verified(SECRET)) == 3


@pytest.mark.parametrize(("status", "headers"), [(410, {}), (301, {"location": "/elsewhere"}), (404, {}), (503, {})])
async def test_only_410_says_never_again_and_no_redirect_is_followed(
    receiver: Receiver, status: int, headers: dict[str, str]
) -> None:
    receiver.answer = lambda _message: (status, headers)
    async with post("127.0.0.1") as sender:
        job_id = sender.ended(webhook=receiver.url)
        await sender.deliver()
        assert [message.path for message in receiver.got] == ["/hook"]
        assert (sender.tries(job_id)[0]["next_at"] is None) == (status == 410)


async def test_a_receiver_says_when_to_come_again(receiver: Receiver) -> None:
    receiver.answer = lambda _message: (429, {"retry-after": "7200"})
    async with post("127.0.0.1") as sender:
        sender.memory.advance(0)
        job_id = sender.ended(webhook=receiver.url)
        await sender.deliver()
        next_at = sender.store.run(ReadDeliveries(job_id)).next_at
        assert next_at is not None
        assert next_at - (sender.store.read(job_id).finished_at or 0) == 7_200_000


async def test_a_delivery_is_given_up_after_a_day(receiver: Receiver) -> None:
    receiver.answer = lambda _message: (500, {})
    async with post("127.0.0.1") as sender:
        sender.memory.advance(0)
        job_id = sender.ended(webhook=receiver.url)
        for _ in range(60):
            await sender.deliver()
            log = sender.store.run(ReadDeliveries(job_id))
            if log.next_at is None:
                break
            sender.memory.advance(log.next_at - sender.memory.space.now())
        assert log.next_at is None
        last_ms = sender.memory.space.now() - (sender.store.read(job_id).finished_at or 0)
        assert DAY_MS - 3 * 3_600_000 <= last_ms <= DAY_MS
        assert 10 <= len(log.tries) <= 20


async def test_a_worker_that_dies_in_the_middle_loses_no_delivery(receiver: Receiver) -> None:
    async with post("127.0.0.1") as sender:
        job_id = sender.ended(webhook=receiver.url)
        assert [due.job_id for due in await sender.deliveries.take(10)] == [job_id]
        await sender.deliver()
        assert receiver.got == []
        sender.memory.advance(LEASE_MS)
        await sender.deliver()
        assert [message.id for message in receiver.got] == [f"msg_{job_id}"]


async def test_what_redis_does_not_take_down_is_made_again(receiver: Receiver) -> None:
    async with post("127.0.0.1") as sender:
        job_id = sender.ended(webhook=receiver.url)

        def away(command: object) -> None:
            if type(command).__name__ == "SettleDelivery" and len(receiver.got) == 1:
                raise StoreUnavailable

        sender.memory.before = away
        await sender.deliver()
        sender.memory.advance(LEASE_MS)
        await sender.deliver()
        assert [message.id for message in receiver.got] == [f"msg_{job_id}"] * 2
        assert sender.told(job_id) == [204]


async def test_a_receiver_that_hangs_holds_up_no_other(receiver: Receiver) -> None:
    receiver.hold.set()
    with Receiver() as quick:
        async with post("127.0.0.1") as sender:
            for _ in range(3 * AT_ONE_HOST):
                sender.ended(webhook=receiver.url)
            wanted = {sender.ended(webhook=quick.url) for _ in range(20)}
            while await sender.man.round():
                pass

            async def all_told() -> bool:
                sender.memory.advance(5_000)  # less than the leases of those that hang
                await sender.man.round()
                return {message.id[4:] for message in quick.got} == wanted

            await until(all_told)
            await until(lambda: len(receiver.got) >= AT_ONE_HOST)
            assert len(receiver.got) == AT_ONE_HOST
            receiver.hold.clear()
            await sender.man.finish(30)


async def test_a_try_takes_no_longer_than_its_time(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.05)
    receiver.hold.set()
    async with post("127.0.0.1") as sender:
        job_id = sender.ended(webhook=receiver.url)
        await sender.deliver()
        assert sender.told(job_id) == ["no answer within 0.05 s"]


async def test_a_name_that_has_come_to_a_private_address_is_not_called(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []

    def rebound(host: str) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.1"]

    monkeypatch.setattr(webhooks, "_look_up", rebound)
    async with post() as sender:
        job_id = sender.ended(webhook=f"https://rebound.example:{receiver.port}/")
        await sender.deliver()
        assert looked_up == ["rebound.example"]
        (told,) = sender.told(job_id)
        assert "rebound.example is at 127.0.0.1, where no webhook may go" in str(told)


async def test_the_address_that_was_judged_is_the_one_that_is_called(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The system knows no such name: what is called can only be the address that was found here.
    monkeypatch.setattr(webhooks, "_look_up", lambda _host: ["192.168.77.7", "127.0.0.1"])
    async with post("127.0.0.1") as sender:
        job_id = sender.ended(webhook=f"http://hooks.invalid:{receiver.port}/in?a=b")
        await sender.deliver()
        assert sender.told(job_id) == [204]
        assert (receiver.got[0].path, receiver.got[0].headers["host"]) == ("/in?a=b", f"hooks.invalid:{receiver.port}")


async def test_a_name_without_an_address_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_host: str) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(webhooks, "_look_up", unknown)
    async with post() as sender:
        job_id = sender.ended(webhook="https://nowhere.invalid/")
        await sender.deliver()
        (told,) = sender.tries(job_id)
        assert "nowhere.invalid has no address" in told["error"]
        assert told["next_at"]


async def test_a_setting_that_has_changed_since_holds(receiver: Receiver) -> None:
    async with post() as sender:
        job_id = sender.ended(webhook=receiver.url)
        await sender.deliver()
        assert "is no address on the Internet" in str(sender.told(job_id)[0])
        assert receiver.got == []


async def test_an_answer_without_end_is_not_read_to_its_end(receiver: Receiver) -> None:
    receiver.answer = lambda _message: (200, {"content-length": str(10**12)})
    async with post("127.0.0.1") as sender:
        job_id = sender.ended(webhook=receiver.url)
        await sender.deliver()
        # The server cuts what it has promised: an answer was there all the same, or the try is made again.
        assert len(sender.tries(job_id)) == 1


def test_pauses_grow_are_bounded_and_end() -> None:
    assert [pause_s(tries, 0.0) for tries in (1, 2, 3, 4)] == [5, 15, 45, 135]
    assert pause_s(50, 0.0) == 3 * 3600
    assert pause_s(1, 0.0, jitter=1.0) == 6
    assert pause_s(1, 0.0, 60.0) == 60
    assert pause_s(3, 0.0, 1.0) == 45
    assert pause_s(1, FOR_S - 4) is None
    assert pause_s(1, 0.0, FOR_S + 1) is None


@pytest.mark.parametrize(
    ("status", "ms"), [(200, None), (299, None), (410, None), (429, 90_000), (503, 90_000), (500, 5_000)]
)
def test_what_an_answer_means(status: int, ms: int | None) -> None:
    assert next_try_ms(Due("j", 1, 0, 0), Tried(status, None, 1), 90.0, 0.0) == ms


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5.0), ("", None), ("soon", None), ("-1", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("1e9", None)],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after_s(text) == seconds


def test_the_thread_delivers_and_outlives_a_redis_that_is_away(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory()
    monkeypatch.setattr(factory, "async_executor", lambda _url: memory.async_executor)
    monkeypatch.setattr(deliverer, "EVERY_S", 0.01)
    refused: list[object] = []

    def away(command: object) -> None:
        if len(refused) < 2:
            refused.append(command)
            raise StoreUnavailable

    memory.before = away
    thread = Deliverer(settings(webhook_secret=(SECRET,), webhook_allow_private=("127.0.0.1",)))
    thread.start()
    wait_until(lambda: len(refused) == 2)
    on_memory(memory).ended(webhook=receiver.url)
    wait_until(lambda: bool(receiver.got))
    thread.close()


def test_without_a_secret_nothing_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_url: str) -> None:
        raise AssertionError("it has nothing to sign with")

    monkeypatch.setattr(factory, "async_executor", never)
    thread = Deliverer(settings())
    thread.start()
    thread.close()
