"""The set-up behind `make`: what it says where it cannot go on."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

TOO_OLD = "exit 1"
SHIM_WITHOUT_A_PYTHON = "echo 'pyenv: python3: command not found' >&2; exit 127"
WITHOUT_VENV = 'case "$*" in *"import venv"*) exit 1;; esac'
WITHOUT_INDEX = """
case "$*" in
    *"-m pip"*install*) exit 1;;
    *"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone on a machine that has a shell and no Python."""
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "dirname", "rm", "mkdir", "cp", "touch"):
        found = shutil.which(tool)
        assert found
        (tmp_path / "bin" / tool).symlink_to(found)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def put_python(clone: Path, does: str, name: str = "python3") -> None:
    path = clone / "bin" / name
    path.write_text(f"#!{shutil.which('sh')}\n{does}\n")
    path.chmod(0o755)


def set_up(clone: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(clone / "requirements" / "setup.sh"), "run"],
        env={"PATH": str(clone / "bin"), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("does", [None, TOO_OLD, SHIM_WITHOUT_A_PYTHON], ids=["none", "too old", "a shim"])
def test_without_a_python_that_is_new_enough_one_line_says_what_to_do(clone: Path, does: str | None) -> None:
    if does is not None:
        put_python(clone, does)
    ended = set_up(clone)
    assert ended.returncode == 1
    assert ended.stderr == (
        "set-up: no Python 3.11 or newer on the PATH: install one, or name it with make PYTHON=/path/to/python3\n"
    )


def test_an_older_python3_is_passed_over_for_a_newer_one_beside_it(clone: Path) -> None:
    put_python(clone, TOO_OLD)
    put_python(clone, WITHOUT_VENV, "python3.12")
    assert "set-up: python3.12 lacks its venv module" in set_up(clone).stderr


def test_a_python_that_is_named_is_the_one_or_none(clone: Path) -> None:
    put_python(clone, WITHOUT_VENV)
    ended = set_up(clone, PYTHON="/no/such/python")
    assert ended.stderr == "set-up: PYTHON=/no/such/python is no Python 3.11 or newer\n"


def test_a_python_without_venv_is_told_with_the_mend(clone: Path) -> None:
    put_python(clone, WITHOUT_VENV)
    assert "apt-get install python3-venv" in set_up(clone).stderr


def test_dependencies_that_cannot_be_had_are_told_and_tried_again_next_time(clone: Path) -> None:
    put_python(clone, WITHOUT_INDEX)
    ended = set_up(clone)
    assert ended.returncode == 1
    assert "the dependencies could not be installed" in ended.stderr
    assert not (clone / ".venv" / "run.stamp").exists()


def test_make_help_lists_every_command() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    for command in ("up", "test", "unit", "check", "bench", "scale", "clean"):
        assert f"  make {command} " in told


def test_ci_runs_the_same_commands() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert script.splitlines()[-2:] == ["make check", "make test"]
    assert "export CI_STRICT=1" in script
