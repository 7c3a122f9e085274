"""A Jobcast whose API the tests may restart."""

from collections.abc import Iterator

import pytest

from tests.support.live import Live, running


@pytest.fixture(scope="session")
def restartable() -> Iterator[Live]:
    """One for all clients."""
    with running(model=False, cpu=False) as live:
        yield live
        assert live.api
        assert "Traceback" not in live.api.output()
