"""The stores that a World may be on: the twin, and a real server whose scripts are told the time."""

import itertools
import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

from progress import keys
from progress.commands import Command, script
from progress.listener import Batch
from progress.testing import Memory, MemoryListener
from tests.support.backend import keys_without_ttl, saved, saved_on
from tests.support.redis_server import RedisServer

R = TypeVar("R")
LIVE: Final = keys.LIVE.encode()
QUEUE: Final = "llm"
START_MS: Final = 1_800_000_000_000
"""When every World begins: what room a log leaves is a matter of the time."""


class Ear(MemoryListener):
    """Notes all that a Memory publishes."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.batch: Batch = []
        memory.listeners.add(self)

    def hear(self, batch: Batch) -> None:
        """See MemoryListener."""
        self.batch += batch


class MemorySite:
    """The twin."""

    def __init__(self) -> None:
        self._memory = Memory()
        self._memory.advance(0)
        self._memory.advance(START_MS - self._memory.space.now())
        self._ear = Ear(self._memory)

    def run(self, command: Command[R]) -> R:
        """See Site."""
        return self._memory.run(command)

    def published(self) -> list[tuple[str, bytes]]:
        """See Site."""
        batch, self._ear.batch = self._ear.batch, []
        return events_of(batch)

    def pass_time(self, ms: int) -> None:
        """See Site."""
        self._memory.advance(ms)

    def save(self) -> Callable[[], None]:
        """See Site."""
        return saved(self._memory)

    def places(self, job_id: str) -> set[str]:
        """See Site."""
        space = self._memory.space
        places: dict[str, Any] = {"leases": space.leases, "due": space.due, "queue": space.queues[QUEUE]}
        places["waiters"] = space.waiters
        return {name for name, place in places.items() if job_id in place}

    def abandoned(self) -> set[str]:
        """See Site."""
        return set(self._memory.space.abandoned)

    def close(self) -> None:
        """See Site."""

    def leftovers(self) -> set[str]:
        """See Site."""
        space = self._memory.space
        kinds = ("jobs", "logs", "groups", "members", "failures")
        kept = {(kind, name) for kind in kinds for name, value in getattr(space, kind).items() if value}
        places = {"leases": space.leases, "due": space.due, "unread": space.unread, "queue": space.queues[QUEUE]}
        places |= {"waiters": space.waiters, "abandoned": space.abandoned}
        return {f"{kind} {job_id}" for kind, job_id in kept - space.ttls.keys()} | {
            name for name, place in places.items() if place
        }


class RedisSite:
    """A real server, emptied. Its scripts ask a key for the time, not the server's clock."""

    _TIME: Final = ("redis.call('TIME')", "cjson.decode(redis.call('GET', 'time'))")
    _FOR_EVER: Final = {"server", "alive", "doubt", "time", "figures", "codes"}
    _SWEPT: Final = ("expiry", "index:")
    """What the sweeper empties once the records have gone; see keys.py."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._client = server.binary_client()
        self._client.flushall()
        self._heard = self._client.pubsub()
        self._heard.psubscribe(f"{keys.LIVE}*")
        self._rounds = itertools.count()
        self._ms = START_MS
        self.pass_time(0)

    def run(self, command: Command[R]) -> R:
        """See Site."""
        text = script(command.script).text.decode()
        assert self._TIME[0] in text or "clock" not in text
        return command.parse(self._client.eval(text.replace(*self._TIME), 1, keys.PREFIX, *command.args()))

    def published(self) -> list[tuple[str, bytes]]:
        """See Site."""
        last = b"%d" % next(self._rounds)
        self._client.publish(keys.LIVE, last)
        batch: Batch = []
        while not batch or batch[-1] != (LIVE, last):
            message = self._heard.get_message(ignore_subscribe_messages=True, timeout=5)
            if message:
                batch.append((message["channel"], message["data"]))
        return events_of(batch[:-1])

    def pass_time(self, ms: int) -> None:
        """See Site."""
        self._ms += ms
        self._client.set("time", json.dumps([self._ms // 1000, self._ms % 1000 * 1000]))

    def save(self) -> Callable[[], None]:
        """See Site."""
        restore = saved_on(self._server)

        def crash() -> None:
            restore()
            self.pass_time(0)

        return crash

    def places(self, job_id: str) -> set[str]:
        """See Site."""
        names = {"leases": keys.LEASES, "due": keys.DUE, "queue": keys.QUEUE + QUEUE, "waiters": keys.WAITERS}
        return {name for name, key in names.items() if self._client.zscore(key, job_id) is not None}

    def abandoned(self) -> set[str]:
        """See Site."""
        names: Any = self._client.zrange(keys.ABANDONED, 0, -1)
        return {name.decode() for name in names}

    def leftovers(self) -> set[str]:
        """See Site."""
        left = keys_without_ttl(self._server) - self._FOR_EVER
        return {key for key in left if not key.startswith(self._SWEPT)}

    def close(self) -> None:
        """Closes its connections."""
        self._heard.close()
        self._client.close()


def events_of(batch: Batch) -> list[tuple[str, bytes]]:
    """The events in what was published to those who follow a job."""
    return [
        (channel[len(LIVE) :].decode(), raw)
        for channel, payload in batch
        if channel.startswith(LIVE)
        for raw in payload.split(b"\n")
    ]
