"""One Jobcast for these tests, and what must hold after each of them."""

from collections.abc import Iterator

import pytest

from progress.signing import new_secret
from tests.integration.inside import at_rest
from tests.support.live import Live, running
from tests.support.waiting import wait_until

SECRET = new_secret()
"""Signs the webhooks of that Jobcast."""


@pytest.fixture(scope="session")
def speaking() -> Iterator[Live]:
    """A Jobcast without a model server."""
    with running(model=False, WEBHOOK_SECRET=SECRET, WEBHOOK_ALLOW_PRIVATE="127.0.0.1") as shared:
        yield shared


@pytest.fixture
def calm(speaking: Live) -> Iterator[Live]:
    """The same; afterwards no stream, feed or subscription may be left in it, nor a traceback in its log."""
    assert speaking.api
    before = len(speaking.api.output())
    yield speaking
    wait_until(lambda: at_rest(speaking))
    assert "Traceback" not in speaking.api.output()[before:]
