"""The commands that talk to a running server: submit, watch, cancel, jobs."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from progress import settings
from server import exits, show
from server.client import ApiError, Client, Json, Unreachable
from server.programs import url_of

API_KEY: Final = "JOBCAST_API_KEY"
STATUSES: Final = ("queued", "running", "retrying", "succeeded", "failed", "cancelled")
WAKE_S: Final = 0.5
_JSON: Final = "JSON|@FILE|-"
_EXITS: Final = {"succeeded": exits.OK, "failed": exits.FAILED, "cancelled": exits.CANCELLED}

Run = Callable[[Client, argparse.Namespace], int]


def add_to(commands: Any) -> None:
    """Adds the commands to a parser's subcommands."""
    submit = _command(commands, "submit", _submit, "submit a job and print its id")
    submit.add_argument("kind", help="see GET /v1/kinds")
    submit.add_argument("--input", type=_json_from, default={}, metavar=_JSON, help="the input")
    submit.add_argument(
        "--file", action="append", default=[], type=_field_and_path, metavar="FIELD=PATH", help="upload it first"
    )
    submit.add_argument("--queue")
    submit.add_argument("--priority", type=int, help="0 to 9, 9 the most urgent")
    submit.add_argument("--metadata", type=_json_from, metavar=_JSON)
    submit.add_argument("--idempotency-key", help="the same key and input give the same job")
    then = submit.add_mutually_exclusive_group()
    then.add_argument("--follow", action="store_true", help="show the job as it runs")
    then.add_argument("--wait", action="store_true", help="print the result when the job has ended")
    upload = _command(commands, "upload", _upload, "upload a file and print its id")
    upload.add_argument("path", type=_path, help="- is standard input")
    _command(commands, "watch", _watch, "show a job from its start, running or ended").add_argument("id")
    _command(commands, "cancel", _cancel, "ask a job to stop; it keeps what it has made").add_argument("id")
    _command(commands, "schedules", _schedules, "list schedules, the next one first")
    jobs = _command(commands, "jobs", _jobs, "list jobs, newest first")
    jobs.add_argument("--status", choices=STATUSES)
    jobs.add_argument("--kind")
    jobs.add_argument("--limit", type=int, default=20)


def _command(commands: Any, name: str, run: Run, about: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
    made.add_argument("--url", help="address of the server; http://127.0.0.1:$JOBCAST_PORT where left out")
    made.add_argument("--api-key", help=f"key that the server asks for; ${API_KEY} where left out")
    made.set_defaults(run=lambda parsed: connected(run, parsed))
    return made


def connected(run: Run, parsed: argparse.Namespace) -> int:
    """Runs a command with a client, and turns what can go wrong into an exit status."""
    try:
        with _client(parsed) as client:
            return run(client, parsed)
    except httpx.InvalidURL as error:
        return exits.complain(f"--url {parsed.url}: {error}", exits.USAGE)
    except Unreachable as error:
        return exits.complain(str(error), exits.UNREACHABLE)
    except ApiError as error:
        return exits.complain(f"{error} ({error.code or error.status})", _refused(error.status))
    except BrokenPipeError:
        # Nobody reads any more. The interpreter's last flush would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.BROKEN_PIPE


def _client(parsed: argparse.Namespace) -> Client:
    key = parsed.api_key or os.environ.get(API_KEY)
    if parsed.url:
        return Client(parsed.url, key)
    # The server's own settings lie here, and with them a key that it takes.
    here = settings.current()
    return Client(url_of(here, here.port), key or next(iter(here.api_keys.values()), None))


def _refused(status: int) -> int:
    if status in {502, 503, 504}:
        return exits.UNREACHABLE
    return exits.USAGE if status < 500 else exits.FAILED


def _submit(client: Client, parsed: argparse.Namespace) -> int:
    asked = {name: getattr(parsed, name) for name in ("kind", "input", "queue", "priority", "metadata")}
    body = {name: value for name, value in asked.items() if value is not None}
    if parsed.file and not isinstance(parsed.input, dict):
        return exits.complain("--file wants an --input that is an object", exits.USAGE)
    body["input"] = {**parsed.input, **{field: client.upload(path)["id"] for field, path in parsed.file}}
    job_id = client.submit(body, parsed.idempotency_key)["id"]
    if parsed.follow:
        return _follow(client, job_id)
    if parsed.wait:
        return _guarded(lambda: _show_end(client.ended(job_id), show.Display()), job_id)
    sys.stdout.write(f"{job_id}\n")
    return exits.OK


def _upload(client: Client, parsed: argparse.Namespace) -> int:
    sys.stdout.write(f"{client.upload(parsed.path)['id']}\n")
    return exits.OK


def _watch(client: Client, parsed: argparse.Namespace) -> int:
    return _follow(client, parsed.id)


def _follow(client: Client, job_id: str) -> int:
    display = show.Display()

    def follow() -> int:
        for event in client.events(job_id):
            display.show(event)
        return _show_end(client.job(job_id), display)

    return _guarded(follow, job_id)


def _guarded(follow: Callable[[], int], job_id: str) -> int:
    """Ctrl-C leaves the reader; the job goes on."""
    try:
        with _waking():
            return follow()
    except KeyboardInterrupt:
        return exits.complain(f"the job goes on: jobcast watch {job_id}", exits.INTERRUPTED)


@contextmanager
def _waking() -> Iterator[None]:
    """Wakes this thread now and then, out of whatever it waits for.

    A Ctrl-C in the moment before a read begins does not end that read; Python hears of it once the next signal does.
    """
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, WAKE_S, WAKE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _show_end(job: Json, display: show.Display) -> int:
    if job["status"] == "succeeded":
        display.result(job["result"])
    else:
        error = job["error"] or {}
        display.note(f"jobcast: job {job['id']} {job['status']}{_because(error)}")
    return _EXITS[job["status"]]


def _because(error: Json) -> str:
    return f": {error['message']} ({error['code']})" if error else ""


def _cancel(client: Client, parsed: argparse.Namespace) -> int:
    job = client.cancel(parsed.id)
    sys.stdout.write(f"{job['id']}\t{job['status']}\n")
    return exits.OK


def _jobs(client: Client, parsed: argparse.Namespace) -> int:
    asked = {"status": parsed.status, "kind": parsed.kind, "limit": parsed.limit}
    page = client.jobs({name: value for name, value in asked.items() if value is not None})
    sys.stdout.write(show.table(page["jobs"], plain=not sys.stdout.isatty()))
    return exits.OK


def _field_and_path(text: str) -> tuple[str, Path | None]:
    field, equals, path = text.partition("=")
    if not (field and equals):
        raise argparse.ArgumentTypeError(f"{text!r}: give FIELD=PATH, as in file=report.pdf")
    return field, _path(path)


def _path(text: str) -> Path | None:
    """A file that can be read; None is standard input."""
    path = None if text == "-" else Path(text)
    if path and not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return path


def _schedules(client: Client, _parsed: argparse.Namespace) -> int:
    sys.stdout.write(show.timetable(client.schedules()["schedules"], plain=not sys.stdout.isatty()))
    return exits.OK


def _json_from(text: str) -> Any:
    """JSON as it stands, of a file (``@path``) or of standard input (``-``)."""
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        return json.loads(text)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"no JSON: {error}") from None
