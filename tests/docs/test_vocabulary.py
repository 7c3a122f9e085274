"""Everything that users may rely on stands in the documentation: nothing is added or renamed without it."""

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIWebSocketRoute

from progress import keys
from progress.events import EVENT_TYPES
from progress.jobs import STATUSES
from progress.settings import PREFIX, Settings
from server import cli, errors, exits, negotiation
from server.app import create_app, make_state
from server.routes import sockets
from server.schemas import JobRequest, JobView
from tasks.attempt import STOPPED
from tasks.progress import Progress
from tasks.registry import job
from tests.docs.markdown import PAGES, ROOT, marked, rows, section, shell

API, CLI, DEPLOY, TASKS, INSIDE = (
    ROOT / f"docs/{name}.md" for name in ("api", "cli", "deploy", "tasks", "architecture")
)
EVERYWHERE = {401, 422, 503}
CODE = re.compile(r"[a-z]+(_[a-z]+)*")


@pytest.fixture
async def app() -> FastAPI:
    """The app, of which nothing is started."""
    return create_app(make_state(Settings(_env_file=None, redis_url="redis://127.0.0.1:9")))


def operations(app: FastAPI) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            yield f"`{method.upper()} {path}`", operation


async def test_every_route_has_a_heading_with_its_parameters_and_statuses(app: FastAPI) -> None:
    for heading, operation in operations(app):
        text = section(API, heading)
        for parameter in operation.get("parameters", ()):
            name = parameter["name"]
            told = name in heading or name in text or name.title() in text
            assert told, f"{heading}: {name}"
        statuses = {status for status in operation["responses"] if status not in {"200", "422"}}
        assert [status for status in statuses if status not in text] == [], heading


async def test_no_route_is_documented_that_there_is_not(app: FastAPI) -> None:
    told = re.findall(r"^### (`(?:GET|POST|PUT|PATCH|DELETE) [^`]+`)$", API.read_text("utf-8"), re.MULTILINE)
    assert sorted(told) == sorted(heading for heading, _ in operations(app))


def test_every_websocket_route_has_a_heading() -> None:
    paths = [route.path for route in sockets.router.routes if isinstance(route, APIWebSocketRoute)]
    assert len(paths) == 2
    for path in paths:
        assert section(API, f"`WS {path}`").strip()


def test_every_field_of_a_submission_and_of_a_job_is_told() -> None:
    assert JobRequest.model_fields.keys() - marked(section(API, "`POST /v1/jobs`")) == set()
    assert JobView.model_fields.keys() - marked(section(API, "The Job")) == set()


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("Events", EVENT_TYPES),
        ("The Job", STATUSES),
        ("Event streams", {"open", "overloaded", *negotiation.MEDIA_TYPES, *negotiation.MEDIA_TYPES.values()}),
        ("WebSockets", {sockets.SUBPROTOCOL, *sockets._CODES.values()}),
    ],
)
def test_every_word_of_the_protocol_is_told(heading: str, words: set[str]) -> None:
    text = section(API, heading)
    assert [word for word in words if not re.search(rf"[`\s:]{re.escape(word)}[`\s,]", text)] == []


def test_every_operation_of_a_socket_is_told() -> None:
    text = section(API, "`WS /v1/ws`")
    assert [op for op in sockets.OPERATIONS if f'{{"op":"{op}","job":ID' not in text] == []


def close_codes() -> dict[str, int]:
    values = {name: value for name, value in vars(sockets).items() if isinstance(value, int) and name.isupper()}
    return {name: value for name, value in values.items() if 1000 <= value < 5000}


@pytest.mark.parametrize("page", [API, ROOT / "static/docs.html"], ids=["docs", "page"])
def test_every_close_code_is_told(page: Path) -> None:
    assert len(close_codes()) >= 7
    text = page.read_text("utf-8")
    told = {
        int(code)
        for code in re.findall(r"^\| (\d{4}) \||<th scope=\"row\">(\d{4})</th>", text, re.MULTILINE)
        for code in code
        if code
    }
    assert set(close_codes().values()) <= told


def spelled_codes(package: str, makers: set[str]) -> set[str]:
    """The codes that calls in the source give, and the ``model_…`` ones that it returns."""
    found: set[str] = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in makers:
                found |= {
                    arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                }
            elif isinstance(node, ast.Constant) and str(node.value).startswith("model_") and package == "tasks":
                found.add(str(node.value))
    return {code for code in found if CODE.fullmatch(code)}


def coded(page: Path, heading: str) -> set[str]:
    return marked(section(page, heading))


def test_every_code_of_a_problem_is_told() -> None:
    codes = spelled_codes("server", {"Problem"}) | set(errors._CODES.values())
    assert {"job_not_found", "invalid_json", "payload_too_large"} <= codes
    assert codes - coded(API, "Errors") == set()
    assert {"invalid_request", "invalid_cursor", "unknown_kind", "idempotency_conflict"} <= coded(API, "Errors")


def test_every_code_of_a_failed_job_is_told() -> None:
    codes = spelled_codes("tasks", {"_failed", "_retry_or_fail", "TaskError", "ModelError"}) | {
        "worker_lost",
        "retry",
        STOPPED[0],
    }
    assert {"timeout", "task_error", "model_cut"} <= codes
    assert codes - coded(API, "Errors") - {"model_dump", "model_validate"} == set()


def test_every_setting_is_told_with_its_default() -> None:
    told = {row[0].strip("`"): row[1].strip("`") for row in rows(DEPLOY) if row[0].startswith(f"`{PREFIX}")}
    fields = {
        f"{PREFIX}{name.upper()}": field.get_default(call_default_factory=True)
        for name, field in Settings.model_fields.items()
    }
    defaults = {
        name: "none" if value in ("", (), {}) else str(value).removesuffix(".0").lower()
        for name, value in fields.items()
    }
    assert told == {**defaults, "JOBCAST_BROKER_URL": "JOBCAST_REDIS_URL"}


def commands() -> dict[str, argparse.ArgumentParser]:
    (action,) = (action for action in cli.parser()._actions if isinstance(action, argparse._SubParsersAction))
    found: dict[str, argparse.ArgumentParser] = action.choices
    return found


@pytest.mark.parametrize("name", commands())
def test_every_command_and_option_is_told(name: str) -> None:
    text = CLI.read_text("utf-8")
    assert re.search(rf"^\| `jobcast {name}\b", text, re.MULTILINE)
    options = {text for action in commands()[name]._actions for text in action.option_strings if text.startswith("--")}
    assert [option for option in options if f"`{option}" not in text and option != "--help"] == []


def test_every_exit_status_is_told() -> None:
    statuses = {str(int(value)) for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    assert statuses == {row[0] for row in rows(CLI) if row[0].isdecimal()}


def test_every_command_line_in_the_text_is_one() -> None:
    lines = [line for page in PAGES for text, _ in shell(page) for line in text.splitlines()]
    ours = [shlex.split(line)[1:] for line in lines if re.match(r"(\.venv/bin/)?jobcast ", line)]
    assert len(ours) >= 4
    for arguments in ours:
        cli.parser().parse_args(arguments)


def test_everything_that_a_task_may_call_is_told() -> None:
    text = TASKS.read_text("utf-8")
    public = {name for name in (*vars(Progress), "attempt", "max_attempts", "resumed") if not name.startswith("_")}
    assert [name for name in public if f"progress.{name}" not in text] == []
    arguments = job.__kwdefaults__ or {}
    assert len(arguments) >= 4
    assert [name for name in arguments if f"| `{name}` |" not in text] == []


def test_every_key_and_script_is_told() -> None:
    told = marked(INSIDE.read_text("utf-8"))
    names = [value.removeprefix(keys.PREFIX) for value in vars(keys).values() if str(value).startswith(keys.PREFIX)]
    assert [name for name in names if name and not any(word.startswith(name.strip(":")) for word in told)] == []
    scripts = {path.name for path in (ROOT / "progress/scripts").glob("*.lua")}
    assert scripts - told == set()


@pytest.mark.parametrize("package", ["progress", "server", "tasks"])
def test_every_module_has_its_place_in_the_layout(package: str) -> None:
    text = section(INSIDE, "Layout")
    modules = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    folders = {f"{path.name}/" for path in (ROOT / package).iterdir() if any(path.glob("*.py"))}
    assert (modules | folders) - marked(text) == set()
