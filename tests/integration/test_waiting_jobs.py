"""A job that nobody takes says so, and why."""

import time

import pytest

from tests.support.live import Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.brief
def test_a_job_without_a_worker_says_so_after_five_seconds(calm: Live) -> None:
    started = time.monotonic()
    job_id = calm.submit("speak", {}, queue="nobody-here")
    assert calm.job(job_id)["hint"] is None
    wait_until(lambda: calm.job(job_id)["hint"] is not None)
    assert time.monotonic() - started > 4.5
    found = calm.job(job_id)
    assert found["status"] == "queued"
    assert "nobody-here" in found["hint"]
    with calm.client() as client:
        assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    assert calm.job(job_id)["status"] == "cancelled"


@pytest.mark.brief
def test_a_job_that_is_to_wait_says_until_when(calm: Live) -> None:
    job_id = calm.submit("speak", {"pieces": ["late"]}, delay_s=0.5)
    assert "waits until" in calm.job(job_id)["hint"]
    assert calm.job(job_id, wait_s=15)["result"] == {"characters": 4}
