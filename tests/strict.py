"""A pytest plugin: with CI_STRICT=1 a skipped test fails, with the reason of its skip.

Locally a test that needs what is not installed skips. In CI nobody would see that it never runs.
"""

import os
from collections.abc import Generator
from typing import Any, TypeVar

import pytest

R = TypeVar("R", pytest.TestReport, pytest.CollectReport)
STRICT = os.environ.get("CI_STRICT") == "1"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skip inside a test, or by a mark."""
    return _failed_if_skipped((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A skip of a whole module."""
    return _failed_if_skipped((yield))


def _failed_if_skipped(report: R) -> R:
    if STRICT and report.skipped and not hasattr(report, "wasxfail"):
        reason: Any = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}: nothing may skip where CI_STRICT=1"
    return report
