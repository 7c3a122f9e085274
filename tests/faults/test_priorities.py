"""The most urgent job is next, also where hundreds wait and each worker has its hands full."""

from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.support.live import Live
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def shop() -> Iterator[Live]:
    with Live(model=False) as live:
        live.start_api()
        yield live


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_an_urgent_job_starts_next_before_two_hundred_others(shop: Live, pool: str) -> None:
    queue = f"urgent-{pool}"
    with shop.client() as client:

        def submit(priority: int) -> str:
            body = {"kind": "speak", "input": {"pieces": ["x"], "pause_s": 0.05}, "queue": queue, "priority": priority}
            return str(client.post("/v1/jobs", json=body).raise_for_status().json()["id"])

        low = [submit(3) for _ in range(200)]
        shop.start_worker(queue, pool, 1)
        wait_until(lambda: shop.job(low[9])["status"] == "succeeded")
        high = submit(9)
        found = shop.job(high, wait_s=30)
    assert found["status"] == "succeeded"
    accepted = datetime.fromisoformat(found["created_at"])
    # Those that began before it and after it was accepted.
    begun = [job["started_at"] for job in map(shop.job, low) if job["started_at"]]
    before = [at for at in begun if accepted < datetime.fromisoformat(at) and at < found["started_at"]]
    assert len(before) <= 2, "its message was on its way, or one before it was"
    assert len(begun) < 200, "there were others left to be passed"
