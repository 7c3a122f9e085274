"""Webhooks over HTTP: what a submission may ask for, and what its deliveries look like."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import Response

from progress.commands import SettleDelivery, TakeDeliveries, Tried
from progress.signing import new_secret
from tests.support.api import Api, api_with
from tests.support.waiting import until

URL = "https://example.com/jobs"


@pytest.fixture
async def signing() -> AsyncIterator[Api]:
    """An API with a secret, which may also call 10.0.0.0/8."""
    async with api_with(webhook_secret=(new_secret(),), webhook_allow_private=("10.0.0.0/8",)) as running:
        yield running
        await until(lambda: running.at_rest)


async def submitted(api: Api, webhook: Any) -> Response:
    return await api.client.post("/v1/jobs", json={"kind": "echo", "input": {"text": "x"}, "webhook": webhook})


async def field_of_refusal(api: Api, webhook: Any) -> str:
    answer = await submitted(api, webhook)
    assert answer.status_code == 422, answer.text
    return str(answer.json()["errors"][0]["field"])


def settle(api: Api, status: int | None, again_ms: int | None) -> None:
    (due,) = api.worker.run(TakeDeliveries(60_000, 10))
    api.worker.run(SettleDelivery(due.job_id, due.claim, Tried(status, None if status else "refused", 5), again_ms))


@pytest.mark.parametrize(
    "webhook", [URL, {"url": URL}, {"url": URL, "events": ["failed", "cancelled"]}, "http://10.0.0.7/"]
)
async def test_a_webhook_is_a_url_alone_or_with_the_ends_it_wants(signing: Api, webhook: Any) -> None:
    answer = await submitted(signing, webhook)
    assert answer.status_code == 202
    job = signing.worker.read(answer.json()["id"])
    wanted = webhook if isinstance(webhook, dict) else {"url": webhook}
    assert (job.webhook, job.webhook_events) == (wanted["url"], ",".join(wanted.get("events", [])) or None)


@pytest.mark.parametrize(
    ("webhook", "field"),
    [
        ("http://127.0.0.1/", "webhook.url"),
        ("https://user:pass@example.com/", "webhook.url"),
        ("nonsense", "webhook.url"),
        ("", "webhook.url"),
        ({"url": URL, "events": []}, "webhook.events"),
        ({"url": URL, "events": ["started"]}, "webhook.events.0"),
        ({"url": URL, "secret": "x"}, "webhook.secret"),
        ({}, "webhook.url"),
        (5, "webhook"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_its_field(signing: Api, webhook: Any, field: str) -> None:
    assert await field_of_refusal(signing, webhook) == field
    assert (await signing.client.get("/v1/jobs")).json()["jobs"] == []


async def test_without_a_secret_the_setting_is_named(api: Api) -> None:
    assert "JOBCAST_WEBHOOK_SECRET" in (await submitted(api, URL)).json()["detail"]


async def test_a_retry_tells_the_same_webhook(signing: Api) -> None:
    first = (await submitted(signing, {"url": URL, "events": ["failed"]})).json()["id"]
    await signing.client.post(f"/v1/jobs/{first}/cancel")
    again = (await signing.client.post(f"/v1/jobs/{first}/retry")).json()["id"]
    job = signing.worker.read(again)
    assert (job.webhook, job.webhook_events) == (URL, "failed")


async def test_deliveries_are_shown_from_the_first_try_to_the_last(signing: Api) -> None:
    path = "/v1/jobs/" + (await submitted(signing, URL)).json()["id"]
    shown = (await signing.client.get(f"{path}/deliveries")).json()
    assert shown == {"url": URL, "state": "waiting", "next_at": None, "deliveries": []}
    await signing.client.post(f"{path}/cancel")
    shown = (await signing.client.get(f"{path}/deliveries")).json()
    assert (shown["state"], shown["next_at"] is None) == ("pending", False)
    settle(signing, None, 0)
    settle(signing, 204, None)
    shown = (await signing.client.get(f"{path}/deliveries")).json()
    assert (shown["state"], shown["next_at"]) == ("delivered", None)
    assert [(one["status"], one["error"], one["duration_ms"]) for one in shown["deliveries"]] == [
        (None, "refused", 5),
        (204, None, 5),
    ]
    assert shown["deliveries"][0]["at"] < shown["deliveries"][0]["next_at"]


async def test_one_that_was_given_up_can_be_asked_for_once_more(signing: Api) -> None:
    path = "/v1/jobs/" + (await submitted(signing, URL)).json()["id"]
    assert (await signing.client.post(f"{path}/deliveries")).status_code == 409
    await signing.client.post(f"{path}/cancel")
    settle(signing, 410, None)
    assert (await signing.client.get(f"{path}/deliveries")).json()["state"] == "given_up"
    answer = await signing.client.post(f"{path}/deliveries")
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    settle(signing, 204, None)
    assert (await signing.client.get(f"{path}/deliveries")).json()["state"] == "delivered"


async def test_a_job_without_a_webhook_has_no_deliveries(api: Api) -> None:
    path = f"/v1/jobs/{api.worker.ended()}/deliveries"
    assert (await api.client.get(path)).json() == {"url": None, "state": "none", "next_at": None, "deliveries": []}
    assert (await api.client.post(path)).status_code == 409
    assert (await api.client.get("/v1/jobs/0-0/deliveries")).status_code == 404


async def test_an_end_that_nobody_wants_to_hear_of_is_not_told(signing: Api) -> None:
    path = "/v1/jobs/" + (await submitted(signing, {"url": URL, "events": ["failed"]})).json()["id"]
    await signing.client.post(f"{path}/cancel")
    assert (await signing.client.get(f"{path}/deliveries")).json()["state"] == "none"
