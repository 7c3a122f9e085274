"""A cluster of three masters, shared by the tests that leave all of it running."""

from collections.abc import Iterator

import pytest

from tests.support.redis_cluster import RedisCluster


@pytest.fixture(scope="package")
def masters() -> Iterator[RedisCluster]:
    """Three masters without replicas."""
    with RedisCluster("--appendonly", "yes") as cluster:
        yield cluster


@pytest.fixture
def cluster(masters: RedisCluster) -> RedisCluster:
    """The same, empty."""
    masters.flush()
    return masters
