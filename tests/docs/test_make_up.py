"""`make up`, as the README says it: in a copy of the repository, with no Redis there and no set-up done."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from progress.settings import PREFIX
from tests.docs.markdown import README, ROOT, shell
from tests.docs.running import run_blocks
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds processes in /proc"),
    pytest.mark.skipif(shutil.which("git") is None, reason="copies what git knows"),
]
SERVERS = ("redis", "valkey")
SET_UP_S = 600.0


def copy_repository(folder: Path) -> None:
    """What a clone would hold, with what is not committed yet."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def path_without_servers(links: Path) -> str:
    """The PATH; a folder with a Redis or Valkey is replaced by one with links to all else in it."""
    found = []
    for number, place in enumerate(map(Path, os.environ["PATH"].split(os.pathsep))):
        programs = list(place.iterdir()) if place.is_dir() else []
        if any(program.name.startswith(SERVERS) for program in programs):
            place = links / str(number)  # noqa: PLW2901  # the folder that stands in for it
            place.mkdir(parents=True)
            for program in programs:
                if not program.name.startswith(SERVERS):
                    (place / program.name).symlink_to(program)
        found.append(str(place))
    return os.pathsep.join(found)


def running_in(folder: Path) -> list[str]:
    """What runs there, by its command line."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and (entry / "cwd").readlink().is_relative_to(folder):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
    return found


class Make:
    """`make up` in a terminal of its own, as far as signals go. Leaving the context kills what still runs."""

    def __init__(self, folder: Path, path: str, output: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "VIRTUAL_ENV"))}
        self._output = output
        with output.open("wb") as out:
            self.process = subprocess.Popen(
                # Leashed: a test run that is killed does not leave it.
                [sys.executable, "-m", "server.leash", str(os.getpid()), "make", "up"],
                cwd=folder,
                env={**kept, "PATH": path, "JOBCAST_PORT": "0"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        # The launcher is leashed to make, and everything else to the launcher.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def said(self) -> str:
        """All that was printed."""
        return self._output.read_text("utf-8", "replace")

    def wait_for(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """What it prints; fails where it ends before."""
        wait_until(lambda: bool(re.search(pattern, self.said())) or self.process.poll() is not None, timeout_s)
        found = re.search(pattern, self.said())
        assert found, self.said()
        return found

    def interrupt(self) -> None:
        """Ctrl-C, which a terminal sends to all of a process group."""
        os.killpg(self.process.pid, signal.SIGINT)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the repository, removed afterwards: a virtual environment is large."""
    folder = tmp_path_factory.mktemp("clone").resolve()
    copy_repository(folder)
    yield folder
    shutil.rmtree(folder)


def test_make_up_sets_everything_up_streams_a_job_and_stops_all_of_it(clone: Path, tmp_path: Path) -> None:
    path = path_without_servers(tmp_path / "links")
    assert shutil.which("redis-server", path=path) is None
    assert shutil.which("valkey-server", path=path) is None
    with Make(clone, path, tmp_path / "output") as make:
        address = make.wait_for(r"Jobcast is up: (http://\S+)", SET_UP_S)[1]
        assert len(running_in(clone)) > 5
        curl = next(text for text, _ in shell(README) if "text/plain" in text)
        (streamed,) = run_blocks([curl], address, tmp_path)
        assert len(streamed.split()) > 10
        make.interrupt()
        make.process.wait(30)
        wait_until(lambda: running_in(clone) == [])
        assert "jobcast: stopping" in make.said()
        assert "Traceback" not in make.said()


def test_make_up_starts_at_once_when_set_up_and_nothing_outlives_it(clone: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    with Make(clone, path_without_servers(tmp_path / "links"), tmp_path / "output") as make:
        make.wait_for(r"Jobcast is up: (http://\S+)", SET_UP_S)
        assert time.monotonic() - began < 60
    wait_until(lambda: running_in(clone) == [])
