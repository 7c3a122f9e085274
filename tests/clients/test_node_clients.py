"""The clients of npm, each in a script of its own beside this."""

import shutil
from pathlib import Path

import pytest

from tests.clients.following import Following, program, submit
from tests.support.live import Live

HERE = Path(__file__).parent
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.clients,
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(NODE is None, reason="node is not installed"),
    pytest.mark.skipif(not (HERE / "node_modules").is_dir(), reason="npm ci has not run in tests/clients"),
]


@pytest.mark.parametrize(("name", "end"), [("eventsource", "204"), ("eventsource-client", "closed")])
def test_an_event_source_follows_over_a_restart_and_stops_at_204(restartable: Live, name: str, end: str) -> None:
    address = f"{restartable.url}/v1/jobs/{submit(restartable)}/events?exact=1"
    following = Following(program(str(NODE), str(HERE / f"{name}.mjs"), address))
    following.over_a_restart(restartable)
    assert following.stopped == end


def test_ws_follows_over_a_restart_and_is_closed_with_1000(restartable: Live) -> None:
    address = f"{restartable.ws_url}/v1/jobs/{submit(restartable)}/ws?exact=1"
    following = Following(program(str(NODE), str(HERE / "ws.mjs"), address))
    following.over_a_restart(restartable)
    assert following.stopped == "1000"
