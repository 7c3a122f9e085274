"""What tests of workers share: the environment of a worker process."""

import os
from collections.abc import Iterator

import pytest

from progress.settings import current


@pytest.fixture
def environment(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The settings of this process in its environment, as a worker finds them."""
    for name in [name for name in os.environ if name.startswith("JOBCAST_")]:
        monkeypatch.delenv(name)
    chosen = {"JOBCAST_REDIS_URL": redis_url, "JOBCAST_TASKS": "tests.support.kinds", "JOBCAST_LOG_LEVEL": "error"}
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    current.cache_clear()
    yield chosen
    current.cache_clear()
