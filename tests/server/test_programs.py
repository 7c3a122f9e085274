"""How the launcher knows that a program is up."""

import ssl

import pytest

from server.programs import http_ok
from tests.support.raw_server import raw_server, response


@pytest.mark.parametrize(("status", "up"), [("200 OK", True), ("503 Service Unavailable", False)])
async def test_a_probe_takes_200_for_yes(status: str, up: bool) -> None:
    with raw_server(response("", status=status)) as server:
        assert await http_ok(server.url)() is up
    assert not await http_ok(server.url)(), "nobody listens any more"


async def test_a_probe_reads_no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than everything else in it, and a start is many probes."""
    read: list[object] = []
    monkeypatch.setattr(ssl, "create_default_context", lambda **options: read.append(options))
    with raw_server(response("")) as server:
        assert await http_ok(server.url)()
    assert read == []
