"""The only place that opens connections to Redis: executors of commands, one blocking, one for asyncio."""

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, Protocol, TypeVar

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from progress.address import TIMEOUT_S, Address, Dial, dialer, unavailable
from progress.commands import Appends, Command, Part, joined, script
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
        try:
            return command.parse(self._reply(partition, command))
        except FAILURES as error:
            raise unavailable(error) from error

    def _reply(self, partition: int | None, command: Command[Any]) -> Any:
        code = script(command.script, partition)
        try:
            return self._redis.evalsha(code.sha, 1, code.key, *command.args())
        except NoScriptError:
            return self._redis.eval(code.text, 1, code.key, *command.args())

    def run_many(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Runs commands in one round trip, in order; a StoreUnavailable stands in the place of one that failed."""
        return self.run_many_in([(None, command) for command in commands])

    def run_many_in(self, parts: Sequence[Part]) -> list[Any]:
        """The same, each in a partition of a cluster."""
        fewer = list(joined(parts))
        try:
            replies = self._replies(fewer)
        except FAILURES as error:
            return [unavailable(error)] * len(parts)
        return list(chain.from_iterable(map(self._settle, fewer, replies)))

    def _replies(self, parts: Sequence[Part]) -> list[Any]:
        if len(parts) == 1:
            try:
                return [self._reply(*parts[0])]
            except ResponseError as error:
                return [error]
        pipe = self._redis.pipeline(transaction=False)
        for partition, command in parts:
            code = script(command.script, partition)
            pipe.evalsha(code.sha, 1, code.key, *command.args())
        return list(pipe.execute(raise_on_error=False))

    def _settle(self, part: Part, reply: Any) -> list[Any]:
        partition, command = part
        alone = command.appends if isinstance(command, Appends) else (command,)
        # Of those that share a call one may be at fault: by itself each gets its own answer.
        if isinstance(reply, NoScriptError) or (isinstance(reply, ResponseError) and len(alone) > 1):
            return [self._caught(partition, one) for one in alone]
        try:
            answer: Any = unavailable(reply) if isinstance(reply, Exception) else command.parse(reply)
        except StoreUnavailable as error:
            answer = error
        return answer if len(alone) > 1 else [answer]

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
