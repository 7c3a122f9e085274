"""kombu's Redis transports, whose channels say that they are closed in words that kombu and Celery understand.

When Redis goes away under a running task, Celery closes the connection and then gives the task's message back, or
acknowledges it, on a channel that has none any more. kombu 5.7 answers with an AttributeError, which ends the
worker's event loop: the process stays, and takes no job ever again. As an error of the connection it is what
everyone there expects: the message is delivered again after the visibility timeout, and dropped if its job has ended.
"""

from typing import Any

from kombu.transport import redis


class _ClosedChannelMixin:
    """For the one method that every use of a new connection passes."""

    connection: Any

    def _connparams(self, *args: Any, **kwargs: Any) -> Any:
        if self.connection is None or self.connection.client is None:
            raise ConnectionResetError("this channel is closed")
        return super()._connparams(*args, **kwargs)  # type: ignore[misc]  # of the class that it is mixed into


class _Channel(_ClosedChannelMixin, redis.Channel):
    pass


class _SentinelChannel(_ClosedChannelMixin, redis.SentinelChannel):
    pass


class Transport(redis.Transport):
    """Redis, over TCP, TLS or a socket."""

    Channel = _Channel


class SentinelTransport(redis.SentinelTransport):
    """The master that Sentinels know."""

    Channel = _SentinelChannel
