"""No model server answers: the job says so in the end, and nothing else is disturbed."""

import pytest

from tests.support.live import Live

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_a_missing_model_server_fails_the_job_with_a_clear_code(calm: Live) -> None:
    job_id = calm.submit("generate", {"prompt": "Is anybody there?"}, max_attempts=2)
    other = calm.submit("speak", {"pieces": ["undisturbed"]})
    assert calm.job(other, wait_s=10)["status"] == "succeeded"
    found = calm.job(job_id, wait_s=60)
    assert (found["status"], found["attempt"]) == ("failed", 2)
    assert found["error"]["code"] == "model_unreachable"
    assert "model server" in found["error"]["message"]
    retries = [event for event in calm.events(job_id) if event["type"] == "retrying"]
    assert [event["error"]["code"] for event in retries] == ["model_unreachable"]
