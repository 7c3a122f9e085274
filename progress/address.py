"""Where a Redis is: how its address is read, and how the one pub/sub connection gets there."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from redis.asyncio.connection import parse_url
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import AskError, ClusterDownError, RedisError, TryAgainError

from progress.errors import Elsewhere, StoreUnavailable

TIMEOUT_S: Final = 1.5
"""How long one operation may take. A submission answers within 2 s also when Redis hangs."""
SENTINEL_PORT: Final = 26379
PORT: Final = 6379
Place = tuple[str, int]
"""Host and port."""

Dial = Callable[[Callable[[], asyncio.Protocol]], Awaitable[list[tuple[str, ...]]]]
"""Connects a protocol to the server and tells the commands to send first (AUTH)."""


@dataclass(frozen=True)
class Address:
    """One server, the master that Sentinels know by a name, or a cluster. ``url`` is what redis-py reads.

    ``nodes`` are those of a cluster that are known from the start, one or more; ``url`` is that of the first.
    """

    url: str
    mode: str = ""
    sentinels: tuple[Place, ...] = ()
    master: str = ""
    nodes: tuple[Place, ...] = ()

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Reads ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://HOST:PORT,HOST:PORT/DB?master=NAME`` and
        ``redis+cluster://HOST:PORT,HOST:PORT`` (any nodes)."""
        scheme, plus, rest = url.partition("+")
        mode, _, place = rest.partition("://")
        if not plus or mode not in ("sentinel", "cluster"):
            return cls(url)
        plain = f"{scheme}://{place}"
        return cls._parse_cluster(plain) if mode == "cluster" else cls._parse_sentinel(plain)

    @classmethod
    def _parse_cluster(cls, url: str) -> "Address":
        parts = urlsplit(url)
        nodes = tuple(_host_and_port(host, PORT) for host in parts.netloc.rpartition("@")[2].split(","))
        return cls(url, "cluster", nodes=nodes).at(nodes[0])

    def at(self, place: Place) -> "Address":
        """The same for one node of a cluster."""
        parts = urlsplit(self.url)
        login, at, _ = parts.netloc.rpartition("@")
        host = f"[{place[0]}]" if ":" in place[0] else place[0]
        return replace(self, url=urlunsplit(parts._replace(netloc=f"{login}{at}{host}:{place[1]}")))

    @classmethod
    def _parse_sentinel(cls, url: str) -> "Address":
        parts = urlsplit(url)
        login, at, hosts = parts.netloc.rpartition("@")
        query = dict(parse_qsl(parts.query))
        master = query.pop("master", "mymaster")
        sentinels = tuple(_host_and_port(host, SENTINEL_PORT) for host in hosts.split(","))
        plain = parts._replace(netloc=f"{login}{at}{master}", query=urlencode(query))
        return cls(urlunsplit(plain), "sentinel", sentinels, master)

    @property
    def options(self) -> dict[str, Any]:
        """What the address says beside the place: login, database, TLS."""
        options = dict(parse_url(self.url))
        for name in ("host", "port", "connection_class"):
            options.pop(name, None)
        return options

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.url.startswith("rediss:")


def _host_and_port(text: str, port: int) -> Place:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "127.0.0.1", parts.port or port


def dialer(url: str) -> Dial:
    """How a Listener reaches the server that publishes: for Sentinel, the master of the moment.

    Raises:
        ValueError: the address cannot be read.
    """
    address = Address.parse(url)
    options = dict(parse_url(address.url))
    login = filter(None, (options.get("username"), options.get("password")))
    greeting = [("AUTH", *map(str, login))] if options.get("password") else []

    async def dial(factory: Callable[[], asyncio.Protocol]) -> list[tuple[str, ...]]:
        loop = asyncio.get_running_loop()
        if "path" in options:
            await loop.create_unix_connection(factory, str(options["path"]))
        else:
            host, port = await _place(address, options)
            await loop.create_connection(factory, host, port, ssl=_tls(options) if address.tls else None)
        return greeting

    return dial


async def _place(address: Address, options: Mapping[str, Any]) -> Place:
    if address.mode != "sentinel":
        return options.get("host", "127.0.0.1"), options.get("port", 6379)
    watch = Sentinel(address.sentinels, socket_timeout=TIMEOUT_S)
    try:
        host, port = await watch.discover_master(address.master)
    except RedisError as error:
        raise unavailable(error) from error
    finally:
        for client in watch.sentinels:
            await client.aclose()
    return host, int(port)


def _tls(options: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path"))
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"), options.get("ssl_password"))
    checked = options.get("ssl_cert_reqs", "required") != "none"
    context.check_hostname = checked and options.get("ssl_check_hostname", True)
    if not checked:
        context.verify_mode = ssl.CERT_NONE
    return context


def unavailable(error: BaseException) -> StoreUnavailable:
    """What a failure of Redis means to everyone above: it cannot be used just now, or this node of it cannot."""
    kind = Elsewhere if isinstance(error, AskError | TryAgainError | ClusterDownError) else StoreUnavailable
    return kind(str(error) or type(error).__name__)
