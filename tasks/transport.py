"""kombu's Redis transports, with what they lack for long jobs.

A message that is not acknowledged stands in kombu's index of such messages, and is delivered again after the
visibility timeout: also to a worker that has had it all the time, if its job is longer than that. So each worker renews
the messages that it has. Those of a machine that vanishes come back a timeout after they were last renewed, early or
late in a job.

A message whose job another attempt holds is no use now, but may be the last one that the job has. It is left in the
index (`AFTER_TIMEOUT`), and comes again to see whether the job has ended.

When Redis goes away under a running task, Celery closes the connection and then gives the task's message back, or
acknowledges it, on a channel that has none any more. kombu 5.7 answers with an AttributeError, which ends the
worker's event loop: the process stays, and takes no job ever again. As an error of the connection it is what
everyone there expects: the message is delivered again after the visibility timeout, and dropped if its job has ended.

A message can also be caught on its way into its list, and messages that are ready be pushed into theirs: see
`tasks/template.py`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from queue import Empty
from typing import Any, Final

from kombu.transport import redis, virtual

AFTER_TIMEOUT: Final = "after the visibility timeout"
"""What to say as ``requeue`` where a message is rejected that is to come again only then."""


class _QoS(redis.QoS):
    """What a channel knows of the messages that it has delivered. Used by one thread, that of the event loop.

    Their tags are in ``_delivered``; those that are done with are in ``_dirty``, too, until kombu removes both.
    """

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Looks for messages whose timeout is over: every ``unacked_restore_interval`` seconds."""
        self._renew(*(tag for tag in self._delivered if tag not in self._dirty))
        super().restore_visible(*args, **kwargs)  # type: ignore[no-untyped-call]  # kombu has no types

    def reject(self, delivery_tag: str, requeue: bool | str = False) -> None:
        """Gives a message back, at once or AFTER_TIMEOUT, or drops it."""
        if requeue != AFTER_TIMEOUT:
            super().reject(delivery_tag, requeue=requeue)  # type: ignore[no-untyped-call]  # the same
            return
        self._renew(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def _renew(self, *tags: str) -> None:
        if not tags:
            return
        with self.channel.conn_or_acquire() as client:
            # Only those that still stand there: others have been acknowledged, or given to someone else.
            client.zadd(self.unacked_index_key, dict.fromkeys(tags, time.time()), xx=True)


class _ClosedChannelMixin:
    """For the one method that every use of a new connection passes."""

    connection: Any

    def _connparams(self, *args: Any, **kwargs: Any) -> Any:
        if self.connection is None or self.connection.client is None:
            raise ConnectionResetError("this channel is closed")
        return super()._connparams(*args, **kwargs)  # type: ignore[misc]  # of the class that it is mixed into


class _AnsweredMixin:
    """For the one read that the event loop waits in without an end.

    It is told that a socket can be read. Where that is another one (which was closed meanwhile, or whose number was
    given to a new one), or where nothing was asked for, no answer is to come. kombu's read would wait for it for
    ever, and the worker take no job any more, while its other threads say that it lives.
    """

    client: Any
    connection_errors: Any
    _in_poll: Any

    def _brpop_read(self, **options: Any) -> Any:
        connection = self.client.connection
        try:
            can_read = connection.can_read(timeout=0)
        except self.connection_errors:
            # Closed: read below where somebody waits for an answer, so that all is begun anew.
            can_read = True
        if can_read and not self._in_poll:
            connection.disconnect()
        if not (can_read and self._in_poll):
            raise Empty
        return super()._brpop_read(**options)  # type: ignore[misc]  # of the class that it is mixed into


class _ReadyMadeMixin:
    """For messages that kombu makes but does not put where they belong, or the other way round."""

    _q_for_pri: Any
    _get_message_priority: Any
    _create_client: Any
    _caught: list[tuple[str, dict[str, Any]]] | None = None

    def catch(self, publish: Callable[[], object]) -> tuple[str, dict[str, Any]]:
        """The list that what is published belongs into, and the message; it is not put there."""
        caught: list[tuple[str, dict[str, Any]]] = []
        self._caught = caught
        try:
            publish()
        finally:
            self._caught = None
        return caught[0]

    def push(self, lists: Mapping[str, Sequence[str]]) -> None:
        """Puts messages into their lists, as kombu would, but those of one list together."""
        for key, messages in lists.items():
            self._pusher.lpush(key, *messages)

    @cached_property
    def _pusher(self) -> Any:
        return self._create_client()

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        if self._caught is None:
            super()._put(queue, message, **kwargs)  # type: ignore[misc]  # of the class that it is mixed into
        else:
            self._caught.append((self._q_for_pri(queue, self._get_message_priority(message)), message))


class _Channel(_ClosedChannelMixin, _AnsweredMixin, _ReadyMadeMixin, redis.Channel):
    QoS = _QoS


class _SentinelChannel(_ClosedChannelMixin, _AnsweredMixin, _ReadyMadeMixin, redis.SentinelChannel):
    QoS = _QoS


class Transport(redis.Transport):
    """Redis, over TCP, TLS or a socket."""

    Channel = _Channel


class SentinelTransport(redis.SentinelTransport):
    """The master that Sentinels know."""

    Channel = _SentinelChannel
