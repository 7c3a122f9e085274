"""The brokers that faults are tried on."""

from typing import Any, Final

import pytest

from tests.support.rabbit_server import RabbitServer

BROKERS: Final = ("redis", "rabbitmq")


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the settings of a Jobcast on this broker have more than others."""
    if request.param == "redis":
        return {}
    server: RabbitServer = request.getfixturevalue("rabbit_server")
    return {"BROKER_URL": server.new_url()}
