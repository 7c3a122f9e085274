"""The two lanes leave out no test that they should run."""

import re
from pathlib import Path

import pytest

from tests.lanes import FIRST, NOT_FAST, ROOT, UNIT

MODULES = sorted(path for folder in NOT_FAST for path in (ROOT / folder).rglob("test_*.py"))


def left_out() -> set[str]:
    """The marks of tests that ``make unit`` does not run."""
    found = re.search(r"^FAST +:= (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found
    return set(re.findall(r"not (\w+)", found[1]))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT / "tests")))
def test_where_unit_does_not_look_no_test_is_a_fast_one(module: Path) -> None:
    own = re.search(r"^pytestmark = (.*?)^(?=\S)", module.read_text() + "\nend", re.MULTILINE | re.DOTALL)
    assert own
    assert left_out() & set(re.findall(r"pytest\.mark\.(\w+)", own[1]))


def test_every_folder_that_a_lane_names_is_there() -> None:
    assert all((ROOT / folder).is_dir() for folder in (*FIRST, *UNIT, *NOT_FAST))
