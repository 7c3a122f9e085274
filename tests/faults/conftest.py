"""The brokers that faults are tried on, and an API for tests that bring their workers."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.faults.crew import guests
from tests.faults.plays import LEASE_S
from tests.support.live import Live
from tests.support.rabbit_server import RabbitServer

BROKERS: Final = ("redis", "rabbitmq")


def settings_of(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the settings of a Jobcast have more than others whose broker is the parameter of a fixture."""
    if request.param == "redis":
        return {}
    server: RabbitServer = request.getfixturevalue("rabbit_server")
    return {"BROKER_URL": server.new_url()}


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of each broker."""
    return settings_of(request)


@pytest.fixture
def both_brokers(rabbit_server: RabbitServer) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of Redis and of RabbitMQ, for what is tried on both beside each other."""
    return {}, {"BROKER_URL": rabbit_server.new_url()}


@pytest.fixture(scope="package")
def theatre() -> Iterator[Live]:
    """An API on a Redis of its own, with a short lease."""
    with Live(model=False, LEASE_S=str(LEASE_S), DRAIN_S="1") as live:
        live.start_api()
        yield live


@pytest.fixture
def stage(theatre: Live) -> Iterator[Live]:
    """The same, without workers; those that a test brings go with it."""
    with guests(theatre):
        yield theatre
