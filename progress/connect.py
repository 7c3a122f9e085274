"""The only place that opens connections to Redis: executors of commands, one blocking, one for asyncio."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeVar

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

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
    "unavailable",
]

R = TypeVar("R")
Part = tuple[int | None, Command[Any]]
"""A command and the partition that it is done in; None where there is no cluster."""
POOL: Final = 32
FAILURES: Final = (RedisError, OSError)
"""Whatever redis-py raises."""
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
        self._redis, *self._sentinels = _open(redis, Retry(NoBackoff(), retries, RETRIED), Address.parse(url))

    def ping(self) -> None:
        """Asks whether the server answers. Raises StoreUnavailable."""
        try:
            self._redis.ping()
        except FAILURES as error:
            raise unavailable(error) from error

    def run(self, command: Command[R]) -> R:
        """Runs one command. Raises StoreUnavailable."""
        return self.run_in(None, command)

    def run_in(self, partition: int | None, command: Command[R]) -> R:
        """Runs one command in a partition of a cluster. Raises StoreUnavailable."""
        code = script(command.script, partition)
        try:
            try:
                reply = self._redis.evalsha(code.sha, 1, code.key, *command.args())
            except NoScriptError:
                reply = self._redis.eval(code.text, 1, code.key, *command.args())
        except FAILURES as error:
            raise unavailable(error) from error
        return command.parse(reply)

    def run_many(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Runs commands in one round trip, in order; a StoreUnavailable stands in the place of one that failed."""
        return self.run_many_in([(None, command) for command in commands])

    def run_many_in(self, parts: Sequence[Part]) -> list[Any]:
        """The same, each in a partition of a cluster."""
        if len(parts) == 1:
            return [self._caught(*parts[0])]
        pipe = self._redis.pipeline(transaction=False)
        for partition, command in parts:
            code = script(command.script, partition)
            pipe.evalsha(code.sha, 1, code.key, *command.args())
        try:
            replies = pipe.execute(raise_on_error=False)
        except FAILURES as error:
            return [unavailable(error)] * len(parts)
        return [self._settle(*part, reply) for part, reply in zip(parts, replies, strict=True)]

    def _settle(self, partition: int | None, command: Command[R], reply: Any) -> R | StoreUnavailable:
        if isinstance(reply, NoScriptError):
            return self._caught(partition, command)
        try:
            return unavailable(reply) if isinstance(reply, Exception) else command.parse(reply)
        except StoreUnavailable as error:
            return error

    def _caught(self, partition: int | None, command: Command[R]) -> R | StoreUnavailable:
        try:
            return self.run_in(partition, command)
        except StoreUnavailable as error:
            return error

    def slots(self) -> Any:
        """What a node of a cluster answers to CLUSTER SLOTS. Raises StoreUnavailable."""
        try:
            return self._redis.execute_command("CLUSTER SLOTS")
        except FAILURES as error:
            raise unavailable(error) from error

    def close(self) -> None:
        """Closes every connection."""
        for client in (self._redis, *self._sentinels):
            client.close()


class AsyncRedisExecutor:
    """Commands over asyncio connections, for the API. Arguments as for RedisExecutor."""

    def __init__(self, url: str, *, retries: int = 1) -> None:
        retry = AsyncRetry(NoBackoff(), retries, RETRIED)
        self._redis, *self._sentinels = _open(redis.asyncio, retry, Address.parse(url))

    async def run(self, command: Command[R]) -> R:
        """Runs one command. Raises StoreUnavailable."""
        return await self.run_in(None, command)

    async def run_in(self, partition: int | None, command: Command[R]) -> R:
        """Runs one command in a partition of a cluster. Raises StoreUnavailable."""
        code = script(command.script, partition)
        try:
            # Waiting for a connection, opening it and the command itself together.
            async with asyncio.timeout(TIMEOUT_S):
                try:
                    reply = await self._redis.evalsha(code.sha, 1, code.key, *command.args())
                except NoScriptError:
                    reply = await self._redis.eval(code.text, 1, code.key, *command.args())
        except FAILURES as error:
            raise unavailable(error) from error
        return command.parse(reply)

    async def slots(self) -> Any:
        """What a node of a cluster answers to CLUSTER SLOTS. Raises StoreUnavailable."""
        return await self._ask("CLUSTER SLOTS")

    async def is_sharded(self) -> bool:
        """Whether the server knows sharded pub/sub: Redis 7 is the first. Raises StoreUnavailable."""
        told = await self._ask("INFO", "server")
        return int(str(told["redis_version"]).partition(".")[0]) >= 7

    async def _ask(self, *words: str) -> Any:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._redis.execute_command(*words)
        except FAILURES as error:
            raise unavailable(error) from error

    async def close(self) -> None:
        """Closes every connection."""
        for client in (self._redis, *self._sentinels):
            await client.aclose()
