"""The queue over Celery, on a real Redis: what its messages look like, and how long a broker that is away holds it."""

import base64
import json
import signal
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from progress import keys
from tasks.app import RUN, make_app
from tasks.queue import CeleryQueue, QueueUnavailable
from tests.support.api import settings
from tests.support.redis_server import RedisServer

PATIENCE_S = 2.5
"""A submission may not be held longer than this."""


@contextmanager
def queue_on(url: str) -> Iterator[CeleryQueue]:
    queue = CeleryQueue.from_settings(settings(redis_url=url))
    try:
        yield queue
    finally:
        queue.close()


@pytest.fixture
def queue(redis_url: str) -> Iterator[CeleryQueue]:
    with queue_on(redis_url) as queue:
        yield queue


@contextmanager
def frozen(server: RedisServer) -> Iterator[None]:
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


def message_list(queue: str, step: int) -> str:
    """The list that kombu keeps messages of one priority in; that of the most urgent ones has no number."""
    return f"{keys.BROKER}{queue}:{step}" if step else f"{keys.BROKER}{queue}"


@pytest.mark.parametrize(("priority", "step"), [(9, 0), (5, 4), (0, 9)])
def test_the_most_urgent_messages_are_those_that_redis_serves_first(
    queue: CeleryQueue, redis_server: RedisServer, priority: int, step: int
) -> None:
    queue.enqueue("the-job", "llm", priority)
    assert redis_server.command("LLEN", message_list("llm", step)) == 1
    assert queue.depth("llm") == 1


def test_a_message_names_the_task_and_carries_the_id_alone(queue: CeleryQueue, redis_server: RedisServer) -> None:
    queue.enqueue("the-job", "llm", 5)
    message = json.loads(str(redis_server.command("LINDEX", message_list("llm", 4), 0)))
    args, kwargs, _ = json.loads(zlib.decompress(base64.b64decode(message["body"])))
    assert message["headers"]["task"] == RUN
    assert (args, kwargs) == (["the-job"], {})
    assert message["properties"]["delivery_mode"] == 2
    assert message["headers"]["ignore_result"] is True


def test_a_queue_that_nobody_has_used_is_empty(queue: CeleryQueue) -> None:
    assert queue.depth("never-used") == 0
    queue.enqueue("the-job", "llm", 5)
    assert (queue.depth("never-used"), queue.depth("llm")) == (0, 1)


def test_all_priorities_count_for_the_depth(queue: CeleryQueue) -> None:
    for priority in (0, 5, 5, 9):
        queue.enqueue("the-job", "cpu", priority)
    assert queue.depth("cpu") == 4


def test_threads_share_one_connection(queue: CeleryQueue, redis_server: RedisServer) -> None:
    queue.enqueue("before", "llm", 5)
    connected = redis_server.command("INFO", "clients")
    threads = [threading.Thread(target=queue.enqueue, args=(f"job-{n}", "llm", 5)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue.depth("llm") == 9
    after = redis_server.command("INFO", "clients")
    assert isinstance(connected, dict)
    assert isinstance(after, dict)
    assert after["connected_clients"] == connected["connected_clients"]


def test_it_knows_the_kinds_and_their_queues(queue: CeleryQueue) -> None:
    assert "generate" in queue.kinds
    assert {"default", "llm"} <= set(queue.queues)


def test_a_broker_that_is_away_is_told_soon_and_found_again() -> None:
    with RedisServer() as server, queue_on(server.url) as queue:
        queue.enqueue("first", "llm", 5)
        server.kill()
        started = time.monotonic()
        for call in (lambda: queue.enqueue("second", "llm", 5), lambda: queue.depth("llm")):
            with pytest.raises(QueueUnavailable):
                call()
        assert time.monotonic() - started < PATIENCE_S
        server.start()
        # Its old connection is dead, which the first call finds out by itself.
        queue.enqueue("third", "llm", 5)
        assert queue.depth("llm") == 1


def test_a_connection_that_died_meanwhile_costs_no_message() -> None:
    with RedisServer() as server, queue_on(server.url) as queue:
        queue.enqueue("first", "llm", 5)
        server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        queue.enqueue("second", "llm", 5)
        assert queue.depth("llm") == 2


@pytest.mark.slow
def test_a_broker_that_hangs_is_told_soon_and_found_again() -> None:
    with RedisServer() as server, queue_on(server.url) as queue, queue_on(server.url) as unused:
        queue.enqueue("first", "llm", 5)
        with frozen(server), ThreadPoolExecutor() as pool:
            waits = list(pool.map(_seconds_to_refusal, (queue, unused)))
        assert max(waits) < PATIENCE_S
        queue.enqueue("third", "llm", 5)
        assert queue.depth("llm") >= 2


def _seconds_to_refusal(queue: CeleryQueue) -> float:
    started = time.monotonic()
    with pytest.raises(QueueUnavailable):
        queue.enqueue("second", "llm", 5)
    return time.monotonic() - started


def test_a_broker_that_refuses_the_password_is_unavailable() -> None:
    refused = pytest.raises(QueueUnavailable, match=r"(?i)password|auth")
    with RedisServer(password="right") as server, queue_on(server.url.replace("right", "wrong")) as queue, refused:
        queue.enqueue("the-job", "llm", 5)


def test_a_broker_that_is_no_redis_is_asked_without_declaring_anything() -> None:
    unvalidated = settings().model_copy(update={"broker_url": "memory://"})
    queue = CeleryQueue(make_app(unvalidated), unvalidated)
    assert queue.depth("unknown-there") == 0
    queue.enqueue("the-job", "llm", 5)
    assert queue.depth("llm") == 1
    queue.close()


def test_a_closed_queue_opens_again_when_it_is_used(queue: CeleryQueue) -> None:
    queue.enqueue("first", "llm", 5)
    queue.close()
    queue.close()
    assert queue.depth("llm") == 1
