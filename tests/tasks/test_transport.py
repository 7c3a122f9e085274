"""A channel that Celery still holds when its connection is gone."""

import pytest
from kombu.connection import Connection

from tasks.broker import kombu_url, transport

pytestmark = pytest.mark.integration


def test_a_closed_channel_is_an_error_of_its_connection(redis_url: str) -> None:
    with Connection(kombu_url(redis_url), transport=transport(redis_url)) as connection:
        expected = connection.connection_errors
        channel = connection.default_channel
        queue = channel.queue_declare("any")
        assert queue.message_count == 0
        connection.collect()
        with pytest.raises(expected, match="closed"):
            channel.queue_purge("any")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://h:1/0", "tasks.transport:Transport"),
        ("unix:///tmp/redis.sock", "tasks.transport:Transport"),
        ("redis+sentinel://h:1,h:2/main/0", "tasks.transport:SentinelTransport"),
        ("amqp://h", None),
    ],
)
def test_every_redis_is_reached_by_a_transport_of_ours(url: str, name: str | None) -> None:
    assert transport(url) == name
