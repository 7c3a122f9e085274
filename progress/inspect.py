"""What a Redis says of itself: the facts that decide whether jobs are safe there."""

import time
from dataclasses import dataclass
from typing import Any

from progress.address import Address, Place
from progress.cluster import ClusterExecutor
from progress.commands import Command
from progress.commands.command import Arg
from progress.connect import RedisExecutor
from progress.errors import StoreUnavailable
from progress.topology import Topology

_STATUSES = {
    "aof_last_write_status": "the last write to its append-only file",
    "aof_last_bgrewrite_status": "the last rewrite of its append-only file",
    "rdb_last_bgsave_status": "its last snapshot",
}


@dataclass(frozen=True)
class ServerFacts:
    """A server at one moment.

    ``protocol`` is the version of Redis that it equals, as Valkey tells it; ``limit_bytes`` 0 is none;
    ``failures`` are the writes to disk that went wrong last; ``ahead_s`` is how far its clock is before this machine's,
    give or take half of ``round_trip_s``.
    """

    name: str
    version: str
    protocol: tuple[int, ...]
    appendonly: bool
    eviction: str
    used_bytes: int
    limit_bytes: int
    machine_bytes: int
    failures: tuple[str, ...]
    is_replica: bool
    ahead_s: float = 0.0
    round_trip_s: float = 0.0

    @classmethod
    def parse(cls, info: str, *, ahead_s: float = 0.0, round_trip_s: float = 0.0) -> "ServerFacts":
        """Reads the answer to INFO. What an old or trimmed server does not tell counts as zero, off or unknown."""
        told = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
        name = told.get("server_name", "redis")
        return cls(
            name=name,
            version=told.get(f"{name}_version", "unknown"),
            protocol=_numbers(told.get("redis_version", "")),
            appendonly=told.get("aof_enabled") == "1",
            eviction=told.get("maxmemory_policy", "unknown"),
            used_bytes=int(told.get("used_memory", 0)),
            limit_bytes=int(told.get("maxmemory", 0)),
            machine_bytes=int(told.get("total_system_memory", 0)),
            failures=tuple(text for name, text in _STATUSES.items() if told.get(name, "ok") != "ok"),
            is_replica=told.get("role") == "slave",
            ahead_s=ahead_s,
            round_trip_s=round_trip_s,
        )


@dataclass(frozen=True)
class _Inspect(Command[tuple[str, int]]):
    """INFO and the clock in one round trip; a script, so that Sentinel and Cluster need no other way."""

    script = "inspect"

    def args(self) -> list[Arg]:
        """None."""
        return []

    def parse(self, reply: Any) -> tuple[str, int]:
        """``[INFO, epoch ms]``."""
        return reply[0].decode(errors="replace"), int(reply[1])


def inspect_cluster(url: str) -> tuple[Topology, dict[Place, ServerFacts | StoreUnavailable]]:
    """Asks a cluster who has what, and each node that has jobs, as ``inspect`` does. Raises StoreUnavailable."""
    executor = ClusterExecutor(url, retries=0)
    try:
        topology = executor.topology()
    finally:
        executor.close()
    facts: dict[Place, ServerFacts | StoreUnavailable] = {}
    for partition, place in topology.owners.items():
        if place not in facts:
            try:
                facts[place] = inspect(Address.parse(url).at(place).url, partition)
            except StoreUnavailable as error:
                facts[place] = error
    return topology, facts


def inspect(url: str, partition: int | None = None) -> ServerFacts:
    """Asks the server at ``url`` (see ``Address.parse``); a node of a cluster by a partition that it has.

    Raises:
        StoreUnavailable: it does not answer, or refuses; the text says why.
    """
    executor = RedisExecutor(url, retries=0)
    try:
        executor.ping()  # opens the connection, so that it does not count as time on the way
        began, before = time.time(), time.monotonic()
        info, clock_ms = executor.run_in(partition, _Inspect())
        took = time.monotonic() - before
    finally:
        executor.close()
    return ServerFacts.parse(info, ahead_s=clock_ms / 1000 - (began + took / 2), round_trip_s=took)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
