"""The RabbitMQ of the tests leaves nothing behind."""

import sys
from pathlib import Path

import pytest

from tests.support.rabbit_server import RabbitServer

pytestmark = pytest.mark.integration


@pytest.mark.skipif(sys.platform != "linux", reason="where the kernel does not watch, the leash stays beside it")
def test_the_process_that_goes_with_the_tests_is_the_server_itself(rabbit_server: RabbitServer) -> None:
    assert Path(f"/proc/{rabbit_server.pid}/comm").read_text().strip() == "beam.smp"


def test_it_starts_no_daemon_that_would_stay(rabbit_server: RabbitServer) -> None:
    assert rabbit_server.evaluate("whereis(rabbit_epmd_monitor)") == "undefined"
