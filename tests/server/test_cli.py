"""The command line, as a person or a script meets it."""

import io
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import progress
from server import cli, exits
from server.cli import foreign_progress, main, parser
from tests.support.waiting import state_of, wait_until

JOB = "01890000-0000-7000-8000-000000000001"
RECORD = {
    "id": JOB,
    "kind": "generate",
    "status": "succeeded",
    "created_at": "2026-01-02T03:04:05.678Z",
    "progress": {"fraction": 1.0},
    "last_seq": 3,
    "result": {"text": "hello"},
    "error": None,
}
EVENTS = [
    {"seq": 1, "type": "started", "attempt": 1, "rollback_to": 0},
    {"seq": 2, "type": "token", "attempt": 1, "text": "hel"},
    {"seq": 3, "type": "token", "attempt": 1, "text": "lo"},
]


class FakeApi:
    """An HTTP server that has one job. ``record`` and ``events`` are what it tells of it; ``asked`` what it heard."""

    def __init__(self) -> None:
        self.record: dict[str, Any] = dict(RECORD)
        self.events: list[dict[str, Any]] = list(EVENTS)
        self.asked: list[tuple[str, str, Any]] = []
        self.hold = False
        self.url = ""

    def answer(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        self.asked.append((method, path, body))
        if "/events" in path:
            end = {"seq": 9, "type": self.record["status"], "attempt": 1}
            events = self.events if self.hold else [*self.events, end]
            return 200, b"".join(json.dumps(event).encode() + b"\n" for event in events)
        if path.startswith("/v1/files"):
            return 201, json.dumps({"id": f"id of {path.partition('=')[2]}"}).encode()
        if JOB not in path and path != "/v1/jobs" and not path.startswith("/v1/jobs?"):
            return 404, json.dumps({"code": "not_found", "detail": "no job x"}).encode()
        if method == "GET" and JOB not in path:
            return 200, json.dumps({"jobs": [self.record], "next": None}).encode()
        return 200, json.dumps(self.record).encode()


@contextmanager
def served(api: FakeApi) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("content-length", 0))
            sent = self.rfile.read(length)
            is_json = self.headers.get("content-type") == "application/json"
            body = json.loads(sent) if is_json else sent or None
            status, answer = api.answer(self.command, self.path, body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer)
            if api.hold and "/events" in self.path:
                self.wfile.flush()
                self.rfile.read(1)  # until the client goes

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        api.url = f"http://127.0.0.1:{http.server_port}"
        thread = Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture
def api() -> Iterator[FakeApi]:
    api = FakeApi()
    with served(api):
        yield api


def test_submit_prints_the_job_s_id_alone(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["submit", "generate", "--input", '{"prompt": "x"}', "--priority", "9", "--queue", "llm"]
    assert main([*words, "--metadata", '{"a": 1}', "--url", api.url]) == exits.OK
    assert capsys.readouterr() == (f"{JOB}\n", "")
    body = {"kind": "generate", "input": {"prompt": "x"}, "queue": "llm", "priority": 9, "metadata": {"a": 1}}
    assert api.asked == [("POST", "/v1/jobs", body)]


def test_input_comes_from_a_file_or_from_standard_input(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "input.json").write_text('{"prompt": "é"}', encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"prompt": "in"}'))
    main(["submit", "generate", "--input", f"@{tmp_path / 'input.json'}", "--url", api.url])
    main(["submit", "generate", "--input", "-", "--url", api.url])
    assert [body["input"]["prompt"] for _, _, body in api.asked] == ["é", "in"]


def test_a_file_is_uploaded_before_it_is_named(api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2")
    (tmp_path / "b.png").write_bytes(b"png")
    files = ["--file", f"file={tmp_path / 'a.csv'}", "--file", f"logo={tmp_path / 'b.png'}"]
    main(["submit", "design", "--input", '{"prompt": "x"}', *files, "--url", api.url])
    (_, first, a), (_, second, b), (_, _, body) = api.asked
    assert (first, second, a, b) == ("/v1/files?name=a.csv", "/v1/files?name=b.png", b"1,2", b"png")
    assert body["input"] == {"prompt": "x", "file": "id of a.csv", "logo": "id of b.png"}


def test_upload_prints_the_file_s_id_alone(api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("1,2")
    assert main(["upload", str(tmp_path / "a.csv"), "--url", api.url]) == exits.OK
    assert capsys.readouterr() == ("id of a.csv\n", "")


def test_submit_and_follow_shows_the_text(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "generate", "--follow", "--url", api.url]) == exits.OK
    assert capsys.readouterr() == ("hello", "")


def test_submit_and_wait_shows_the_result(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "generate", "--wait", "--url", api.url]) == exits.OK
    assert capsys.readouterr() == ("hello\n", "")


@pytest.mark.parametrize(
    ("status", "error", "code", "told"),
    [
        (
            "failed",
            {"code": "llm", "message": "no model"},
            exits.FAILED,
            f"jobcast: job {JOB} failed: no model (llm)\n",
        ),
        ("cancelled", None, exits.CANCELLED, f"jobcast: job {JOB} cancelled\n"),
    ],
)
def test_watch_tells_how_a_job_ended(
    api: FakeApi, capsys: pytest.CaptureFixture[str], status: str, error: Any, code: int, told: str
) -> None:
    api.record |= {"status": status, "error": error}
    assert main(["watch", JOB, "--url", api.url]) == code
    assert capsys.readouterr() == ("hello", told)


def test_cancel_tells_the_job_s_status(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cancel", JOB, "--url", api.url]) == exits.OK
    assert capsys.readouterr().out == f"{JOB}\tsucceeded\n"


def test_jobs_are_lines_with_tabs_in_a_pipe(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "--status", "running", "--limit", "5", "--url", api.url]) == exits.OK
    fields = capsys.readouterr().out.rstrip("\n").split("\t")
    assert (fields[0], fields[2], fields[4]) == (JOB, "succeeded", "100%")
    assert api.asked[0][1] == "/v1/jobs?status=running&limit=5"


def test_a_job_that_is_not_there_is_a_mistake_in_the_command(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "x", "--url", api.url]) == exits.USAGE
    assert capsys.readouterr().err == "jobcast: no job x (not_found)\n"


def test_a_server_that_is_not_there_has_a_status_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    api = FakeApi()
    with served(api):
        pass
    assert main(["jobs", "--url", api.url]) == exits.UNREACHABLE
    assert f"no Jobcast server at {api.url}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dance"],
        ["submit"],
        ["submit", "generate", "--input", "{"],
        ["submit", "generate", "--input", "@/no/such/file"],
        ["submit", "generate", "--follow", "--wait"],
        ["submit", "generate", "--file", "x"],
        ["submit", "generate", "--file", "x=/no/such/file"],
        ["upload", "/no/such/file"],
        ["jobs", "--status", "asleep"],
        ["worker", "--concurrency", "0"],
        ["worker", "--pool", "eventlet"],
    ],
)
def test_a_command_that_cannot_be_understood_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == exits.USAGE
    assert "usage: jobcast" in capsys.readouterr().err


def test_an_address_that_is_none_is_a_mistake_in_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "--url", "http://[::1"]) == exits.USAGE
    assert "http://[::1" in capsys.readouterr().err


def run(words: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "server.cli", *words]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=60)


def test_a_setting_that_is_unknown_stops_the_start_with_one_line() -> None:
    ended = run(["up"], JOBCAST_PROT="8001")
    assert ended.returncode == exits.USAGE
    assert ended.stderr.startswith("jobcast: JOBCAST_PROT is no setting of Jobcast")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["api", "worker", "beat", "flower"])
def test_a_process_by_itself_needs_the_address_of_a_redis(command: str) -> None:
    ended = run([command], JOBCAST_REDIS_URL="", JOBCAST_CELERY_EVENTS="true")
    assert ended.returncode == exits.USAGE
    assert ended.stderr.startswith("jobcast: JOBCAST_REDIS_URL is not set")
    assert ended.stderr.count("\n") == 1


def test_the_server_s_own_settings_say_where_it_is_and_which_key_it_takes(api: FakeApi) -> None:
    port = api.url.rpartition(":")[2]
    ended = run(["jobs"], JOBCAST_PORT=port, JOBCAST_API_KEYS="me:secret")
    assert ended.returncode == exits.OK, ended.stderr
    assert JOB in ended.stdout


def interrupted(api: FakeApi, *start: str) -> subprocess.Popen[str]:
    """`jobcast watch`, started so, which hears a Ctrl-C while it waits for what comes."""
    api.hold = True
    command = [sys.executable, "-P", *start, "watch", JOB, "--url", api.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.read(5) == "hello"
            wait_until(lambda: state_of(process.pid) == "S")  # in the read
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=30)
        finally:
            process.kill()
    assert told == f"jobcast: the job goes on: jobcast watch {JOB}\n"
    return process


def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back(api: FakeApi) -> None:
    assert interrupted(api, "-m", "server.cli").returncode == exits.INTERRUPTED


# Another thread hears of the signal: the main one is left in its read, as by a signal just before that.
HEARD_ELSEWHERE = """
import signal, sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
from server.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_just_before_a_read_is_heard_too(api: FakeApi) -> None:
    assert interrupted(api, "-c", HEARD_ELSEWHERE).returncode == exits.INTERRUPTED


def test_a_reader_that_has_had_enough_is_no_error_worth_a_traceback(api: FakeApi) -> None:
    api.events = [{"seq": seq, "type": "token", "attempt": 1, "text": "x" * 60_000} for seq in range(1, 9)]
    command = [sys.executable, "-P", "-m", "server.cli", "watch", JOB, "--url", api.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        told = process.stderr.read()
    assert process.returncode == exits.BROKEN_PIPE
    assert told == ""


def test_it_says_which_version_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == exits.OK
    project = tomllib.loads((Path(cli.__file__).parent.parent / "pyproject.toml").read_text())["project"]
    assert capsys.readouterr().out == f"jobcast {project['version']}\n"


def test_our_own_progress_package_is_ours() -> None:
    assert foreign_progress(Path(progress.__file__), dir(progress)) is None


@pytest.mark.parametrize(
    ("file", "names"),
    [
        (Path("/elsewhere/site-packages/progress/__init__.py"), ["Progress"]),
        (Path(cli.__file__).parent.parent / "progress" / "__init__.py", ["Infinite", "Progress"]),
    ],
    ids=["found first", "installed over ours"],
)
def test_the_progress_package_of_others_is_told_with_the_mend(file: Path, names: list[str]) -> None:
    told = foreign_progress(file, names)
    assert told is not None
    assert "pip uninstall progress" in told


def test_every_command_of_the_contract_is_there() -> None:
    told = parser().format_help()
    assert all(
        f"\n    {name} " in told for name in ("up", "api", "worker", "beat", "submit", "watch", "cancel", "jobs")
    )
