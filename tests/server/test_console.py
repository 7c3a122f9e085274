"""What the launcher prints."""

import io
import subprocess
import sys

import pytest

from server.console import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_program_s_lines_stand_behind_its_name() -> None:
    out = io.StringIO()
    console = Console(out)
    console.line("api", "hello")
    console.say("Jobcast is up")
    assert out.getvalue() == "api    | hello\nJobcast is up\n"


def test_each_name_has_its_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    console = Console(out)
    for name in ("api", "redis", "api"):
        console.line(name, "hello")
    first, second, third = out.getvalue().splitlines()
    assert first == third == "\x1b[36mapi    |\x1b[0m hello"
    assert second.startswith("\x1b[35mredis  |")


def test_no_colour_where_the_terminal_s_owner_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    Console(out).line("api", "hello")
    assert "\x1b" not in out.getvalue()


def test_a_reader_that_goes_is_told_once_and_nothing_is_printed_any_more() -> None:
    code = (
        "import sys; from server.console import Console\n"
        "console = Console(on_closed=lambda: sys.stderr.write('closed\\n'))\n"
        "sys.stdin.readline()\n"
        "console.say('one'); console.say('two')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(b"go on\n")
        process.stdin.close()
        assert process.stderr.read() == b"closed\n"
        assert process.wait(30) == 0
