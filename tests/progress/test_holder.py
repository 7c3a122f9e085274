"""Who holds a job, and whether that process is gone: tried with real ones, and with a /proc of another shape."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from progress import holder
from progress.holder import Holder
from tests.support.waiting import state_of, wait_until

CHILD = """
import signal
from progress.holder import Holder
print(Holder.here().machine, Holder.here().process, flush=True)
signal.pause()
"""


@pytest.fixture
def here() -> Holder:
    """This process. Skips where the system does not tell."""
    found = Holder.here()
    if found is None:
        pytest.skip("no /proc here: a holder is lost when its lease is over")
    return found


@contextmanager
def other() -> Iterator[tuple[subprocess.Popen[str], Holder]]:
    """Another process, and the name that it gives itself."""
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, Holder(*process.stdout.readline().split())
        finally:
            process.kill()


def test_processes_of_a_machine_have_names_of_their_own(here: Holder) -> None:
    with other() as (_, one), other() as (_, another):
        assert {one.machine, another.machine} == {here.machine}
        assert len({here.process, one.process, another.process}) == 3
        assert not any(here.knows_gone(process) for process in (here.process, one.process, another.process))


def test_a_process_that_was_killed_is_gone_though_its_parent_has_not_noticed(here: Holder) -> None:
    with other() as (process, one):
        process.kill()
        wait_until(lambda: state_of(process.pid) == "Z")
        assert here.knows_gone(one.process)
        process.wait()
        assert here.knows_gone(one.process)


def test_a_process_that_was_stopped_is_not_gone(here: Holder) -> None:
    with other() as (process, one):
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: state_of(process.pid) == "T")
        assert not here.knows_gone(one.process)


def test_another_process_that_got_its_id_does_not_pass_for_it(here: Holder) -> None:
    pid, _, began = here.process.partition(".")
    assert here.knows_gone(f"{pid}.{int(began) - 1}")


class Proc:
    """A /proc as this process would find it elsewhere; ``pid`` is what it calls this process."""

    def __init__(self, directory: Path, pid: int) -> None:
        self.directory = directory
        self.stat("self", pid)
        self.namespace("pid")
        self.namespace("time")
        boot = directory / "sys/kernel/random/boot_id"
        boot.parent.mkdir(parents=True)
        boot.write_text("boot\n")

    def stat(self, name: str, pid: int, state: str = "S", began: int = 77) -> None:
        (self.directory / name).mkdir(exist_ok=True)
        fields = [state, *("0" for _ in range(18)), str(began), "0"]
        (self.directory / name / "stat").write_text(f"{pid} (odd ) name) {' '.join(fields)}\n")

    def namespace(self, name: str) -> None:
        (self.directory / "self/ns").mkdir(exist_ok=True)
        (self.directory / "self/ns" / name).write_text("")

    def lacks(self, name: str) -> None:
        (self.directory / name).unlink()


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proc:
    monkeypatch.setattr(holder, "_PROC", tmp_path)
    return Proc(tmp_path, os.getpid())


def found() -> Holder:
    here = Holder.here()
    assert here is not None
    return here


def test_its_name_is_that_of_kernel_namespaces_and_start(proc: Proc) -> None:
    inodes = [(proc.directory / "self/ns" / name).stat().st_ino for name in ("pid", "time")]
    assert found() == Holder(f"boot-{inodes[0]}-{inodes[1]}", f"{os.getpid()}.77")


def test_another_namespace_of_processes_is_another_machine(proc: Proc) -> None:
    before = found()
    (proc.directory / "self/ns/pid").rename(proc.directory / "was")
    proc.namespace("pid")
    assert found().machine != before.machine
    assert found().process == before.process


def test_a_kernel_without_namespaces_of_time_will_do(proc: Proc) -> None:
    proc.lacks("self/ns/time")
    assert found().machine.count("-") == 1


@pytest.mark.parametrize("name", ["self/stat", "self/ns/pid", "sys/kernel/random/boot_id"])
def test_where_the_system_does_not_tell_a_process_has_no_name(proc: Proc, name: str) -> None:
    proc.lacks(name)
    assert Holder.here() is None


def test_a_proc_of_another_namespace_is_not_believed(proc: Proc) -> None:
    proc.stat("self", os.getpid() + 1)
    assert Holder.here() is None


@pytest.mark.parametrize(("state", "gone"), [("R", False), ("D", False), ("T", False), ("Z", True), ("X", True)])
def test_a_dead_process_is_told_by_its_state(
    proc: Proc, monkeypatch: pytest.MonkeyPatch, state: str, gone: bool
) -> None:
    monkeypatch.setattr(os, "kill", lambda *_: None)
    proc.stat("12", 12, state)
    assert found().knows_gone("12.77") is gone
    assert found().knows_gone("12.78")


def test_a_process_that_others_hide_is_not_taken_for_gone(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert not found().knows_gone("12.77")
    proc.stat("12", 12)
    assert not found().knows_gone("12.77")
    assert found().knows_gone("12.76")
