"""An API for each test, over the in-memory twin."""

from collections.abc import AsyncIterator

import pytest

from tests.support.api import Api, api_with
from tests.support.waiting import until


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """A running API; after the test no reader may be left in it."""
    async with api_with() as running:
        yield running
        await until(lambda: running.at_rest, timeout_s=2)
