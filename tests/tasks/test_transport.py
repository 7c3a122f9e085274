"""What channels of ours do that kombu's do not: renew messages, leave them for later, and say that they are closed."""

from collections.abc import Iterator
from queue import Empty
from typing import Any

import pytest
import redis
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.message import Message
from kombu.messaging import Consumer, Producer

from progress import keys
from tasks.broker import kombu_url, transport, transport_options
from tasks.transport import AFTER_TIMEOUT
from tests.support.api import settings
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

INDEX = f"{keys.BROKER}unacked_index"
TIMEOUT_S = 60
LONG_AGO = 1
"""A time at which no timeout could have begun."""


class Post:
    """A broker, and a worker's connection to it with the messages that it was given."""

    def __init__(self, server: RedisServer, **fields: Any) -> None:
        self.server = server
        made = settings(redis_url=server.url, broker_url=server.url, visibility_timeout_s=TIMEOUT_S, **fields)
        self.connection = Connection(
            kombu_url(made.broker), transport=transport(made.broker), transport_options=transport_options(made)
        )
        self.queue = Queue("q", routing_key="q")
        self.taken: list[Message] = []
        self.channel = self.connection.channel()
        consumer = Consumer(self.channel, [self.queue], on_message=self.taken.append)
        consumer.qos(prefetch_count=1)
        consumer.consume()

    @property
    def qos(self) -> Any:
        return self.channel.qos

    def take(self) -> Message:
        """Sends a message and gets it."""
        with self.connection.clone() as other:
            Producer(other).publish({}, routing_key="q", declare=[self.queue], priority=0)
        return self.receive(1)

    def receive(self, count: int) -> Message:
        """Returns the newest message once so many have come."""
        while len(self.taken) < count:
            self.connection.drain_events(timeout=30)
        return self.taken[-1]

    def begun(self, message: Message) -> float | None:
        """When the timeout of a message began; None where it is acknowledged, or in its queue."""
        score = self.server.command("ZSCORE", INDEX, message.delivery_tag)
        return None if score is None else float(str(score))

    def age(self, message: Message, began: int = LONG_AGO) -> None:
        """Moves that back."""
        self.server.command("ZADD", INDEX, began, message.delivery_tag)

    def look(self) -> None:
        """What the event loop does every few seconds."""
        self.qos.restore_visible(num=None, interval=1)

    def waiting(self) -> int:
        """Messages that nobody has."""
        return int(str(self.server.command("LLEN", f"{keys.BROKER}q")))


@pytest.fixture
def post(redis_server: RedisServer) -> Iterator[Post]:
    redis_server.command("FLUSHALL")
    post = Post(redis_server)
    yield post
    post.connection.release()


def test_messages_are_renewed_while_somebody_has_them(post: Post) -> None:
    message = post.take()
    before = post.begun(message)
    assert before is not None
    post.age(message)
    post.look()
    after = post.begun(message)
    assert after is not None
    assert after >= before
    assert post.waiting() == 0


def test_those_of_others_come_again_when_their_timeout_is_over(post: Post) -> None:
    message = post.take()
    post.qos._delivered.clear()  # as of a worker that is no more
    post.age(message)
    post.look()
    assert post.begun(message) is None
    assert post.waiting() == 1


def test_an_acknowledged_message_is_not_renewed(post: Post) -> None:
    message = post.take()
    message.ack()
    assert message.delivery_tag in post.qos._delivered, "kombu forgets it later"
    post.look()
    assert post.begun(message) is None


def test_one_that_was_given_to_somebody_else_is_not_taken_back(post: Post) -> None:
    message = post.take()
    post.server.command("ZREM", INDEX, message.delivery_tag)
    post.look()
    assert post.begun(message) is None


def test_a_message_that_is_left_comes_again_after_the_timeout(post: Post) -> None:
    message = post.take()
    post.age(message)
    message.reject(requeue=AFTER_TIMEOUT)
    began = post.begun(message)
    assert began is not None
    assert began > LONG_AGO
    assert post.waiting() == 0
    assert post.qos.can_consume(), "another one may be taken meanwhile"
    post.age(message)
    post.look()
    assert post.receive(2).properties["delivery_tag"] == message.delivery_tag
    assert post.taken[1].payload == message.payload


def test_a_message_that_is_left_is_not_renewed(post: Post) -> None:
    message = post.take()
    message.reject(requeue=AFTER_TIMEOUT)
    post.age(message)
    post.look()
    assert post.begun(message) is None
    assert post.waiting() == 1


def test_a_message_that_is_given_back_comes_at_once(post: Post) -> None:
    message = post.take()
    message.reject(requeue=True)
    assert post.waiting() == 1
    assert post.receive(2).delivery_tag == message.delivery_tag


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


def test_a_read_without_an_answer_waits_for_none(post: Post) -> None:
    """The event loop reads when it is told that it can: of a socket that is another one by now, for instance."""
    post.connection.transport.cycle.on_poll_start()
    with pytest.raises(Empty):
        post.channel._brpop_read()
    message = post.take()
    with pytest.raises(Empty):
        post.channel._brpop_read()  # It may have no more, and has asked for none.
    message.ack()
    post.taken.clear()
    assert post.take().delivery_tag != message.delivery_tag


def test_a_connection_that_nobody_waits_on_is_let_go_when_it_is_closed(post: Post) -> None:
    message = post.take()
    connection = post.channel.client.connection
    post.server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait_until(lambda: is_closed(connection))
    with pytest.raises(Empty):
        post.channel._brpop_read()
    assert connection._sock is None
    message.ack()
    post.taken.clear()
    assert post.take().delivery_tag != message.delivery_tag


def is_closed(connection: Any) -> bool:
    """Whether the server has closed it."""
    try:
        connection.can_read(timeout=0)
    except redis.ConnectionError:
        return True
    return False
