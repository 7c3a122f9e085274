"""Fixtures that every test may use: a real Redis, flushed, executors on it, and a real RabbitMQ."""

import os
import signal
import warnings
from collections.abc import AsyncIterator, Iterator

import coverage
import coverage.exceptions
import pytest
from hypothesis import settings

from progress.connect import AsyncRedisExecutor, RedisExecutor
from server import embedded
from tests.support.live import Live, running
from tests.support.machine import Stalls
from tests.support.rabbit_server import RabbitServer
from tests.support.redis_server import RedisServer

# A shell makes what it runs in the background deaf to Ctrl-C, and that goes on to all children; some are sent one here.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Two lanes that start servers side by side find no port twice: see tests/lanes.py.
_half = len(embedded.PORTS) // 2
if lane := os.environ.get("TEST_LANE"):
    vars(embedded)["PORTS"] = embedded.PORTS[_half:] if lane == "1" else embedded.PORTS[:_half]

# The same examples each time, so that a failure is one of the change at hand. EXAMPLES=random looks for others.
settings.register_profile("same", derandomize=True, database=None)
if os.environ.get("EXAMPLES") != "random":
    settings.load_profile("same")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The Redis of this test session. A test that stops or fills one starts its own."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of an empty Redis."""
    redis_server.own.flushall()
    return redis_server.url


@pytest.fixture
def executor(redis_url: str) -> Iterator[RedisExecutor]:
    """Runs commands on the empty Redis."""
    executor = RedisExecutor(redis_url)
    yield executor
    executor.close()


@pytest.fixture
async def async_executor(redis_url: str) -> AsyncIterator[AsyncRedisExecutor]:
    """The same on the event loop."""
    executor = AsyncRedisExecutor(redis_url)
    yield executor
    await executor.close()


@pytest.fixture
def uncounted() -> Iterator[None]:
    """Counts no covered lines, which takes more time than it does itself what runs thousands of times."""
    counting = coverage.Coverage.current()
    if counting:
        counting.stop()
    yield
    if counting:
        with warnings.catch_warnings():
            # That it did not see the beginning of what is imported by now: it did.
            warnings.simplefilter("ignore", coverage.exceptions.CoverageWarning)
            counting.start()


@pytest.fixture(scope="session")
def rabbit_server() -> Iterator[RabbitServer]:
    """The RabbitMQ of this test session: take a ``new_url`` of it, and leave it running."""
    with RabbitServer() as server:
        yield server


@pytest.fixture(scope="session")
def stalls() -> Iterator[Stalls]:
    """What this machine adds to the time that something took, where no ``Live`` counts it."""
    with Stalls() as stalls:
        yield stalls


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """A whole Jobcast, shared by the tests that leave it as they found it. One that breaks things runs its own."""
    with running() as shared:
        yield shared
