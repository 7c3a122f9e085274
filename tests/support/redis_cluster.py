"""A real Redis Cluster for tests: masters, with a replica each where a test wants one to take over."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Final

from progress import keys
from server.embedded import LOOPBACK, free_port
from tests.support.redis_server import RedisServer
from tests.support.server_process import Startable
from tests.support.waiting import wait_until

MASTERS: Final = 3
START_S: Final = 30.0


class RedisCluster(Startable):
    """Nodes on loopback; ``masters`` and ``replicas`` are in the same order."""

    def __init__(self, *options: str, replicas: bool = False) -> None:
        self._stack = contextlib.ExitStack()
        self.masters = [_node(*options) for _ in range(MASTERS)]
        self.replicas = [_node(*options) for _ in range(MASTERS)] if replicas else []

    @property
    def nodes(self) -> list[RedisServer]:
        """All of them."""
        return [*self.masters, *self.replicas]

    @property
    def url(self) -> str:
        """Its address, by all of its masters."""
        return f"redis+cluster://{','.join(f'{LOOPBACK}:{node.port}' for node in self.masters)}"

    def owner(self, partition: int) -> RedisServer:
        """The node that has a partition now, as the nodes that run see it."""
        slot = keys.slot_of(partition)
        ports = {_port_of(node, slot) for node in self.running}
        assert len(ports) == 1, f"the nodes do not agree who has slot {slot}: {ports}"
        (port,) = ports
        return next(node for node in self.nodes if node.port == port)

    @property
    def running(self) -> list[RedisServer]:
        """The nodes that have not been killed."""
        return [node for node in self.nodes if node.up]

    def start(self) -> None:
        """Starts the nodes, and returns once each of them knows that all is well."""
        for node in self.nodes:
            self._stack.enter_context(node)
        bounds = [16_384 * number // MASTERS for number in range(MASTERS + 1)]
        for (first, last), (epoch, node) in zip(itertools.pairwise(bounds), enumerate(self.masters, 1), strict=True):
            node.command("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
            node.command("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for node in self.nodes[1:]:
            self.masters[0].command("CLUSTER", "MEET", LOOPBACK, node.port, node.bus_port)
        self._until(lambda node: node.cluster_info("cluster_known_nodes") == str(len(self.nodes)))
        for master, replica in zip(self.masters, self.replicas, strict=False):
            replica.command("CLUSTER", "REPLICATE", id_of(master))
        self._until(lambda node: node.cluster_info("cluster_state") == "ok")
        for replica in self.replicas:
            wait_until(lambda replica=replica: "master_link_status:up" in replica.info("replication"), START_S)  # type: ignore[misc]

    def _until(self, holds: "object") -> None:
        assert callable(holds)
        wait_until(lambda: all(holds(node) for node in self.nodes), START_S)

    def settle(self) -> None:
        """Waits until all nodes that run see the same."""
        wait_until(lambda: len({str(slots_of(node)) for node in self.running}) == 1, START_S)

    def flush(self) -> None:
        """Empties it."""
        for node in self.masters:
            node.command("FLUSHALL")

    def give(self, partition: int, to: RedisServer, *, step: int = 10) -> Iterator[int]:
        """Moves a partition's slot to another node, as ``redis-cli --cluster reshard`` does.

        Yields how many keys are over after every ``step`` of them, and once before the first.
        """
        slot, source = keys.slot_of(partition), self.owner(partition)
        to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", id_of(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", id_of(to))
        moved = 0
        yield moved
        with source.client() as client:
            while names := client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, step):
                client.execute_command("MIGRATE", LOOPBACK, to.port, "", 0, 5000, "KEYS", *names)
                moved += len(names)
                yield moved
        for node in (to, source, *(node for node in self.masters if node not in (to, source))):
            node.command("CLUSTER", "SETSLOT", slot, "NODE", id_of(to))
        self.settle()

    def close(self) -> None:
        """Ends every node."""
        self._stack.close()


def _node(*options: str) -> RedisServer:
    # By default its bus takes the port 10,000 above, where the system may just have put somebody's connection.
    bus_port = free_port()
    enabled = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", str(bus_port))
    return RedisServer(*enabled, *options, bus_port=bus_port)


def id_of(node: RedisServer) -> str:
    """The name by which the nodes know each other."""
    return str(node.command("CLUSTER", "MYID"))


def slots_of(node: RedisServer) -> list[tuple[int, int, int]]:
    """First and last slot and the port of the master, of each range, as a node sees it."""
    with node.binary_client() as client:
        answer = client.execute_command("CLUSTER SLOTS")
    return sorted((int(first), int(last), int(master[1])) for first, last, master, *_ in answer)


def _port_of(node: RedisServer, slot: int) -> int:
    return next((port for first, last, port in slots_of(node) if first <= slot <= last), 0)
