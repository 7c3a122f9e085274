"""Programs kept running, with stand-ins of one line of Python."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.processes import Child, Program, StartError, how_it_ended
from tests.support.waiting import gone, until

WAITS = "import signal; signal.pause()"
SAYS_READY = f"print('up and ready', flush=True); {WAITS}"
IGNORES_TERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SAYS_READY}"
HAS_A_CHILD = (
    "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']);"
    "print('child', p.pid, 'ready', flush=True); p.wait()"
)
READY = re.compile("ready")


class Launch:
    """Starts children and notes what they say; the fixture stops them all."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.children: list[Child] = []

    def child(self, code: str, **options: object) -> Child:
        program = Program("it", [sys.executable, "-c", code], **options)  # type: ignore[arg-type]  # by name
        self.children.append(Child(program, lambda _name, text: self.lines.append(text)))
        return self.children[-1]

    def said(self, text: str) -> bool:
        return any(text in line for line in self.lines)


@pytest.fixture
async def launch() -> AsyncIterator[Launch]:
    launch = Launch()
    yield launch
    for child in launch.children:
        child.kill()
        await child.stop()


async def test_a_program_is_up_when_it_has_said_its_line(launch: Launch) -> None:
    await launch.child(SAYS_READY, up_line=READY).start()
    assert launch.lines == ["up and ready"]


async def test_a_program_is_up_when_its_probe_says_yes(launch: Launch) -> None:
    answers = iter([False, False, True])

    async def probe() -> bool:
        return next(answers)

    await launch.child(WAITS, is_up=probe).start()
    assert next(answers, "asked three times") == "asked three times"


async def test_a_program_that_dies_at_first_is_an_error_that_names_it(launch: Launch) -> None:
    with pytest.raises(StartError, match="it did not start: exit status 7"):
        await launch.child("import sys; print('no luck'); sys.exit(7)", up_line=READY).start()
    assert launch.lines == ["no luck"]


async def test_a_program_that_never_gets_ready_is_an_error(launch: Launch) -> None:
    with pytest.raises(StartError, match="not ready after"):
        await launch.child(WAITS, up_line=READY, start_timeout_s=0.3).start()


async def test_a_killed_program_is_started_again_with_a_line_that_says_so(launch: Launch) -> None:
    child = launch.child(SAYS_READY, up_line=READY)
    await child.start()
    first = child.pid
    assert first is not None
    os.killpg(first, signal.SIGKILL)
    await until(lambda: len(launch.lines) == 3)
    assert launch.lines == ["up and ready", "died (killed by SIGKILL); starting it again", "up and ready"]
    assert child.pid != first


async def test_a_program_that_dies_again_and_again_is_started_after_growing_pauses(launch: Launch) -> None:
    # By a clock of its own: a busy machine may hear of both at once.
    await launch.child("import time; print('hi', time.monotonic(), flush=True)").start()
    await until(lambda: sum(line.startswith("hi") for line in launch.lines) >= 3)
    _, second, third = [float(line.split()[1]) for line in launch.lines if line.startswith("hi")][:3]
    assert third - second > 0.4


async def test_stopping_asks_first(launch: Launch) -> None:
    goes = f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('bye'))); {SAYS_READY}"
    child = launch.child(goes, up_line=READY)
    await child.start()
    await child.stop()
    assert launch.lines == ["up and ready", "bye"]
    assert child.pid is not None
    assert gone(child.pid)


async def test_stopping_asks_nobody_but_the_program_itself(launch: Launch) -> None:
    """Its pool processes have jobs, which it hands back first."""
    pool = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: print('hit', flush=True));"
        "print('here', file=sys.stderr, flush=True); sys.stdin.read(); print('told', flush=True)"
    )
    leads = (
        "import signal, subprocess, sys;"
        f"p = subprocess.Popen([sys.executable, '-c', {pool!r}], stdin=subprocess.PIPE, stderr=subprocess.PIPE);"
        "signal.signal(signal.SIGTERM, lambda *_: (p.stdin.close(), p.wait(), sys.exit()));"
        "p.stderr.readline(); print('ready', flush=True); signal.pause()"
    )
    child = launch.child(leads, up_line=READY)
    await child.start()
    await child.stop()
    assert launch.lines == ["ready", "told"]


async def test_what_does_not_stop_within_its_grace_is_killed(launch: Launch) -> None:
    child = launch.child(IGNORES_TERM, up_line=READY, grace_s=0.2)
    await child.start()
    await child.stop()
    assert child.pid is not None
    assert gone(child.pid)


async def test_a_stop_during_the_pause_before_a_restart_is_at_once(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.processes.FIRST_PAUSE_S", 600)
    child = launch.child("print('hi', flush=True)")
    await child.start()
    # The first time it is started again at once.
    await until(lambda: sum("died" in line for line in launch.lines) == 2)
    async with asyncio.timeout(30):
        await child.stop()
    assert launch.lines.count("hi") == 2


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_what_a_program_started_goes_with_it(launch: Launch, how: signal.Signals) -> None:
    child = launch.child(HAS_A_CHILD, up_line=READY)
    await child.start()
    grandchild = int(launch.lines[0].split()[1])
    assert child.pid is not None
    os.kill(child.pid, how)
    await until(lambda: gone(grandchild))


async def test_lines_are_passed_on_whole_and_undecodable_bytes_do_no_harm(launch: Launch) -> None:
    code = (
        "import os; os.write(1, b'one\\ntw'); os.write(1, b'o\\xff\\n\\n'); os.write(2, b'three'); "
        "os.write(1, b'x' * 200_000)"
    )
    await launch.child(f"{code}; {WAITS}", mute=re.compile("^one")).start()
    await until(lambda: len(launch.lines) > 2)
    assert launch.lines[0] == "two\N{REPLACEMENT CHARACTER}"
    assert launch.lines[1].startswith("threexxx")
    assert set(launch.lines[2]) == {"x"}


async def test_a_program_gets_its_own_settings_on_top_of_ours(launch: Launch, tmp_path: Path) -> None:
    code = "import os; print(os.environ['PATH'] != '', os.environ['EXTRA'], 'ready', flush=True)"
    await launch.child(f"{code}; {WAITS}", env={"EXTRA": str(tmp_path)}, up_line=READY).start()
    assert launch.lines == [f"True {tmp_path} ready"]


def test_an_end_is_told_in_words() -> None:
    assert how_it_ended(3) == "exit status 3"
    assert how_it_ended(-9) == "killed by SIGKILL"
    assert how_it_ended(None) == "still running"
