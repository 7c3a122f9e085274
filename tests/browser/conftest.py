"""One Chromium for all of these tests, and a page that may not have raised anything when its test is over."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from tests.support.live import Live

AXE = Path(__file__).parents[1] / "clients/node_modules/axe-core/axe.min.js"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Every wait here is for something that happens: a busy machine makes it late, not wrong.
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    """The path of a Chromium; skips where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no Chromium on the PATH: looked for {', '.join(NAMES)}")
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium. Its sandbox needs a user who is not root."""
    path = chromium()
    sandbox = hasattr(os, "geteuid") and os.geteuid() != 0
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=path, args=FLAGS, chromium_sandbox=sandbox)
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser, live: Live) -> AsyncIterator[BrowserContext]:
    """A fresh profile on the shared server; what went wrong in any of its pages fails the test."""
    wrong: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            wrong.append(message.text)

    fresh = await browser.new_context(base_url=live.url, viewport={"width": 1280, "height": 800})
    fresh.set_default_timeout(PATIENCE_MS)
    fresh.on("console", note)
    fresh.on("weberror", lambda error: wrong.append(str(error.error)))
    yield fresh
    await fresh.close()
    assert wrong == []


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> Page:
    """An empty page of that profile."""
    return await context.new_page()
