"""What tests of workers share: the environment of a worker process."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from progress.settings import current
from tasks.sentiment.model import Model
from tasks.sentiment.training import trained


@pytest.fixture
def environment(redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings of this process in its environment, as a worker finds them."""
    for name in [name for name in os.environ if name.startswith("JOBCAST_")]:
        monkeypatch.delenv(name)
    chosen = {"JOBCAST_REDIS_URL": redis_url, "JOBCAST_TASKS": "tests.support.kinds", "JOBCAST_LOG_LEVEL": "error"}
    # Not what somebody keeps in this clone: the janitor would miss its jobs in this Redis.
    chosen["JOBCAST_STORAGE_URL"] = (tmp_path / "files").as_uri()
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    current.cache_clear()
    yield chosen
    current.cache_clear()


@pytest.fixture(scope="session")
def model() -> Model:
    """The sentiment model of what is shipped. Nobody changes it."""
    return trained()
