"""The house's rules, read from the source: which way imports point, and who may know which library."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("progress", "server", "tasks")

# Package → what else of ours it may import. `tasks.queue` is the one way from the API to a worker: a protocol to
# enqueue with; `tasks.registry` tells the API which kinds there are. The command line starts workers, too.
ARROWS = {
    "progress": (),
    "tasks": ("progress",),
    "server": ("progress", "tasks.queue", "tasks.registry", "tasks.app"),
    "server.cli": ("progress", "tasks.main", "tasks.app"),
}
# Library → the one package that knows it.
OWNERS = {
    "redis": "progress",
    "hiredis": "progress",
    "celery": "tasks",
    "kombu": "tasks",
    "billiard": "tasks",
    "fastapi": "server",
    "starlette": "server",
    "sse_starlette": "server",
    "uvicorn": "server",
    "websockets": "server",
}


@dataclass(frozen=True)
class Import:
    """Module ``importer`` imports ``imported``, at the given line of its file."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def name_of(path: Path) -> str:
    """``progress/hub.py`` is ``progress.hub``; ``progress/__init__.py`` is ``progress``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {name_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def imports_of(module: str, text: str) -> Iterator[Import]:
    """Every import in a module, inside functions and under ``TYPE_CHECKING`` as well."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            for alias in node.names:
                # `from progress import keys` imports progress.keys; `from progress.keys import PREFIX` does not.
                whole = f"{node.module}.{alias.name}"
                yield Import(module, whole if whole in SOURCES else str(node.module), node.lineno)


IMPORTS = [found for name, path in SOURCES.items() for found in imports_of(name, path.read_text("utf-8"))]
OURS = [found for found in IMPORTS if found.imported.partition(".")[0] in PACKAGES]


def is_within(module: str, of: str) -> bool:
    return module == of or module.startswith(f"{of}.")


def allowed(found: Import) -> bool:
    package = found.importer.partition(".")[0]
    arrows = ARROWS.get(found.importer, ARROWS[package])
    return any(is_within(found.imported, of) for of in (package, *arrows))


def test_the_source_is_found() -> None:
    assert {"progress.events", "server.cli", "tasks.registry"} <= SOURCES.keys()
    assert len(OURS) > 50


def test_imports_follow_the_arrows() -> None:
    assert [str(found) for found in OURS if not allowed(found)] == []


@pytest.mark.parametrize(("library", "owner"), OWNERS.items())
def test_each_library_is_known_to_one_package(library: str, owner: str) -> None:
    strangers = [
        str(found) for found in IMPORTS if is_within(found.imported, library) and not is_within(found.importer, owner)
    ]
    assert strangers == []


def test_there_is_no_import_cycle_not_even_a_lazy_one() -> None:
    graph: dict[str, set[str]] = {name: set() for name in SOURCES}
    for found in OURS:
        if found.importer != found.imported and found.imported in SOURCES:
            graph[found.importer].add(found.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_the_vocabulary_does_no_input_or_output() -> None:
    pure = {"progress.events", "progress.jobs", "progress.errors", "progress.keys", "progress.commands"}
    reached = {found.imported for found in IMPORTS if found.importer in pure}
    assert not reached & {"redis", "redis.asyncio", "socket", "asyncio", "threading", "subprocess", "httpx"}


@pytest.mark.parametrize("path", sorted(SOURCES.values()), ids=sorted(SOURCES))
def test_every_module_opens_with_what_lives_there(path: Path) -> None:
    documented = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    assert documented, f"{path} has no docstring"


@pytest.mark.parametrize("lock", ["run.txt", "dev.txt"])
def test_a_lock_names_versions_and_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text("utf-8")
    assert not re.search(r"https?:|file:|--(?:extra-)?index|--find-links|\s@\s", text)
    pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert pins
    assert [line for line in pins if not re.match(r"[a-z0-9._-]+==[^ ]+ .*\\$", line)] == []
    assert text.count("--hash=sha256:") >= len(pins)


def test_what_runs_is_locked_to_the_same_versions_as_what_is_tested() -> None:
    run, dev = (
        set(re.findall(r"^(\S+==\S+)", (ROOT / "requirements" / name).read_text("utf-8"), re.MULTILINE))
        for name in ("run.txt", "dev.txt")
    )
    assert run <= dev


def test_npm_locks_name_no_address() -> None:
    locks = [path for path in (ROOT / "tests").glob("*/package-lock.json") if "node_modules" not in path.parts]
    for lock in locks:
        assert '"resolved"' not in lock.read_text("utf-8"), f"{lock}: omit-lockfile-registry-resolved=true"


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import tasks.app", "imports tasks.app"),
        ("def f():\n    from server import sse", "imports server"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tasks import app", "imports tasks.app"),
    ],
)
def test_the_rules_see_an_arrow_that_points_the_wrong_way(code: str, fault: str) -> None:
    wrong = [found for found in imports_of("progress.hub", code) if found.imported.partition(".")[0] in PACKAGES]
    assert [fault in str(found) and not allowed(found) for found in wrong] == [True]
