"""`python -m server.demo_model` as a process: its one line, its clean end, its refusal of a taken port."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from server.demo_model.serve import base_url, open_socket
from tests.support.live import NO_TLS
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "server.demo_model", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def active(url: str) -> int:
    count: int = httpx.get(f"{url.removesuffix('/v1')}/healthz", timeout=30, verify=NO_TLS).json()["active"]
    return count


def test_it_prints_where_it_listens() -> None:
    with program("--port", "0") as process:
        line = first_line(process)

        assert line.startswith("demo model on http://127.0.0.1:")
        assert httpx.get(f"{line.split()[-1]}/models", timeout=30).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_and_quietly_with_streams_open(number: signal.Signals) -> None:
    with program() as process:
        url = first_line(process).split()[-1]
        body = {"messages": [{"role": "user", "content": "[[demo: tokens=100000]]"}], "stream": True}
        with (
            httpx.Client(timeout=30) as http,
            http.stream("POST", f"{url}/chat/completions", json=body),
            http.stream("POST", f"{url}/chat/completions", json=body),
        ):
            wait_until(lambda: active(url) == 2)
            told = time.monotonic()
            process.send_signal(number)
            output = process.communicate(timeout=60)

        assert time.monotonic() - told < 30, "it waits for its streams, which go on for minutes"
        assert (process.returncode, output) == (0, ("", ""))


def test_a_taken_port_is_one_line_and_status_1() -> None:
    with open_socket("127.0.0.1", 0) as taken, program("--port", str(taken.getsockname()[1])) as process:
        output, errors = process.communicate(timeout=30)

    assert (process.returncode, output) == (1, "")
    assert errors.startswith("demo model: cannot listen on 127.0.0.1:")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("pace", ["0", "-1", "fast"])
def test_a_pace_must_be_above_0(pace: str) -> None:
    with program("--tokens-per-s", pace) as process:
        errors = process.communicate(timeout=30)[1]

    assert process.returncode == 2
    assert "--tokens-per-s" in errors


def test_an_address_of_ipv6_is_bracketed() -> None:
    try:
        listener = open_socket("::1", 0)
    except OSError as error:
        pytest.skip(f"no IPv6 on this machine: {error}")
    with listener:
        assert base_url(listener) == f"http://[::1]:{listener.getsockname()[1]}/v1"
