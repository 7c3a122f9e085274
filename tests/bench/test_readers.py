"""The load generator counts what is there: tokens in any framing, gaps, repeats, and how late they are."""

import json
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bench.build import program
from tests.support.raw_server import raw_server, response

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler: apt-get install gcc libc6-dev"),
]


def block(*numbers: int, stamp: int = 0) -> str:
    """An event with these tokens."""
    text = "".join(f"~{number},{stamp};xx" for number in numbers)
    return f'id: {numbers[-1]}\nevent: token\ndata: {{"text":"{text}"}}\n\n'


def chunked(body: bytes, size: int) -> bytes:
    """A body in chunks that end anywhere."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def count(tmp_path: Path, answer: bytes, expect: int, **options: Any) -> dict[str, float]:
    """What one reader counts in an answer."""
    targets = tmp_path / "targets"
    targets.write_text("/any\n")
    with raw_server(answer, hold=True) as server:
        words = {"targets": targets, "port": urlsplit(server.url).port, "storm": 1, "expect": expect, "timeout": 20}
        command = [str(program("readers"))]
        command += [str(word) for name, value in (words | options).items() for word in (f"--{name}", value)]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    begin, end, figures = said.splitlines()
    assert (begin, end) == ("begin", "end")
    found: dict[str, float] = json.loads(figures)
    return found


def test_every_token_is_counted_also_where_several_are_joined(tmp_path: Path) -> None:
    found = count(tmp_path, response(block(0) + ": ping\n" + block(1, 2, 3) + block(4)), 5)
    assert (found["tokens"], found["events"], found["done"]) == (5, 3, 1)
    assert (found["gaps"], found["repeats"], found["broken"]) == (0, 0, 0)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_chunks_may_end_anywhere(tmp_path: Path, size: int) -> None:
    body = chunked("".join(block(number) for number in range(50)).encode(), size)
    found = count(tmp_path, response(body, more="Transfer-Encoding: chunked\r\n"), 50)
    assert (found["tokens"], found["gaps"], found["broken"]) == (50, 0, 0)


def test_what_is_missing_and_what_comes_twice_is_seen(tmp_path: Path) -> None:
    found = count(tmp_path, response(block(0) + block(3) + block(3) + block(4)), 4)
    assert (found["gaps"], found["repeats"]) == (2, 1)


def test_latency_is_the_time_since_the_stamp(tmp_path: Path) -> None:
    found = count(tmp_path, response(block(0, stamp=time.monotonic_ns() - 3_000_000_000)), 1)
    assert 3_000 * 0.98 <= found["p50_ms"] <= 60_000


def test_websocket_frames_are_taken_apart(tmp_path: Path) -> None:
    texts = [f"~{number},0;".encode() + b"x" * size for number, size in enumerate((0, 200, 70_000))]
    frames = b"".join(frame(text) for text in texts)
    switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    found = count(tmp_path, switching + frames, 3, kind="ws")
    assert (found["tokens"], found["events"], found["gaps"]) == (3, 3, 0)


def frame(text: bytes) -> bytes:
    """An unmasked text frame."""
    size = len(text)
    if size < 126:
        return struct.pack("!BB", 0x81, size) + text
    return (struct.pack("!BBH", 0x81, 126, size) if size < 65_536 else struct.pack("!BBQ", 0x81, 127, size)) + text


def test_a_refusal_is_no_reader(tmp_path: Path) -> None:
    found = count(tmp_path, response("{}", "application/json", status="503 Service Unavailable"), 1)
    assert (found["ready"], found["failed"]) == (0, 1)
