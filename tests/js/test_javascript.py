"""Runs what node tests and checks, so that one command tests everything."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.clients

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "static"
CLIENTS = HERE.parent / "clients"
OLDEST_NODE = (20, 4)
MOST_LINES = 300


def run(*command: str) -> str:
    """What a node program prints. Its failure is the test's, with all of that."""
    env = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=HERE.parents[1], capture_output=True, text=True, timeout=100, check=False, env=env
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def node() -> str:
    """The path of a node that has mock timers."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("no node on the PATH")
    version = tuple(map(int, re.findall(r"\d+", run(path, "--version"))[:2]))
    if version < OLDEST_NODE:
        pytest.skip(f"node {version} is too old for these tests: {OLDEST_NODE} or newer")
    return path


def test_the_client_library_does_what_it_says(node: str) -> None:
    files = sorted(str(path) for path in HERE.glob("*.test.js"))
    assert "# fail 0" in run(node, "--test", "--test-reporter=tap", *files)


def test_its_types_hold(node: str) -> None:
    checker = CLIENTS / "node_modules/typescript/bin/tsc"
    if not checker.exists():
        pytest.skip("typescript is not installed: npm ci in tests/clients")
    run(node, str(checker), "--project", str(CLIENTS))


@pytest.mark.parametrize("path", sorted(STATIC.rglob("*.js")), ids=lambda path: str(path.relative_to(STATIC)))
def test_a_module_is_short_and_asks_no_other_site(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= MOST_LINES
    for line in lines:
        assert "innerHTML" not in line.replace("without innerHTML", "")
        assert not re.search(r"(from|import\()\s*['\"]https?:", line)
