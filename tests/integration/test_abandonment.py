"""Jobs that are to be cancelled when nobody reads them."""

import json
import time
from typing import Any

import pytest

from tests.support.live import ENDED, Live
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

WORDS = {"pieces": ["word "] * 400, "pause_s": 0.02}
UNREAD_S = 1


def ended_soon(live: Live, job_id: str) -> dict[str, Any]:
    """A job that ends long before it has said everything."""
    asked = time.monotonic()
    wait_until(lambda: live.job(job_id)["status"] in ENDED)
    assert time.monotonic() - asked < 6 + live.stalls.since(asked)
    return live.job(job_id)


def test_a_job_that_nobody_ever_reads_is_cancelled(live: Live) -> None:
    job_id = live.submit("speak", WORDS, on_disconnect={"cancel_after_s": UNREAD_S})
    job = ended_soon(live, job_id)
    assert job["status"] == "cancelled"
    assert live.events(job_id)[-1]["reason"] == "abandoned"


@pytest.mark.brief
def test_a_job_goes_on_while_somebody_reads_and_ends_after_the_last_has_left(live: Live) -> None:
    job_id = live.submit("speak", WORDS, on_disconnect={"cancel_after_s": UNREAD_S})
    with (
        live.client() as client,
        client.stream("GET", f"/v1/jobs/{job_id}/events", params={"format": "ndjson"}) as answer,
    ):
        read_until = time.monotonic() + 3 * UNREAD_S
        for line in answer.iter_lines():
            assert json.loads(line)["type"] in ("queued", "started", "token"), "it is read, so it goes on"
            if time.monotonic() > read_until:
                break
    assert live.job(job_id)["status"] == "running"
    assert ended_soon(live, job_id)["status"] == "cancelled"


def test_a_job_goes_on_unread_where_nothing_was_said(live: Live) -> None:
    job_id = live.submit("speak", {"pieces": ["word "] * 60, "pause_s": 0.02})
    assert live.job(job_id, 20)["status"] == "succeeded"


def test_a_time_that_makes_no_sense_is_named(live: Live) -> None:
    with live.client() as client:
        body = {"kind": "speak", "input": {}, "on_disconnect": {"cancel_after_s": 0}}
        answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "on_disconnect.cancel_after_s"
