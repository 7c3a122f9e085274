"""Draining: main process and pool agree on when to let go."""

import os

from tasks.drain import Drain


def test_a_worker_that_was_not_told_to_stop_never_lets_go() -> None:
    assert not Drain().is_over()


def test_a_worker_lets_go_when_its_grace_has_passed() -> None:
    drain = Drain()
    drain.begin(60)
    assert not drain.is_over()
    drain.begin(-1)
    assert drain.is_over()


def test_a_forked_child_sees_what_its_parent_was_told_later() -> None:
    drain = Drain()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(told, 1)
        os._exit(0 if drain.is_over() else 1)
    drain.begin(-1)
    os.write(tell, b"x")
    os.close(tell)
    os.close(told)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
