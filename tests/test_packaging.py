"""The wheel: everything that runs is in it, and nothing else."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("progress", "server", "tasks")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """The names of the files in a wheel, built without a network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return frozenset(archive.namelist())


def files(folder: str) -> set[str]:
    """What a folder of the repository holds, save what Python leaves there."""
    found = (ROOT / folder).rglob("*")
    return {str(path.relative_to(ROOT)) for path in found if path.is_file() and "__pycache__" not in path.parts}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_whole_with_its_scripts_and_texts(wheel: frozenset[str], package: str) -> None:
    assert files(package) <= wheel


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_tells_that_it_is_typed(wheel: frozenset[str], package: str) -> None:
    assert f"{package}/py.typed" in wheel


def test_the_page_is_in_the_wheel_beside_the_server(wheel: frozenset[str]) -> None:
    page = {f"server/_static/{name.removeprefix('static/')}" for name in files("static")}
    assert "server/_static/index.html" in page
    assert page <= wheel


def test_nothing_else_is_in_the_wheel(wheel: frozenset[str]) -> None:
    top = {name.partition("/")[0] for name in wheel}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)
    assert not {name for name in wheel if "__pycache__" in name or name.endswith(".pyc")}


def test_the_licence_goes_with_it(wheel: frozenset[str]) -> None:
    assert any(name.endswith("/licenses/LICENSE") for name in wheel)


def test_the_changelog_knows_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"## {version}" in changelog or "## Unreleased" in changelog
