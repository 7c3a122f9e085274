"""The readers that the other tests have: they may be left at any time."""

import gc

import pytest

from tests.faults.following import Audience, Follower, SocketFollower, TextFollower
from tests.support.live import Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def test_an_audience_that_is_left_in_mid_stream_leaves_no_connection_behind(stage: Live) -> None:
    """As by a test that fails; what is left open would be found by whichever test comes next."""
    stage.start_worker()
    job_id = stage.submit("speak", {"pieces": ["word "] * 1200, "pause_s": 0.05})
    with Audience(stage) as audience:
        for sort in (Follower, SocketFollower, TextFollower) * 5:
            audience.follow(job_id, sort=sort)
        wait_until(lambda: all(reader.text for reader in audience.readers))
    with stage.client() as client:
        client.post(f"/v1/jobs/{job_id}/cancel")
    gc.collect()
