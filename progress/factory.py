"""From the address of a Redis to what speaks with it: one server, the master that Sentinels know, or a cluster."""

from progress.address import Address, dialer
from progress.cluster import AsyncClusterExecutor, ClusterExecutor
from progress.cluster_listener import ClusterListener
from progress.connect import AsyncRedisExecutor, RedisExecutor
from progress.listener import RedisListener


def executor(url: str, *, retries: int = 1) -> RedisExecutor | ClusterExecutor:
    """Blocking connections, opened as they are needed. Arguments as for RedisExecutor."""
    kind = ClusterExecutor if Address.parse(url).mode == "cluster" else RedisExecutor
    return kind(url, retries=retries)


def async_executor(url: str) -> AsyncRedisExecutor | AsyncClusterExecutor:
    """Connections on the event loop."""
    kind = AsyncClusterExecutor if Address.parse(url).mode == "cluster" else AsyncRedisExecutor
    return kind(url)


def listener(url: str) -> RedisListener | ClusterListener:
    """The pub/sub connection of an API process; to a cluster one for each node that has jobs."""
    address = Address.parse(url)
    return ClusterListener(address) if address.mode == "cluster" else RedisListener(dialer(url))


def ping(url: str) -> None:
    """Asks whether a Redis answers. Raises StoreUnavailable, with what is wrong."""
    client = executor(url, retries=0)
    try:
        client.ping()
    finally:
        client.close()
