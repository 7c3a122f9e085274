"""What a machine that stands still adds to the times of tests."""

import ctypes
import time

import pytest

from tests.support.machine import Stalls

pytestmark = pytest.mark.slow


def stand_still(seconds: float) -> None:
    """No thread of this process runs meanwhile: who holds the interpreter's lock stops all."""
    ctypes.PyDLL(None).usleep(round(seconds * 1_000_000))


def test_a_stall_counts_though_its_witness_has_not_woken_up_yet() -> None:
    with Stalls() as stalls:
        begun = time.monotonic()
        for seconds in (0.5, 0.8):
            stand_still(seconds)
            # Asked in the same moment, most of the time.
            assert stalls.longest(begun) > seconds - 0.2
        assert stalls.since(begun) > 1.0
        assert stalls.recovery(begun, lease_s=2) > 3.0
