"""A webhook of a real job: told by the worker that is there, signed, and seen in the job's deliveries."""

import pytest

from tests.integration.conftest import SECRET
from tests.support.live import Live
from tests.support.receiver import Receiver
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


def test_the_end_of_a_job_is_told_to_its_webhook(calm: Live) -> None:
    with Receiver() as receiver:
        job_id = calm.submit("speak", {"pieces": ["a", "b"]}, webhook=receiver.url)
        wait_until(lambda: bool(receiver.got))
        (told,) = receiver.verified(SECRET)
    assert (told["type"], told["data"]) == ("job.succeeded", calm.job(job_id))
    with calm.client() as client:

        def state() -> str:
            return str(client.get(f"/v1/jobs/{job_id}/deliveries").json()["state"])

        wait_until(lambda: state() == "delivered")
