"""What a person does on the page, and what they see there."""

from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.support.live import Live

ENDED = ("Succeeded", "Failed", "Cancelled")
SPEECH: dict[str, Any] = {"pieces": [f"word-{number} " for number in range(20)], "pause_s": 0.03}
"""What a job says while it is under way, over and over."""


def slow_speech(live: Live, *, pieces: int = 60, pause_s: float = 0.03, **fields: Any) -> tuple[str, str]:
    """Submits a job that speaks for a while: its id, and all that it will say."""
    words = [f"word-{number} " for number in range(pieces)]
    return live.submit("speak", {"pieces": words, "pause_s": pause_s}, **fields), "".join(words)


def chip(page: Page) -> Locator:
    """The status of the job that is looked at."""
    return page.locator(".job-line .chip")


def output(page: Page) -> Locator:
    """Its text."""
    return page.locator(".output-text").first


def row(page: Page, job_id: str) -> Locator:
    """A job in the list."""
    return page.locator(f".job-list a[href*='{job_id}']")


async def open_job(page: Page, job_id: str) -> None:
    """Goes to a job's address."""
    await page.goto(f"/?job={job_id}")


async def sees_words(page: Page, count: int) -> None:
    """Waits until so many words are there."""
    await expect(output(page)).to_contain_text(f"word-{count - 1} ")


async def shown_text(page: Page) -> str:
    """The text, exactly as it stands in the document."""
    return await output(page).evaluate("element => element.textContent") or ""


async def ends(page: Page, status: str = "Succeeded", *, timeout_s: float | None = None) -> None:
    """Waits until the job has ended so, and what came with its end is on the page."""
    timeout_ms = timeout_s and timeout_s * 1000
    await expect(chip(page)).to_have_text(status, timeout=timeout_ms)
    # The record may tell the end before the log has come.
    await expect(page.locator("article.job")).to_have_attribute("aria-busy", "false", timeout=timeout_ms)
    await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


async def write_prompt(page: Page, prompt: str) -> None:
    """Opens the form and fills in the prompt."""
    await page.goto("/")
    await page.locator("#kind").select_option("generate")
    await page.get_by_label("Prompt").fill(prompt)


def job_of(page: Page) -> str:
    """The id of the job that the address names."""
    return page.url.partition("job=")[2].partition("&")[0]
