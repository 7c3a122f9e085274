"""The queue over Celery, on real brokers: what its messages look like, and how long a broker that is away holds it."""

import base64
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from amqp.exceptions import MessageNacked
from kombu.connection import Connection

from progress import keys
from tasks.app import RUN
from tasks.queue import CeleryQueue, QueueUnavailable
from tests.support.api import settings
from tests.support.machine import Stalls
from tests.support.rabbit_server import RabbitServer
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

PATIENCE_S = 4
"""A submission may not be held longer than this: 2 s, and what a busy machine adds."""
Server = RedisServer | RabbitServer


@contextmanager
def queue_on(url: str) -> Iterator[CeleryQueue]:
    queue = CeleryQueue.from_settings(settings(redis_url="redis://127.0.0.1:9", broker_url=url))
    try:
        yield queue
    finally:
        queue.close()


@pytest.fixture(params=["redis_server", pytest.param("rabbit_server", marks=pytest.mark.integration)])
def server(request: pytest.FixtureRequest) -> Server:
    """A broker of this test session; who breaks it mends it."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def url(server: Server) -> str:
    """Its address, and nothing there."""
    if isinstance(server, RabbitServer):
        return server.new_url()
    server.command("FLUSHALL")
    return server.url


@pytest.fixture
def queue(url: str) -> Iterator[CeleryQueue]:
    with queue_on(url) as queue:
        yield queue


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


@contextmanager
def restarted(server: Server) -> Iterator[None]:
    """Without its broker, which is back afterwards."""
    server.kill()
    try:
        yield
    finally:
        server.start()


def connections(server: Server) -> int:
    """How many clients a broker has."""
    if isinstance(server, RabbitServer):
        return int(server.evaluate("length(rabbit_networking:connections())"))
    found = server.command("INFO", "clients")
    assert isinstance(found, dict)
    return int(found["connected_clients"])


def cut_all(server: Server) -> None:
    """Cuts every connection."""
    if isinstance(server, RabbitServer):
        server.cut_all()
    else:
        server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def message_list(queue: str, step: int) -> str:
    """The list that kombu keeps messages of one priority in; that of the most urgent ones has no number."""
    return f"{keys.BROKER}{queue}:{step}" if step else f"{keys.BROKER}{queue}"


@pytest.mark.parametrize(("priority", "step"), [(9, 0), (5, 4), (0, 9)])
def test_the_most_urgent_messages_are_those_that_redis_serves_first(
    redis_url: str, redis_server: RedisServer, priority: int, step: int
) -> None:
    with queue_on(redis_url) as queue:
        queue.enqueue("the-job", "llm", priority)
        assert redis_server.command("LLEN", message_list("llm", step)) == 1
        assert queue.depth("llm") == 1


@pytest.mark.integration
@pytest.mark.parametrize("name", ["llm", "only-named-by-a-submission"])
def test_rabbitmq_serves_the_most_urgent_messages_first(rabbit_server: RabbitServer, name: str) -> None:
    url = rabbit_server.new_url()
    with queue_on(url) as queue, Connection(url) as connection:
        for priority in (0, 5, 9, 5):
            queue.enqueue(f"job-{priority}", name, priority)
        served = [taken(connection, name) for _ in range(4)]
        assert [args[0] for _, args in served] == ["job-9", "job-5", "job-5", "job-0"]
        assert {properties["delivery_mode"] for properties, _ in served} == {2}
        assert {properties["application_headers"]["task"] for properties, _ in served} == {RUN}


def taken(connection: Connection, queue: str) -> tuple[dict[str, Any], list[Any]]:
    """The next message: its properties, and the task's arguments."""
    message = connection.default_channel.basic_get(queue, no_ack=True)
    args, _, _ = json.loads(message.body)
    return message.properties, args


def test_a_message_names_the_task_and_carries_the_id_alone(redis_url: str, redis_server: RedisServer) -> None:
    with queue_on(redis_url) as queue:
        queue.enqueue("the-job", "llm", 5)
    message = json.loads(str(redis_server.command("LINDEX", message_list("llm", 4), 0)))
    args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
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


def test_threads_share_one_connection(queue: CeleryQueue, server: Server) -> None:
    queue.enqueue("before", "llm", 5)
    assert queue.depth("llm") == 1
    connected = connections(server)
    threads = [threading.Thread(target=queue.enqueue, args=(f"job-{n}", "llm", 5)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue.depth("llm") == 9
    assert connections(server) == connected


def test_it_knows_the_kinds_and_their_queues(queue: CeleryQueue) -> None:
    assert "generate" in queue.kinds
    assert {"default", "llm"} <= set(queue.queues)


@pytest.mark.slow
def test_a_broker_that_is_away_is_told_soon_and_found_again(queue: CeleryQueue, server: Server, stalls: Stalls) -> None:
    queue.enqueue("first", "llm", 5)
    with restarted(server):
        started = time.monotonic()
        for call in (lambda: queue.enqueue("second", "llm", 5), lambda: queue.depth("llm")):
            with pytest.raises(QueueUnavailable):
                call()
        assert time.monotonic() - started < PATIENCE_S + stalls.since(started)
    # Its old connection is dead, which the first call finds out by itself.
    queue.enqueue("third", "llm", 5)
    assert queue.depth("llm") >= 1


def test_a_connection_that_died_meanwhile_costs_no_message(queue: CeleryQueue, server: Server) -> None:
    queue.enqueue("first", "llm", 5)
    cut_all(server)
    queue.enqueue("second", "llm", 5)
    assert queue.depth("llm") == 2


@pytest.mark.slow
def test_a_broker_that_hangs_is_told_soon_and_found_again(url: str, server: Server, stalls: Stalls) -> None:
    with queue_on(url) as queue, queue_on(url) as unused, queue_on(url) as asking:
        queue.enqueue("first", "llm", 5)
        assert asking.depth("llm") == 1
        started = time.monotonic()
        with frozen(server), ThreadPoolExecutor() as pool:
            calls = [lambda: queue.enqueue("second", "llm", 5), lambda: unused.enqueue("second", "llm", 5)]
            waits = list(pool.map(_seconds_to_refusal, [*calls, lambda: asking.depth("llm")]))
        assert max(waits) < PATIENCE_S + stalls.since(started)
        queue.enqueue("third", "llm", 5)
        assert queue.depth("llm") >= 2


def _seconds_to_refusal(call: Callable[[], object]) -> float:
    started = time.monotonic()
    with pytest.raises(QueueUnavailable):
        call()
    return time.monotonic() - started


@pytest.mark.integration
def test_a_broker_that_refuses_the_password_is_unavailable(rabbit_server: RabbitServer) -> None:
    with RedisServer(password="right") as server:
        for url in (server.url.replace("right", "wrong"), rabbit_server.url.replace(":guest", ":wrong")):
            with queue_on(url) as queue, pytest.raises(QueueUnavailable, match=r"(?i)password|auth|access_refused"):
                queue.enqueue("the-job", "llm", 5)


@pytest.mark.integration
def test_a_rabbitmq_without_room_says_so_at_once_and_keeps_no_dead_connections(
    rabbit_server: RabbitServer, stalls: Stalls
) -> None:
    with queue_on(rabbit_server.new_url()) as queue:
        assert enqueued(queue, "first")
        assert queue.depth("llm") == 1
        connected = connections(rabbit_server)
        rabbit_server.has_room(False)
        try:
            wait_until(lambda: not enqueued(queue, "first"))
            before, started = queue.depth("llm"), time.monotonic()
            for _ in range(5):
                with pytest.raises(QueueUnavailable, match="memory"):
                    queue.enqueue("second", "llm", 5)
            assert time.monotonic() - started < 2 * PATIENCE_S + stalls.since(started), "each has waited"
            assert queue.depth("llm") == before
            assert connections(rabbit_server) == connected
            rabbit_server.cut_all()
            wait_until(lambda: not enqueued(queue, "third"))
        finally:
            rabbit_server.has_room(True)
        wait_until(lambda: enqueued(queue, "last"))
        # Those that were on their way when there was no room have arrived after all.
        assert before < queue.depth("llm") < before + 5


def enqueued(queue: CeleryQueue, job_id: str) -> bool:
    """Whether a message could be sent."""
    with suppress(QueueUnavailable):
        queue.enqueue(job_id, "llm", 5)
        return True
    return False


@pytest.mark.integration
def test_a_message_that_rabbitmq_refuses_is_not_taken_for_sent(rabbit_server: RabbitServer) -> None:
    url = rabbit_server.new_url()
    limit = '[{<<"max-length">>, 1}, {<<"overflow">>, <<"reject-publish">>}]'
    where = f'<<"{url.rpartition("/")[2]}">>, <<"small">>, <<".*">>, {limit}, 0, <<"queues">>'
    rabbit_server.evaluate(f'rabbit_policy:set({where}, <<"tests">>)')
    with queue_on(url) as queue:
        queue.enqueue("first", "llm", 5)
        with pytest.raises(QueueUnavailable, match=MessageNacked.__name__):
            queue.enqueue("second", "llm", 5)
        assert queue.depth("llm") == 1


def test_a_closed_queue_opens_again_when_it_is_used(queue: CeleryQueue) -> None:
    queue.enqueue("first", "llm", 5)
    queue.close()
    queue.close()
    assert queue.depth("llm") == 1
