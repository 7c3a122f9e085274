"""Chromium's own EventSource, unmodified, as any page may use it."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page

from tests.browser.steps import SPEECH, slow_speech
from tests.support.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

LISTEN = """([id, after]) => {
    window.seen = [];
    window.opened = 0;
    window.source = new EventSource(`/v1/jobs/${id}/events?after=${after}`);
    source.onopen = () => { opened += 1; };
    for (const type of ['queued', 'started', 'token', 'progress', 'succeeded', 'gap', 'message', 'overloaded'])
        source.addEventListener(type, (event) => seen.push([event.lastEventId, event.type, event.data]));
}"""


async def listen(page: Page, job_id: str, after: int = 0) -> None:
    """Opens an EventSource on a page of the same origin."""
    await page.goto("/livez")
    await page.evaluate(LISTEN, [job_id, after])


async def seen(page: Page, count: int = 0) -> list[list[Any]]:
    """What it has had so far, once that is so much."""
    await page.wait_for_function("count => seen.length >= count", arg=count)
    events: list[list[Any]] = await page.evaluate("seen")
    return events


async def stopped(page: Page) -> list[list[Any]]:
    """Everything it had, once it has stopped for good."""
    await page.wait_for_function("source.readyState === EventSource.CLOSED")
    return await seen(page)


def positions(events: list[list[Any]]) -> list[int]:
    """The ``id:`` of each event."""
    return [int(event[0]) for event in events]


async def test_it_gets_everything_and_stops_by_itself(page: Page, live: Live) -> None:
    job_id, words = slow_speech(live, pieces=30)
    await listen(page, job_id)
    events = await stopped(page)
    assert [event[1] for event in events][:2] == ["queued", "started"]
    assert events[-1][1] == "succeeded"
    text = await page.evaluate("seen.filter(e => e[1] === 'token').map(e => JSON.parse(e[2]).text).join('')")
    assert text == words
    assert positions(events) == sorted(set(positions(events)))


async def test_after_a_reload_it_goes_on_where_the_page_was(page: Page, live: Live) -> None:
    job_id, _ = slow_speech(live)
    await listen(page, job_id)
    before = await seen(page, 12)
    await listen(page, job_id, int(before[-1][0]))
    after = await stopped(page)
    both = positions(before) + positions(after)
    assert both == sorted(set(both))
    assert both[-1] == live.job(job_id)["last_seq"]


@pytest.mark.slow
@pytest.mark.parametrize("offline", [False, True])
async def test_it_comes_back_by_itself(page: Page, context: BrowserContext, live: Live, offline: bool) -> None:
    with live.under_way("speak", **SPEECH) as job_id:
        await listen(page, job_id)
        await seen(page, 10)
        # Chromium's emulation cuts no connection that there is, it refuses new ones: the server has to cut this one.
        await context.set_offline(offline)
        await asyncio.to_thread(live.restart_api)
        await context.set_offline(False)
        await page.wait_for_function("opened >= 2")
    events = await stopped(page)
    assert positions(events) == sorted(set(positions(events)))
    text = await page.evaluate("seen.filter(e => e[1] === 'token').map(e => JSON.parse(e[2]).text).join('')")
    assert text == live.said(job_id)


async def test_several_jobs_come_over_one_connection(page: Page, live: Live) -> None:
    jobs = [slow_speech(live, pieces=20) for _ in range(8)]
    await page.goto("/livez")
    await page.evaluate(
        """async (ids) => {
            const { Jobcast } = await import('/static/jobcast.js');
            const client = new Jobcast();
            window.opened = 0;
            client.follow(ids[0], { onConnection: () => {} });
            const followed = ids.map((id) => client.follow(id));
            await Promise.all(followed.map((job) => job.ended));
            window.texts = followed.map((job) => job.text);
        }""",
        [job_id for job_id, _ in jobs],
    )
    assert await page.evaluate("texts") == [words for _, words in jobs]
