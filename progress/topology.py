"""Which node of a Redis Cluster has which partition, and whom to ask about it. Decisions only, no I/O."""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from progress import keys
from progress.address import Place
from progress.errors import StoreUnavailable

PAUSE_S: Final = 0.1
"""The cluster is asked at most so often, whatever goes wrong."""


@dataclass(frozen=True)
class Topology:
    """A cluster as one of its nodes sees it: who has a partition, every node, replicas too, and who has no replica."""

    owners: Mapping[int, Place]
    places: tuple[Place, ...]
    lonely: frozenset[Place] = frozenset()

    @classmethod
    def parse(cls, reply: Sequence[Any], asked: Place) -> "Topology":
        """Reads the answer to CLUSTER SLOTS: ``[[first, last, [host, port, …], [host, port, …], …], …]``.

        A node that does not know its own name leaves it out: then it is that by which it was ``asked``.
        """
        owners: dict[int, Place] = {}
        places: dict[Place, None] = {}
        lonely: set[Place] = set()
        for first, last, *nodes in reply:
            found = [_place(node, asked) for node in nodes]
            places |= dict.fromkeys(found)
            lonely |= set(found) if len(found) == 1 else set()
            owners |= {p: found[0] for p in range(keys.PARTITIONS) if first <= keys.slot_of(p) <= last}
        return cls(owners, tuple(places), frozenset(lonely))

    @property
    def masters(self) -> frozenset[Place]:
        """The nodes that have a partition."""
        return frozenset(self.owners.values())


def _place(node: Sequence[Any], asked: Place) -> Place:
    host = node[0].decode() if isinstance(node[0], bytes) else str(node[0] or "")
    return (asked[0] if host in ("", "?") else host), int(node[1])


class Atlas:
    """What a process knows of a cluster, and when it should ask again.

    Args:
        seeds: the nodes that the settings name.
    """

    def __init__(self, seeds: Sequence[Place]) -> None:
        self._seeds = tuple(seeds)
        self._suspects: set[Place] = set()
        self._topology = Topology({}, ())
        self._stale = True
        self._asked_at = -PAUSE_S

    @property
    def topology(self) -> Topology:
        """As it was when it was asked for last."""
        return self._topology

    def owner(self, partition: int) -> Place:
        """Who has a partition. Raises StoreUnavailable."""
        try:
            return self._topology.owners[partition]
        except KeyError:
            raise StoreUnavailable(f"no node of the cluster serves slot {keys.slot_of(partition)}") from None

    def doubt(self, place: Place | None = None) -> None:
        """Something has moved; or, with a place, a node did not answer: it is asked last."""
        self._stale = True
        if place:
            self._suspects.add(place)

    @property
    def due(self) -> bool:
        """Whether to ask now, or to wait for whoever does: without an answer nothing is known at all."""
        return not self._topology.owners or (self._stale and time.monotonic() >= self._asked_at + PAUSE_S)

    def candidates(self) -> list[Place]:
        """Whom to ask, one after the other until one answers: in no order, so that no view is the only one."""
        self._asked_at = time.monotonic()
        places = list(dict.fromkeys((*self._topology.places, *self._seeds)))
        random.shuffle(places)
        return sorted(places, key=self._suspects.__contains__)

    def learn(self, topology: Topology) -> frozenset[Place]:
        """Takes what was answered; returns the nodes that are gone."""
        gone = frozenset(self._topology.places) - frozenset(topology.places)
        self._topology = topology
        self._stale = False
        self._suspects.clear()
        return gone
