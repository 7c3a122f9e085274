"""Signing in, where the server wants a key."""

from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, expect

from tests.browser.steps import ends, shown_text
from tests.support.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]
KEY = "a-key-that-nobody-guesses"


@pytest.fixture
def guarded() -> Iterator[Live]:
    """A Jobcast of its own that asks for keys."""
    with Live(model=False, API_KEYS=f"me:{KEY}") as own:
        own.start_worker("llm")
        own.start_api()
        yield own


async def test_the_page_asks_for_a_key_and_then_works_by_cookie(browser: Browser, guarded: Live) -> None:
    async with await browser.new_context(base_url=guarded.url) as context:
        page = await context.new_page()
        await page.goto("/")
        key = page.get_by_label("API key")
        await key.fill("wrong")
        await key.press("Enter")
        await expect(page.locator("#key-error")).to_contain_text("not known")
        await key.fill(KEY)
        await key.press("Enter")
        await page.locator("#kind").select_option("speak")
        await expect(page.locator(".composer .curl code")).to_contain_text("Bearer $JOBCAST_API_KEY")
        await page.get_by_label("pieces").fill("said in private")
        await page.get_by_role("button", name="Submit").click()
        await ends(page)
        assert await shown_text(page) == "said in private"
        assert [cookie["httpOnly"] for cookie in await context.cookies()] == [True]
        assert KEY not in await page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("API key")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("heading", name="Not signed in")).to_be_visible()
