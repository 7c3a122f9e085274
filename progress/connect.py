"""The only place that opens connections to Redis: executors of commands, one blocking, one for asyncio."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeVar

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import NoScriptError, RedisClusterException, RedisError
from redis.retry import Retry

from progress import keys
from progress.address import TIMEOUT_S, Address, Dial, dialer, unavailable
from progress.commands import Command, script
from progress.errors import StoreUnavailable

__all__ = [
    "TIMEOUT_S",
    "Address",
    "AsyncExecutor",
    "AsyncRedisExecutor",
    "Dial",
    "Executor",
    "RedisExecutor",
    "dialer",
    "ping",
    "unavailable",
]

R = TypeVar("R")
POOL: Final = 32
FAILURES: Final = (RedisError, RedisClusterException, OSError)
"""Whatever redis-py raises; some errors of its cluster client have a root of their own."""
RETRIED: Final = (NotConnected,)
"""A connection that broke is worth another one at once. A server that hung for TIMEOUT_S is not: its caller waits."""


class Executor(Protocol):
    """Runs commands and waits for them; safe to use from several threads."""

    def run(self, command: Command[R]) -> R:
        """Runs one command. Raises StoreUnavailable."""

    def run_many(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Runs commands in one round trip, in order; a StoreUnavailable stands in the place of one that failed."""

    def close(self) -> None:
        """Closes every connection."""


class AsyncExecutor(Protocol):
    """Runs commands on the event loop."""

    async def run(self, command: Command[R]) -> R:
        """Runs one command. Raises StoreUnavailable."""

    async def close(self) -> None:
        """Closes every connection."""


def _open(library: Any, retry: Any, address: Address) -> list[Any]:
    """A client of redis-py, of its blocking or its asyncio half, and those of the Sentinels that it asks."""
    options: dict[str, Any] = {
        "socket_timeout": TIMEOUT_S,
        "socket_connect_timeout": TIMEOUT_S,
        "socket_keepalive": True,
        "retry": retry,
    }
    if address.mode == "cluster":
        return [library.RedisCluster.from_url(address.url, **options)]
    if address.mode == "sentinel":
        watch = library.sentinel.Sentinel(address.sentinels, socket_timeout=TIMEOUT_S)
        return [watch.master_for(address.master, ssl=address.tls, **address.options, **options), *watch.sentinels]
    if "path" in address.options:
        del options["socket_keepalive"]
    pool = library.BlockingConnectionPool.from_url(address.url, max_connections=POOL, timeout=TIMEOUT_S, **options)
    return [library.Redis.from_pool(pool)]


class RedisExecutor:
    """Commands over blocking connections, for workers.

    Args:
        url: see ``Address.parse``.
        retries: how often a command is sent again at once over a new connection. Every command may be: a write is
            numbered, or finds what it has already done.
    """

    def __init__(self, url: str, *, retries: int = 1) -> None:
        self._redis, *self._sentinels = _opened(redis, Retry(NoBackoff(), retries, RETRIED), url)

    def ping(self) -> None:
        """Asks whether the server answers. Raises StoreUnavailable."""
        try:
            self._redis.ping()
        except FAILURES as error:
            raise unavailable(error) from error

    def run(self, command: Command[R]) -> R:
        """Runs one command. Raises StoreUnavailable."""
        code = script(command.script)
        try:
            try:
                reply = self._redis.evalsha(code.sha, 1, keys.PREFIX, *command.args())
            except NoScriptError:
                reply = self._redis.eval(code.text, 1, keys.PREFIX, *command.args())
        except FAILURES as error:
            raise unavailable(error) from error
        return command.parse(reply)

    def run_many(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Runs commands in one round trip, in order; a StoreUnavailable stands in the place of one that failed."""
        if len(commands) == 1:
            return [self._caught(commands[0])]
        pipe = self._redis.pipeline(transaction=False)
        for command in commands:
            # By its name: the cluster's pipeline has no `evalsha`, for fear of keys in several slots.
            pipe.execute_command("EVALSHA", script(command.script).sha, 1, keys.PREFIX, *command.args())
        try:
            replies = pipe.execute(raise_on_error=False)
        except FAILURES as error:
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
        for client in (self._redis, *self._sentinels):
            client.close()


class AsyncRedisExecutor:
    """Commands over asyncio connections, for the API. Arguments as for RedisExecutor."""

    def __init__(self, url: str, *, retries: int = 1) -> None:
        self._redis, *self._sentinels = _opened(redis.asyncio, AsyncRetry(NoBackoff(), retries, RETRIED), url)

    async def run(self, command: Command[R]) -> R:
        """Runs one command. Raises StoreUnavailable."""
        code = script(command.script)
        try:
            # Waiting for a connection, opening it and the command itself together.
            async with asyncio.timeout(TIMEOUT_S):
                try:
                    reply = await self._redis.evalsha(code.sha, 1, keys.PREFIX, *command.args())
                except NoScriptError:
                    reply = await self._redis.eval(code.text, 1, keys.PREFIX, *command.args())
        except FAILURES as error:
            raise unavailable(error) from error
        return command.parse(reply)

    async def close(self) -> None:
        """Closes every connection."""
        for client in (self._redis, *self._sentinels):
            await client.aclose()


def _opened(library: Any, retry: Any, url: str) -> list[Any]:
    try:
        return _open(library, retry, Address.parse(url))
    except FAILURES as error:  # a cluster's client asks for its slots at once
        raise unavailable(error) from error


def ping(url: str) -> None:
    """Asks whether a Redis answers. Raises StoreUnavailable, with what is wrong."""
    client = RedisExecutor(url, retries=0)
    try:
        client.ping()
    finally:
        client.close()
