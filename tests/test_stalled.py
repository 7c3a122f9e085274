"""The plugin that plays tests of brief times again where this machine stood still."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# What holds the interpreter's lock stops every thread, as a machine that stands still does.
TESTS = """
import ctypes, pathlib, pytest

def stall():
    ctypes.PyDLL(None).usleep(400_000)

def plays(name):
    with pathlib.Path(name).open("a") as file:
        file.write("x")
    return pathlib.Path(name).stat().st_size

@pytest.fixture
def fresh():
    return []

@pytest.mark.brief
def test_stalled_once(fresh):
    fresh.append(1)
    assert fresh == [1]
    if plays("once") == 1:
        stall()
        assert False

@pytest.mark.brief
def test_stalled_always():
    plays("always")
    stall()
    assert False

@pytest.mark.brief
def test_wrong():
    plays("wrong")
    assert False

def test_unmarked():
    plays("unmarked")
    stall()
    assert False
"""


def test_what_failed_in_a_stall_is_played_again_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "tests.stalled", "-p", "no:cacheprovider", "-W", "ignore", "-q"]
    told = subprocess.run(
        [*command, "-c", os.devnull, "--rootdir", ".", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    ).stdout
    assert "3 failed, 1 passed" in told.splitlines()[-1]
    plays = {name: (tmp_path / name).stat().st_size for name in ("once", "always", "wrong", "unmarked")}
    assert plays == {"once": 2, "always": 4, "wrong": 1, "unmarked": 1}
    assert "test_it.py::test_stalled_once: after 0." in told
