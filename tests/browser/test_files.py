"""Files on the page: chosen in the form, and shown where a job has made some."""

import asyncio
import io
import os
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Page, expect

from tests.browser.steps import ends, job_of
from tests.support.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


def png() -> bytes:
    """A picture, 64 by 40."""
    made = io.BytesIO()
    Image.new("RGB", (64, 40), "teal").save(made, "PNG")
    return made.getvalue()


async def test_a_file_is_chosen_submitted_and_comes_back(page: Page, live: Live, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("what the file says")
    (tmp_path / "drawn.bin").write_bytes(png())
    await page.goto("/")
    await page.locator("#kind").select_option("copy-file")
    await page.get_by_label("File", exact=True).set_input_files(tmp_path / "notes.txt")
    await page.get_by_label("Picture").set_input_files(tmp_path / "drawn.bin")
    await expect(page.get_by_role("status").filter(has_text="notes.txt: text/plain, 18 bytes")).to_be_visible()
    if shots := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=f"{shots}/files-form.png", full_page=True)
    await page.get_by_role("button", name="Submit").click()
    await ends(page)
    files = page.get_by_label("Files").get_by_role("listitem")
    await expect(files).to_have_count(2)
    async with page.expect_download() as started:
        await files.filter(has_text="draft ü.txt").get_by_role("link").click()
    download = await started.value
    assert download.suggested_filename == "draft ü.txt"
    assert await asyncio.to_thread(Path(await download.path()).read_text) == "what the file says"
    picture = files.get_by_role("link").locator("img")
    await expect(picture).to_have_js_property("naturalWidth", 64)
    if shots:
        await page.screenshot(path=f"{shots}/files-job.png", full_page=True)
    assert (await asyncio.to_thread(live.job, job_of(page)))["result"]["name"] == "notes.txt"


async def test_a_page_that_somebody_uploads_does_not_run_as_one_of_ours(page: Page, live: Live) -> None:
    evil = b"<!doctype html><title>idle</title><script>document.title = 'it ran'</script>"
    with live.client() as client:
        stored = client.post("/v1/files", params={"name": "a.html"}, content=evil).json()
    answer = await page.goto(f"{live.url}{stored['links']['content']}")
    assert answer
    assert (answer.headers["content-type"], await page.title()) == ("text/plain; charset=utf-8", "")
