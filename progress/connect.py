"""The only place that opens connections to Redis: executors of commands, one blocking, one for asyncio."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit, urlunsplit

import redis
import redis.asyncio
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from progress import keys
from progress.commands import Command, script
from progress.errors import StoreUnavailable
from progress.listener import Dial

R = TypeVar("R")
TIMEOUT_S: Final = 1.5
"""How long one operation may take. A submission answers within 2 s also when Redis hangs."""
POOL: Final = 32


class Executor(Protocol):
    """Runs commands and waits for them; safe to use from several threads."""

    def run(self, command: Command[R]) -> R:
        """Runs one command. Raises StoreUnavailable."""

    def run_many(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Runs commands in one round trip, in order; an error of one stands in its place."""


class AsyncExecutor(Protocol):
    """Runs commands on the event loop."""

    async def run(self, command: Command[R]) -> R:
        """Runs one command. Raises StoreUnavailable."""

    async def close(self) -> None:
        """Closes every connection."""


@dataclass(frozen=True)
class Address:
    """Where a Redis is: one server, the master that Sentinels know by a name, or a cluster."""

    url: str
    mode: str
    sentinels: tuple[tuple[str, int], ...] = ()
    master: str = ""

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Reads ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://HOST:PORT,HOST:PORT/DB?master=NAME`` and
        ``redis+cluster://``."""
        parts = urlsplit(url)
        scheme, _, mode = parts.scheme.partition("+")
        plain = urlunsplit(parts._replace(scheme=scheme))
        if mode != "sentinel":
            return cls(plain, mode)
        login, _, hosts = parts.netloc.rpartition("@")
        pairs = [host.rpartition(":") for host in hosts.split(",")]
        sentinels = tuple((name or port, int(port) if name else 26379) for name, _, port in pairs)
        master = parse_qs(parts.query).get("master", ["mymaster"])[0]
        netloc = f"{login}@{master}" if login else master
        return cls(urlunsplit((scheme, netloc, parts.path, "", "")), mode, sentinels, master)


class RedisExecutor:
    """Commands over blocking connections, for workers.

    Args:
        url: see ``Address.parse``.
        retries: how often a command is sent again at once over a new connection. Every command may be: a write is
            numbered, or finds what it has already done.
    """

    def __init__(self, url: str, *, retries: int = 1) -> None:
        self._retry = Retry(NoBackoff(), retries)
        self._redis: Any = self._open(Address.parse(url))

    def _open(self, address: Address) -> Any:
        options: dict[str, Any] = {
            "socket_timeout": TIMEOUT_S,
            "socket_connect_timeout": TIMEOUT_S,
            "socket_keepalive": True,
            "retry": self._retry,
        }
        if address.mode == "cluster":
            return redis.RedisCluster.from_url(address.url, **options)
        if address.mode == "sentinel":
            watch = redis.sentinel.Sentinel(address.sentinels, socket_timeout=TIMEOUT_S)
            return watch.master_for(address.master, **_login(address.url), **options)
        pool = redis.BlockingConnectionPool.from_url(address.url, max_connections=POOL, timeout=TIMEOUT_S, **options)
        return redis.Redis.from_pool(pool)

    def run(self, command: Command[R]) -> R:
        """Runs one command. Raises StoreUnavailable."""
        code = script(command.script)
        key = keys.PREFIX
        try:
            try:
                reply = self._redis.evalsha(code.sha, 1, key, *command.args())
            except NoScriptError:
                reply = self._redis.eval(code.text, 1, key, *command.args())
        except (RedisError, OSError) as error:
            raise unavailable(error) from error
        return command.parse(reply)

    def run_many(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Runs commands in one round trip, in order; a StoreUnavailable stands in the place of one that failed."""
        if len(commands) == 1:
            return [self._caught(commands[0])]
        pipe = self._redis.pipeline(transaction=False)
        for command in commands:
            pipe.evalsha(script(command.script).sha, 1, keys.PREFIX, *command.args())
        try:
            replies = pipe.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            return [unavailable(error)] * len(commands)
        return [self._settle(command, reply) for command, reply in zip(commands, replies, strict=True)]

    def _settle(self, command: Command[R], reply: Any) -> R | StoreUnavailable:
        if isinstance(reply, NoScriptError):
            return self._caught(command)
        return unavailable(reply) if isinstance(reply, Exception) else command.parse(reply)

    def _caught(self, command: Command[R]) -> R | StoreUnavailable:
        try:
            return self.run(command)
        except StoreUnavailable as error:
            return error

    def close(self) -> None:
        """Closes every connection."""
        self._redis.close()


class AsyncRedisExecutor:
    """Commands over asyncio connections, for the API. Arguments as for RedisExecutor."""

    def __init__(self, url: str, *, retries: int = 1) -> None:
        self._retry = AsyncRetry(NoBackoff(), retries)
        self._redis: Any = self._open(Address.parse(url))

    def _open(self, address: Address) -> Any:
        options: dict[str, Any] = {
            "socket_timeout": TIMEOUT_S,
            "socket_connect_timeout": TIMEOUT_S,
            "socket_keepalive": True,
            "retry": self._retry,
        }
        if address.mode == "cluster":
            return redis.asyncio.RedisCluster.from_url(address.url, **options)
        if address.mode == "sentinel":
            watch = redis.asyncio.sentinel.Sentinel(address.sentinels, socket_timeout=TIMEOUT_S)
            return watch.master_for(address.master, **_login(address.url), **options)
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            address.url, max_connections=POOL, timeout=TIMEOUT_S, **options
        )
        return redis.asyncio.Redis.from_pool(pool)

    async def run(self, command: Command[R]) -> R:
        """Runs one command. Raises StoreUnavailable."""
        code = script(command.script)
        try:
            try:
                reply = await self._redis.evalsha(code.sha, 1, keys.PREFIX, *command.args())
            except NoScriptError:
                reply = await self._redis.eval(code.text, 1, keys.PREFIX, *command.args())
        except (RedisError, OSError) as error:
            raise unavailable(error) from error
        return command.parse(reply)

    async def close(self) -> None:
        """Closes every connection."""
        await self._redis.aclose()


def _login(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    options: dict[str, Any] = {"db": int(parts.path.strip("/") or 0), "ssl": parts.scheme == "rediss"}
    if parts.password:
        options |= {"username": parts.username or None, "password": parts.password}
    return options


def dialer(url: str) -> Dial:
    """How a Listener reaches the server that publishes: for Sentinel, the master of the moment."""
    address = Address.parse(url)

    async def dial(factory: Callable[[], asyncio.Protocol]) -> list[tuple[str, ...]]:
        loop = asyncio.get_running_loop()
        options = parse_url(address.url)
        if "path" in options:
            await loop.create_unix_connection(factory, options["path"])
        else:
            host, port = await _master(address) or (
                options.get("host", "127.0.0.1"),
                options.get("port", 6379),
            )
            await loop.create_connection(factory, host, port, ssl=_tls(address.url, options))
        if not options.get("password"):
            return []
        return [("AUTH", *filter(None, (options.get("username"), options["password"])))]

    return dial


async def _master(address: Address) -> tuple[str, int] | None:
    if address.mode != "sentinel":
        return None
    watch = redis.asyncio.sentinel.Sentinel(address.sentinels, socket_timeout=TIMEOUT_S)
    try:
        host, port = await watch.discover_master(address.master)
    except RedisError as error:
        raise unavailable(error) from error
    finally:
        for client in watch.sentinels:
            await client.aclose()
    return host, int(port)


def _tls(url: str, options: dict[str, Any]) -> ssl.SSLContext | None:
    if not url.startswith("rediss"):
        return None
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    if options.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def unavailable(error: BaseException) -> StoreUnavailable:
    """What a failure of Redis means to everyone above: it cannot be used just now."""
    text = str(error) or type(error).__name__
    return StoreUnavailable(text)


def ping(url: str) -> None:
    """Asks whether a Redis answers. Raises StoreUnavailable, with what is wrong."""
    client = RedisExecutor(url, retries=0)
    try:
        client._redis.ping()
    except (RedisError, OSError) as error:
        raise unavailable(error) from error
    finally:
        client.close()
