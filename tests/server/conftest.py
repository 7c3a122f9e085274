"""An API for each test, over the in-memory twin."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.api import Api, api_with
from tests.support.serving import Running
from tests.support.waiting import until


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """A running API; after the test no reader may be left in it."""
    async with api_with() as running:
        yield running
        await until(lambda: running.at_rest)


@pytest.fixture
async def running(api: Api) -> AsyncIterator[Running]:
    made = Running(api)
    task = asyncio.create_task(made.serve())
    try:
        await until(lambda: made.server.started)
        yield made
    finally:
        made.stop()
        await task
