"""Watching a job on the page: leaving, coming back, and missing nothing."""

import asyncio
import time

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.browser.steps import (
    SPEECH,
    chip,
    ends,
    job_of,
    open_job,
    output,
    row,
    sees_words,
    shown_text,
    slow_speech,
    write_prompt,
)
from tests.support.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_submitted_prompt_is_watched_to_its_end(page: Page, live: Live) -> None:
    await write_prompt(page, "Tell me about the sea.")
    await page.keyboard.press("Control+Enter")
    await ends(page)
    result = live.job(job_of(page))["result"]
    assert await shown_text(page) == result["text"] != ""
    await expect(page.get_by_role("heading", level=1)).to_have_text("Tell me about the sea.")
    await expect(page.locator("#announcer")).to_have_text("Job succeeded")


async def test_a_reload_in_the_middle_loses_nothing(page: Page, live: Live) -> None:
    with live.under_way("speak", **SPEECH) as job_id:
        await open_job(page, job_id)
        await sees_words(page, 10)
        await page.reload()
        await expect(chip(page)).to_have_text("Running")
    await ends(page)
    assert await shown_text(page) == live.said(job_id)


@pytest.mark.slow
async def test_what_is_said_while_offline_comes_afterwards(page: Page, context: BrowserContext, live: Live) -> None:
    with live.under_way("speak", **SPEECH) as job_id:
        await open_job(page, job_id)
        await sees_words(page, 5)
        await context.set_offline(True)
        await asyncio.to_thread(live.restart_api)
        await expect(page.locator("#badge")).to_have_text("Offline")
    await asyncio.to_thread(live.job, job_id, 20)
    await context.set_offline(False)
    await ends(page)
    assert await shown_text(page) == live.said(job_id)
    await expect(page.locator("#badge")).to_have_text("Live")


@pytest.mark.slow
async def test_a_restart_of_the_api_is_seen_and_survived(page: Page, live: Live) -> None:
    with live.under_way("speak", **SPEECH) as job_id:
        await open_job(page, job_id)
        await sees_words(page, 5)
        await asyncio.to_thread(live.stop_api)
        await expect(page.locator("#badge")).to_have_text("Reconnecting")
        await asyncio.to_thread(live.start_api)
        await expect(page.locator("#badge")).to_have_text("Live")
    await ends(page)
    assert await shown_text(page) == live.said(job_id)


async def test_two_tabs_see_the_same(page: Page, context: BrowserContext, live: Live) -> None:
    other = await context.new_page()
    with live.under_way("speak", **SPEECH) as job_id:
        await open_job(page, job_id)
        await sees_words(page, 5)
        await open_job(other, job_id)
        await sees_words(other, 5)
    await ends(page)
    await ends(other)
    assert [await shown_text(page), await shown_text(other)] == [live.said(job_id)] * 2


async def test_a_cancelled_job_keeps_what_it_said(page: Page, live: Live) -> None:
    job_id, words = slow_speech(live, pieces=2000)
    await open_job(page, job_id)
    await sees_words(page, 5)
    await page.get_by_role("button", name="Cancel").click()
    await ends(page, "Cancelled")
    said = await shown_text(page)
    assert words.startswith(said)
    assert said != words
    await expect(row(page, job_id)).to_contain_text("Cancelled")


async def test_the_text_of_a_failed_attempt_goes(page: Page, live: Live) -> None:
    job_id = live.submit("fail", {"attempts": 1})
    await open_job(page, job_id)
    await ends(page)
    assert await shown_text(page) == "attempt 2 "
    await expect(page.locator(".facts")).to_contain_text("attempt 2 of")


async def test_a_failure_says_why_and_runs_again(page: Page, live: Live) -> None:
    job_id = live.submit("fail", {"how": "final"})
    await open_job(page, job_id)
    await ends(page, "Failed")
    await expect(page.locator(".note.bad")).to_have_text("Told to fail for good.")
    await page.get_by_role("button", name="Run again").click()
    await expect(page).not_to_have_url(f"{live.url}/?job={job_id}")
    await ends(page, "Failed")
    assert live.job(job_of(page))["retry_of"] == job_id


async def test_a_counting_job_shows_steps_and_progress(page: Page, live: Live) -> None:
    with live.under_way("count", total=100, pause_s=0.01) as job_id:
        await open_job(page, job_id)
        await expect(page.locator(".steps [aria-current=step]")).to_have_text("counting")
        await expect(page.locator(".progress-words")).to_contain_text("of 100")
        await expect(row(page, job_id).locator("progress")).to_be_visible()
    await ends(page)
    await expect(page.locator(".steps [data-done]")).to_have_text("counting")
    await expect(page.get_by_label("Result")).to_contain_text('"total": 100')


async def test_markup_in_a_text_stays_text(page: Page, live: Live) -> None:
    evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>\u2028</div>'
    job_id = live.submit("speak", {"pieces": [evil]}, metadata={"title": evil})
    await open_job(page, job_id)
    await ends(page)
    assert await shown_text(page) == evil
    await expect(page.get_by_role("heading", level=1)).to_contain_text("<script>")
    assert await page.locator("main img, main script, #jobs img, #jobs script").count() == 0


async def test_the_view_follows_the_text_only_while_its_reader_is_at_the_end(page: Page, live: Live) -> None:
    lines = [f"word-{number} \n" for number in range(100)]
    with live.under_way("speak", pieces=lines, pause_s=0.01) as job_id:
        await open_job(page, job_id)
        box = page.get_by_role("region", name="Output")
        await sees_words(page, 60)
        assert await box.evaluate("e => e.scrollHeight - e.scrollTop - e.clientHeight") < 40
        await box.evaluate("e => { e.scrollTop = 0 }")
        await expect(page.get_by_role("button", name="Jump to the end")).to_be_visible()
        long = await box.evaluate("e => e.scrollHeight")
        await page.wait_for_function("long => document.querySelector('.output-text').offsetHeight > long", arg=long)
        assert await box.evaluate("e => e.scrollTop") == 0
        await page.get_by_role("button", name="Jump to the end").click()
    await ends(page)
    assert await box.evaluate("e => e.scrollHeight - e.scrollTop - e.clientHeight") < 40


@pytest.mark.slow
async def test_a_hundred_thousand_tokens_do_not_freeze_the_page(page: Page, live: Live) -> None:
    job_id = live.submit("speak", {"pieces": ["a few words, "] * 9 + ["and a line.\n"], "repeat": 10_000})
    await page.goto("/")
    began = time.monotonic()
    await page.evaluate(
        """() => {
            let last = performance.now();
            window.longest = 0;
            const beat = () => {
                const now = performance.now();
                window.longest = Math.max(window.longest, now - last);
                last = now;
                setTimeout(beat, 0);
            };
            beat();
        }"""
    )
    await expect(row(page, job_id)).to_be_visible()
    await row(page, job_id).click()
    await ends(page, timeout_s=90)
    text = ("a few words, " * 9 + "and a line.\n") * 10_000
    await expect(output(page)).to_be_visible()
    assert await shown_text(page) == text
    assert await page.evaluate("window.longest") < 1000 * (1 + live.stalls.since(began))


@pytest.mark.slow
async def test_a_job_that_nobody_serves_says_so(page: Page, live: Live) -> None:
    job_id = live.submit("speak", {}, queue="nobody")
    await open_job(page, job_id)
    await expect(page.locator(".notes")).to_contain_text("Number 1 in the queue nobody.")
    await expect(page.locator(".notes")).to_contain_text("No worker serves the queue nobody")
    await page.get_by_role("button", name="Cancel").click()
    await ends(page, "Cancelled")


async def test_coming_back_from_another_page_goes_on(page: Page, live: Live) -> None:
    with live.under_way("speak", **SPEECH) as job_id:
        await open_job(page, job_id)
        await sees_words(page, 5)
        await page.goto("/livez")
        await page.go_back()
        await expect(chip(page)).to_have_text("Running")
    await ends(page)
    assert await shown_text(page) == live.said(job_id)


async def test_the_children_of_a_job_are_shown_and_lead_to_theirs(page: Page, live: Live) -> None:
    beside = [{"kind": "speak", "input": {"pieces": [f"child {number}"]}} for number in range(2)]
    parent = live.submit("workflow", {"steps": [{"name": "beside", "parallel": beside}]})
    await open_job(page, parent)
    await ends(page)
    children = page.get_by_role("region", name="Children")
    await expect(children.get_by_role("listitem")).to_have_text(["speak 1Succeeded", "speak 2Succeeded"])
    await expect(page.locator(".facts")).not_to_contain_text("attempt")
    await children.get_by_role("link", name="speak 2").click()
    await expect(output(page)).to_have_text("child 1")
    await page.locator("summary", has_text="Details").click()
    await page.get_by_role("link", name=parent).click()
    await expect(children).to_be_visible()
