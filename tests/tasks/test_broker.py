"""The broker as kombu wants it, tried on the servers that it stands for."""

from pathlib import Path

import pytest

from tasks.app import make_app
from tasks.broker import is_redis, kombu_url, message_priority, transport_options
from tasks.queue import CeleryQueue, QueueUnavailable
from tests.support.api import settings
from tests.support.rabbit_server import RabbitServer
from tests.support.raw_server import CERTIFICATE
from tests.support.redis_server import RedisServer

AMQP = "amqp://localhost"
REDIS = "redis://localhost:6379/0"


@pytest.mark.parametrize(
    ("url", "redis"),
    [
        (REDIS, True),
        ("rediss://h", True),
        ("redis+sentinel://h", True),
        ("unix:///tmp/r.sock", True),
        (AMQP, False),
        ("amqps://h", False),
    ],
)
def test_it_tells_redis_from_other_brokers(url: str, redis: bool) -> None:
    assert is_redis(url) is redis


def test_nine_is_the_most_urgent_whatever_the_broker_calls_it() -> None:
    assert [message_priority(REDIS, priority) for priority in (9, 5, 0)] == [0, 4, 9]
    assert [message_priority(AMQP, priority) for priority in (9, 5, 0)] == [9, 5, 0]


def test_addresses_that_kombu_spells_otherwise() -> None:
    assert kombu_url(REDIS) == REDIS
    assert kombu_url(AMQP) == AMQP
    assert kombu_url("unix://:pw@/run/r.sock?db=3") == "redis+socket://:pw@/run/r.sock?virtual_host=3"
    url = "redis+sentinel://:pw@one:1,two/4?master=jobs"
    assert kombu_url(url) == "sentinel://:pw@one:1/4;sentinel://:pw@two:26379/4"
    assert transport_options(settings(broker_url=url))["master_name"] == "jobs"
    assert "master_name" not in transport_options(settings(broker_url=REDIS))


@pytest.mark.parametrize("url", [AMQP, REDIS])
def test_a_queue_that_only_a_submission_names_is_like_the_others(url: str) -> None:
    queues = make_app(settings(broker_url=url)).amqp.queues
    known, new = queues["default"], queues["only-named-by-a-submission"]
    assert new.name == new.routing_key == "only-named-by-a-submission"
    assert (new.queue_arguments, new.exchange) == (known.queue_arguments, known.exchange)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (REDIS, "Transport"),
        ("unix:///run/r.sock?db=3", "Transport"),
        ("redis+sentinel://one:1,two/4?master=jobs", "SentinelTransport"),
    ],
)
def test_every_address_of_a_redis_is_reached_by_our_transport(url: str, name: str) -> None:
    connection = make_app(settings(redis_url="redis://127.0.0.1:9", broker_url=url)).connection_for_write()
    for made in (connection, connection.clone()):
        assert (type(made.transport).__module__, type(made.transport).__name__) == ("tasks.transport", name)


def enqueue_and_count(url: str) -> int:
    """Sends a message through a broker and asks it how many wait."""
    made = settings(broker_url=url)
    queue = CeleryQueue(make_app(made), made)
    try:
        queue.enqueue("job", "llm", 5)
        return queue.depth("llm")
    finally:
        queue.close()


def test_a_message_through_a_socket(redis_server: RedisServer) -> None:
    redis_server.command("FLUSHALL")
    assert enqueue_and_count(redis_server.unix_url) == 1


def test_a_message_through_the_master_that_sentinels_know(tmp_path: Path) -> None:
    config = tmp_path / "sentinel.conf"
    with RedisServer() as master:
        config.write_text(f"sentinel monitor jobs 127.0.0.1 {master.port} 1\n")
        with RedisServer("--sentinel", config=config) as sentinel:
            assert enqueue_and_count(f"redis+sentinel://127.0.0.1:{sentinel.port}/0?master=jobs") == 1


@pytest.mark.integration
def test_a_message_over_tls_to_a_rabbitmq_whose_certificate_is_known(
    rabbit_server: RabbitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(QueueUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        enqueue_and_count(rabbit_server.tls_url)
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    assert enqueue_and_count(rabbit_server.tls_url) >= 1
