"""What goes wrong in a thread that others depend on is logged, and no more."""

import logging

import pytest

from progress.threads import surviving

logger = logging.getLogger(__name__)


def test_what_goes_wrong_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with surviving(logger, "job %s failed", "the-job"):
        raise RuntimeError("told to")
    (record,) = caplog.records
    assert record.getMessage() == "job the-job failed"
    assert record.exc_info
    assert "told to" in caplog.text


def test_an_end_of_the_process_is_none_of_its_business() -> None:
    with pytest.raises(KeyboardInterrupt), surviving(logger, "no"):
        raise KeyboardInterrupt
