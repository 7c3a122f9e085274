"""What axe finds, in every state and in both themes: nothing."""

from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import AXE
from tests.browser.steps import SPEECH, ends, open_job, output, sees_words, slow_speech
from tests.support.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def violations(page: Page) -> list[dict[str, Any]]:
    """What axe has to say about a page as it stands."""
    found: dict[str, Any] = await page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [{"id": each["id"], "nodes": [node["html"] for node in each["nodes"]]} for each in found["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(browser: Browser, live: Live, scheme: Literal["light", "dark"]) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm ci in tests/clients")
    failed = live.submit("fail", {"how": "final"}, metadata={"title": "to fail"})
    running, _ = slow_speech(live, pieces=2000)
    counting = live.submit("count", {"total": 600, "pause_s": 0.1})
    async with await browser.new_context(base_url=live.url, color_scheme=scheme, reduced_motion="reduce") as context:
        await context.add_init_script(path=AXE)
        page = await context.new_page()
        await page.goto("/")
        await expect(page.get_by_label("Prompt")).to_be_visible()
        assert await violations(page) == []
        await open_job(page, running)
        await sees_words(page, 3)
        assert await violations(page) == []
        await open_job(page, counting)
        await expect(page.locator(".steps li")).to_have_count(1)
        assert await violations(page) == []
        await page.get_by_role("button", name="Cancel").click()
        await ends(page, "Cancelled")
        await open_job(page, failed)
        await ends(page, "Failed")
        for summary in await page.locator("summary:visible").all():
            await summary.click()
        assert await violations(page) == []
        await page.get_by_role("button", name="Delete").click()
        assert await violations(page) == []


async def test_states_are_announced_and_tokens_are_not(page: Page, live: Live) -> None:
    with live.under_way("speak", **SPEECH) as job_id:
        await open_job(page, job_id)
        await expect(page.locator("#announcer")).to_have_text("Job running")
        live_region = "e => e.closest('[aria-live], [role=status], [role=alert], [role=log]')"
        assert await output(page).evaluate(live_region) is None
    await expect(page.locator("#announcer")).to_have_text("Job succeeded")


async def test_the_keyboard_reaches_everything(page: Page, live: Live) -> None:
    job_id, _ = slow_speech(live, pieces=5)
    await open_job(page, job_id)
    await ends(page)
    seen: list[str] = []
    for _ in range(14):
        await page.keyboard.press("Tab")
        seen.append(await page.evaluate("document.activeElement.textContent.trim().slice(0, 40)"))
    assert seen[0] == "Skip to the content"
    for name in ("New job", "Run again", "Copy text", "Delete", "Result", "Details"):
        assert name in seen
