"""Every test of the contract runs twice: on the twin and on a real server."""

import pytest

from progress.connect import RedisExecutor
from tests.support.backend import Backend, on_memory, on_redis
from tests.support.redis_server import RedisServer


@pytest.fixture(params=["memory", "redis"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """An empty store."""
    if request.param == "memory":
        return on_memory()
    executor: RedisExecutor = request.getfixturevalue("executor")
    server: RedisServer = request.getfixturevalue("redis_server")
    return on_redis(executor, server)
