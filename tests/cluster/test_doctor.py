"""`jobcast doctor` on a cluster."""

import pytest

from server.doctor import examine_redis
from tests.support.redis_cluster import RedisCluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_each_node_is_examined_and_each_without_a_replica_named(cluster: RedisCluster) -> None:
    found = [str(finding) for finding in examine_redis("redis", cluster.url)]
    for node in cluster.masters:
        place = f"127.0.0.1:{node.port}"
        assert any(line.startswith("ok  redis") and place in line for line in found)
        assert f"!!  cluster: {place} has no replica: add one, or its jobs wait for as long as it is away" in found


def test_one_node_of_a_cluster_is_no_server(cluster: RedisCluster) -> None:
    lines = [str(line) for node in cluster.masters for line in examine_redis("broker", node.url) if not line.good]
    assert len(lines) == 2, "the third has the slot of a single server's keys"
    assert all("it is one node of a cluster" in line and "name a server of its own" in line for line in lines)


def test_a_cluster_that_is_not_there_is_named() -> None:
    (line,) = examine_redis("redis", "redis+cluster://127.0.0.1:1")
    assert "does not answer at redis+cluster://127.0.0.1:1" in str(line)
