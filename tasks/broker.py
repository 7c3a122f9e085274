"""The broker as kombu wants it: its form of our addresses, its numbers for our priorities, and its options."""

from typing import Any, Final
from urllib.parse import urlsplit

from celery.app.amqp import AMQP, Queues
from kombu import connection
from kombu.entity import Queue

from progress import keys
from progress.address import Address
from progress.settings import Settings

_REDIS: Final = frozenset({"redis", "rediss", "unix", "redis+socket", "redis+sentinel", "rediss+sentinel"})
RECONNECT_S: Final = 2.0
"""The longest pause between two attempts to reach the broker."""


class Connection(connection.Connection):
    """One that is soon there again: kombu's pauses between attempts grow to 30 s, and Celery does not let us say.

    And one that uses the transport that it is given, also where the address begins with ``redis+socket:``, for which
    kombu takes its own.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]  # kombu has no types
        self.transport_cls = kwargs.get("transport") or self.transport_cls

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        """Connects, however often that takes, with at most RECONNECT_S between two attempts."""
        kwargs = {"interval_max": RECONNECT_S, **kwargs}
        return super().ensure_connection(*args, **kwargs)  # type: ignore[no-untyped-call]  # the same


class LikeQueues(Queues):  # type: ignore[misc]  # the same
    """Queues, where one that only a submission names, or a worker's command line, is like the others."""

    def new_missing(self, name: str) -> Queue:
        """See Celery's, which gives it no arguments: on RabbitMQ, a queue without priorities."""
        known = next(iter(self.values()))
        return Queue(name, routing_key=name, queue_arguments=known.queue_arguments)


class Amqp(AMQP):  # type: ignore[misc]  # Celery has no types
    """What an app uses of kombu."""

    Connection = Connection
    queues_cls = LikeQueues


def is_redis(url: str) -> bool:
    """Whether a broker is reached by kombu's Redis transports."""
    return url.partition(":")[0] in _REDIS


def kombu_url(url: str) -> str:
    """An address of ours as kombu reads it: it has a scheme of its own for sockets, and for Sentinel a list."""
    if url.startswith("unix:"):
        return f"redis+socket:{url.removeprefix('unix:')}".replace("?db=", "?virtual_host=")
    address = Address.parse(url)
    if address.mode != "sentinel":
        return url
    login, at, _ = urlsplit(address.url).netloc.rpartition("@")
    path = urlsplit(address.url).path
    return ";".join(f"sentinel://{login}{at}{host}:{port}{path}" for host, port in address.sentinels)


def transport(url: str) -> str | None:
    """The class that speaks to a broker, by name; None: kombu's own choice."""
    if not is_redis(url):
        return None
    return f"tasks.transport:{'Sentinel' * (Address.parse(url).mode == 'sentinel')}Transport"


def message_priority(broker: str, priority: int) -> int:
    """What the broker calls a priority of ours (0–9, 9 the most urgent).

    kombu's Redis transport serves 0 first, and takes a message without a priority for a 0: so every message has one.
    """
    return 9 - priority if is_redis(broker) else priority


def transport_options(settings: Settings) -> dict[str, Any]:
    """The options of kombu's transport; API and workers must agree on them."""
    if not is_redis(settings.broker):
        return {"confirm_publish": True}
    address = Address.parse(settings.broker)
    return {
        "visibility_timeout": settings.visibility_timeout_s,
        # Renews its messages and scans for others' every 5 s, not every 100 s; a scanner killed meanwhile blocks
        # the next ones for 30 s, not for 5 min.
        "unacked_restore_interval": min(5.0, settings.visibility_timeout_s / 4),
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 30,
        "fanout_prefix": True,
        "fanout_patterns": True,
        "queue_order_strategy": "round_robin",
        "priority_steps": list(range(10)),
        "sep": ":",
        "global_keyprefix": keys.BROKER,
        "socket_keepalive": True,
        **({"master_name": address.master} if address.mode == "sentinel" else {}),
    }
