"""Executors of commands on a Redis Cluster: each goes to the node that has its job's partition.

redis-py's own client of clusters asks again many times and sleeps in between, closes all connections when one node is
down, and bounds their number only by failing. Here a partition that is down or on its way is told at once, or
within a second, and the others go on.
"""

import asyncio
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from progress import keys
from progress.address import TIMEOUT_S, Address, Place, unavailable
from progress.commands import Ahead, Command, Created, CreateJob, Spread
from progress.connect import AsyncRedisExecutor, RedisExecutor
from progress.errors import Elsewhere, StoreUnavailable
from progress.jobs import Job
from progress.topology import Atlas, Topology

R = TypeVar("R")
PAUSES_S: Final = (0.0, 0.05, 0.1, 0.2, 0.3)
"""Before each try: a partition that moves is soon there."""
HURRIED: Final = 2
"""How many of them there are for many commands at once, which others wait behind."""


class ClusterExecutor:
    """Commands over blocking connections. Arguments as for RedisExecutor; the address is a cluster's.

    Raises:
        StoreUnavailable: none of the nodes that it names answers.
    """

    def __init__(self, url: str, *, retries: int = 1) -> None:
        self._address = Address.parse(url)
        self._retries = retries
        self._atlas = Atlas(self._address.nodes)
        self._nodes: dict[Place, RedisExecutor] = {}
        self._lock = threading.Lock()

    def ping(self) -> None:
        """Asks whether every node that has jobs answers. Raises StoreUnavailable."""
        for place in self.topology().masters:
            self._node(place).ping()

    def topology(self) -> Topology:
        """Who has what. Raises StoreUnavailable."""
        self._look()
        return self._atlas.topology

    def run(self, command: Command[R]) -> R:
        """Runs one command. Raises StoreUnavailable."""
        if isinstance(command, Spread):
            parts = command.parts()
            merged: R = command.merge(dict(zip(parts, self._run(tuple(parts.items()), len(PAUSES_S)), strict=True)))
            return merged
        (answer,) = self._run([(keys.partition_of(command.about), command)], len(PAUSES_S))
        if isinstance(answer, StoreUnavailable):
            raise answer
        found: R = answer
        return found

    def run_many(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Runs commands in a round trip to each node; a StoreUnavailable stands in the place of one that failed."""
        return self._run([(keys.partition_of(command.about), command) for command in commands], HURRIED)

    def _run(self, parts: Sequence[tuple[int, Command[Any]]], tries: int) -> list[Any]:
        answers: dict[int, Any] = dict.fromkeys(range(len(parts)))
        left = list(answers)
        for pause_s in PAUSES_S[:tries]:
            time.sleep(pause_s)
            answers |= self._try(parts, left)
            left = [index for index in left if isinstance(answers[index], Elsewhere)]
            if not left:
                break
        return list(answers.values())

    def _try(self, parts: Sequence[tuple[int, Command[Any]]], indexes: Iterable[int]) -> dict[int, Any]:
        try:
            self._look()
        except StoreUnavailable as error:
            return dict.fromkeys(indexes, error)
        answers: dict[int, Any] = {}
        by_place: dict[Place, list[int]] = {}
        for index in indexes:
            try:
                by_place.setdefault(self._atlas.owner(parts[index][0]), []).append(index)
            except StoreUnavailable as error:
                self._atlas.doubt()
                answers[index] = error
        for place, some in by_place.items():
            # By partition: appends to one can share a call. Stable, since what is about one job has an order.
            some.sort(key=lambda index: parts[index][0])
            told = self._node(place).run_many_in([parts[index] for index in some])
            answers |= zip(some, told, strict=True)
            for answer in told:
                _doubt(self._atlas, place, answer)
        return answers

    def _look(self) -> None:
        """Asks how the cluster is, if there is a reason to. Raises StoreUnavailable."""
        if not self._atlas.due:
            return
        with self._lock:
            if not self._atlas.due:  # another thread has asked meanwhile
                return
            why = StoreUnavailable()
            for place in self._atlas.candidates():
                try:
                    topology = Topology.parse(self._node(place).slots(), place)
                except StoreUnavailable as error:
                    self._atlas.doubt(place)
                    why = error
                    continue
                for gone in self._atlas.learn(topology) & self._nodes.keys():
                    self._nodes.pop(gone).close()
                return
        raise why

    def _node(self, place: Place) -> RedisExecutor:
        # Of two that are made at once one is not kept; it has opened nothing.
        return self._nodes.get(place) or self._nodes.setdefault(
            place, RedisExecutor(self._address.at(place).url, retries=self._retries)
        )

    def close(self) -> None:
        """Closes every connection."""
        for node in tuple(self._nodes.values()):
            node.close()


class AsyncClusterExecutor:
    """Commands over asyncio connections, for the API. Arguments as for ClusterExecutor."""

    def __init__(self, url: str, *, retries: int = 1) -> None:
        self._address = Address.parse(url)
        self._retries = retries
        self._atlas = Atlas(self._address.nodes)
        self._nodes: dict[Place, AsyncRedisExecutor] = {}
        self._lock = asyncio.Lock()

    async def run(self, command: Command[R]) -> R:
        """Runs one command. Raises StoreUnavailable."""
        if isinstance(command, Spread):
            parts = command.parts()
            answers = await asyncio.gather(*(self._caught(*part) for part in parts.items()))
            merged: R = command.merge(dict(zip(parts, answers, strict=True)))
            return merged
        asked: Command[Any] = command.beside() if isinstance(command, CreateJob) else command
        answer: Any = await self._run_in(keys.partition_of(asked.about), asked)
        if isinstance(answer, Created):
            answer = replace(answer, job=await self._placed(answer.job))
        elif isinstance(answer, Job):
            answer = await self._placed(answer)
        found: R = answer
        return found

    async def _placed(self, job: Job) -> Job:
        """A job with its place among all that wait: each partition knows its own only."""
        if not job.queue_score:
            return job
        try:
            return replace(job, queue_position=1 + await self.run(Ahead(job.queue, job.queue_score)))
        except StoreUnavailable:
            return replace(job, queue_position=None)

    async def _caught(self, partition: int, command: Command[Any]) -> Any:
        try:
            return await self._run_in(partition, command)
        except StoreUnavailable as error:
            return error

    async def _run_in(self, partition: int, command: Command[R]) -> R:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._insist(partition, command)
        except TimeoutError as error:
            self._atlas.doubt(self._atlas.topology.owners.get(partition))
            raise unavailable(error) from error

    async def _insist(self, partition: int, command: Command[R]) -> R:
        why = Elsewhere()
        for pause_s in PAUSES_S:
            await asyncio.sleep(pause_s)
            await self._look()
            place = self._owner(partition)
            try:
                return await self._node(place).run_in(partition, command)
            except Elsewhere as error:
                _doubt(self._atlas, place, error)
                why = error
            except StoreUnavailable as error:
                _doubt(self._atlas, place, error)
                raise
        raise why

    def _owner(self, partition: int) -> Place:
        try:
            return self._atlas.owner(partition)
        except StoreUnavailable:
            self._atlas.doubt()
            raise

    async def _look(self) -> None:
        """Asks how the cluster is, if there is a reason to. Raises StoreUnavailable."""
        if not self._atlas.due:
            return
        async with self._lock:
            if not self._atlas.due:
                return
            why = StoreUnavailable()
            for place in self._atlas.candidates():
                try:
                    topology = Topology.parse(await self._node(place).slots(), place)
                except StoreUnavailable as error:
                    self._atlas.doubt(place)
                    why = error
                    continue
                for gone in self._atlas.learn(topology) & self._nodes.keys():
                    await self._nodes.pop(gone).close()
                return
        raise why

    def _node(self, place: Place) -> AsyncRedisExecutor:
        if place not in self._nodes:
            self._nodes[place] = AsyncRedisExecutor(self._address.at(place).url, retries=self._retries)
        return self._nodes[place]

    async def close(self) -> None:
        """Closes every connection."""
        for node in tuple(self._nodes.values()):
            await node.close()


def _doubt(atlas: Atlas, place: Place, answer: Any) -> None:
    if isinstance(answer, Elsewhere):
        atlas.doubt()
    elif isinstance(answer, StoreUnavailable):
        atlas.doubt(place)
