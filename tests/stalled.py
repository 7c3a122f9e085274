"""A pytest plugin: a test with the mark ``brief`` is played again where it failed while this machine stood still.

A lease of 0.2 s is over after a stall of 0.3 s, whatever holds it. Where the machine ran, its failure counts at once.
"""

import time
from typing import Any, Final

import pytest
from _pytest.runner import runtestprotocol

from tests.support.machine import Stalls

TRIES: Final = 4
_AGAIN: Final = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Nothing has been played again yet."""
    config.stash[_AGAIN] = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Plays a test of brief times, and tells of its last play."""
    if item.get_closest_marker("brief") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _last_play(item, nextitem):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _last_play(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    reports, stalled_s = _play(item, nextitem)
    for _ in range(TRIES - 1):
        if not stalled_s or not any(report.failed for report in reports):
            break
        item.config.stash[_AGAIN].append(f"{item.nodeid}: after {stalled_s:.1f} s")
        reports, stalled_s = _play(item, nextitem)
    return reports


def _play(item: pytest.Item, nextitem: pytest.Item | None) -> tuple[list[pytest.TestReport], float]:
    """What became of one play, and for how many seconds the machine stood still."""
    with Stalls() as stalls:
        begun = time.monotonic()
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
    return reports, stalls.since(begun)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Nothing is played again unseen."""
    if again := config.stash[_AGAIN]:
        terminalreporter.section("played again, since this machine stood still")
        for line in again:
            terminalreporter.write_line(line)
