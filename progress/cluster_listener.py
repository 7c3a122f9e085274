"""The Listener of a Redis Cluster: a connection to each node that has jobs, each job's channel on the one that has it.

In a cluster of Redis 7 or newer messages stay on their shard (SPUBLISH, SSUBSCRIBE), so what is published costs the
other nodes nothing. When a slot moves, or a replica takes over, its channels are asked for at the new place; whatever
was published in between is read from the logs, as after any re-connect.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from progress import cancelling, keys
from progress.address import Address, Place, dialer
from progress.connect import AsyncRedisExecutor
from progress.errors import StoreUnavailable
from progress.listener import SILENCE_S, SUBSCRIBE_TIMEOUT_S, Batch, RedisListener
from progress.topology import PAUSE_S, Atlas, Topology

logger = logging.getLogger(__name__)

LOOK_S: Final = 5.0
"""How often the cluster is asked who has what, though nothing told of a change."""
UNEASY_S: Final = 0.5
"""The same, while a node is away."""
_PREFIX: Final = keys.PREFIX.encode()
_SLOTS: Final = {prefix: str(keys.slot_of(p)) for p, prefix in enumerate(keys.PARTITION_PREFIXES)}


class _Node:
    """What a Listener of one node is told. See Shard."""

    def __init__(self, *, sharded: bool, on_trouble: Callable[[], None]) -> None:
        self.sharded = sharded
        self.on_trouble = on_trouble

    def slot(self, channel: str) -> str:
        """See Shard."""
        return _SLOTS[channel[: len(keys.PREFIX)]]


class ClusterListener:
    """A Listener that knows which node has which partition. Channels are named as where there is no cluster."""

    def __init__(self, address: Address, *, look_s: float = LOOK_S, silence_s: float = SILENCE_S) -> None:
        self._address = address
        self._look_s = look_s
        self._silence_s = silence_s
        self._atlas = Atlas(address.nodes)
        self._lines: dict[Place, RedisListener] = {}
        self._homes: dict[int, Place] = {}
        self._trouble = asyncio.Event()
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._on_batch: Callable[[Batch], None] = lambda _batch: None
        self._on_connected: Callable[[], None] = lambda: None

    def start(self, on_batch: Callable[[Batch], None], on_connected: Callable[[], None]) -> None:
        """See Listener. ``on_connected`` is called for each node."""
        self._on_batch, self._on_connected = on_batch, on_connected
        self._task = asyncio.create_task(self._run(), name="cluster-listener")

    @property
    def connected(self) -> bool:
        """Whether every node that has jobs is connected now."""
        return bool(self._homes) and all(self._lines[place].connected for place in set(self._homes.values()))

    async def subscribe(self, channel: str) -> None:
        """See Listener. Raises StoreUnavailable."""
        try:
            async with asyncio.timeout(SUBSCRIBE_TIMEOUT_S):
                await self._ready.wait()
        except TimeoutError:
            raise StoreUnavailable("no node of the cluster answers") from None
        await asyncio.gather(*(line.subscribe(name) for line, name in self._places(channel)))

    def unsubscribe(self, channel: str) -> None:
        """See Listener."""
        for line, name in self._places(channel):
            line.unsubscribe(name)

    async def close(self) -> None:
        """Ends every connection."""
        if self._task:
            await cancelling.end(self._task)
        for line in self._lines.values():
            await line.close()

    def _places(self, channel: str) -> Iterator[tuple[RedisListener, str]]:
        """Where a channel is, and its name there. That of all activity is in every partition."""
        every = channel == keys.ACTIVITY
        for partition in range(keys.PARTITIONS) if every else (keys.partition_of(channel),):
            if place := self._homes.get(partition):
                yield self._lines[place], keys.prefix_of(partition) + channel.removeprefix(keys.PREFIX)

    async def _run(self) -> None:
        pause_s = PAUSE_S
        while True:
            self._trouble.clear()
            try:
                await self._arrange(await self._look())
                pause_s = PAUSE_S
            except StoreUnavailable as error:
                logger.warning("no node of the cluster answers: %s", error)
                pause_s = min(pause_s * 2, self._look_s)
            await asyncio.sleep(pause_s * random.uniform(1, 2))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_s if self.connected else UNEASY_S):
                    await self._trouble.wait()

    async def _look(self) -> Topology:
        """Asks who has what, and opens lines to new nodes. Raises StoreUnavailable."""
        why = StoreUnavailable()
        for place in self._atlas.candidates():
            try:
                topology = await self._ask(place)
            except StoreUnavailable as error:
                self._atlas.doubt(place)
                why = error
            else:
                self._atlas.learn(topology)
                return topology
        raise why

    def _open(self, place: Place, *, sharded: bool) -> None:
        node = _Node(sharded=sharded, on_trouble=self._trouble.set)
        line = RedisListener(dialer(self._address.at(place).url), silence_s=self._silence_s, shard=node)
        line.start(self._hear, self._on_connected)
        self._lines[place] = line

    def _hear(self, batch: Batch) -> None:
        self._on_batch([(_PREFIX + channel[len(_PREFIX) :], message) for channel, message in batch])

    async def _ask(self, place: Place) -> Topology:
        executor = AsyncRedisExecutor(self._address.at(place).url, retries=0)
        try:
            topology = Topology.parse(await executor.slots(), place)
            for new in topology.masters - self._lines.keys():
                self._open(new, sharded=await executor.is_sharded())
        finally:
            await executor.close()
        return topology

    async def _arrange(self, topology: Topology) -> None:
        """Moves channels to where their partitions are, and closes lines to nodes that have none."""
        for partition, place in topology.owners.items():
            home = self._homes.get(partition)
            if home != place:
                self._homes[partition] = place
                if home:
                    self._lines[place].adopt(self._lines[home].give_up(keys.prefix_of(partition)))
        for line in self._lines.values():
            line.ask_again()
        for place in self._lines.keys() - set(self._homes.values()):
            await self._lines.pop(place).close()
        if len(self._homes) == keys.PARTITIONS:
            self._ready.set()
