"""The page around the job: its list, addresses, form and keyboard."""

import asyncio
import shutil
import subprocess
from contextlib import ExitStack

import pytest
from playwright.async_api import Page, Request, expect

from tests.browser.steps import SPEECH, chip, ends, job_of, open_job, row, slow_speech, write_prompt
from tests.support.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_jobs_that_others_submit_appear_and_change(page: Page, live: Live) -> None:
    await page.goto("/")
    await expect(page.locator("#badge")).to_have_text("Live")
    job_id, _ = slow_speech(live, pieces=30, metadata={"title": "from elsewhere"})
    await expect(row(page, job_id)).to_contain_text("from elsewhere")
    await expect(row(page, job_id)).to_contain_text("Succeeded")


async def test_filters_are_kept_in_the_address(page: Page, live: Live) -> None:
    failed, done = live.submit("fail", {"how": "final"}), live.submit("speak", {})
    for job_id in (failed, done):
        await asyncio.to_thread(live.job, job_id, 20)
    await page.goto("/")
    await page.get_by_label("Status").select_option("failed")
    await expect(row(page, failed)).to_be_visible()
    await expect(row(page, done)).to_have_count(0)
    await page.reload()
    await expect(page.get_by_label("Status")).to_have_value("failed")
    await row(page, failed).click()
    await expect(page).to_have_url(f"{live.url}/?status=failed&job={failed}")
    await page.goto("/?kind=speak&status=succeeded")
    await expect(row(page, done)).to_be_visible()
    await expect(row(page, failed)).to_have_count(0)


async def test_each_job_has_an_address_and_back_goes_back(page: Page, live: Live) -> None:
    first, second = live.submit("speak", {"pieces": ["one"]}), live.submit("speak", {"pieces": ["two"]})
    await open_job(page, first)
    await ends(page)
    await row(page, second).click()
    await expect(page.locator(".output-text")).to_have_text("two")
    await page.go_back()
    await expect(page.locator(".output-text")).to_have_text("one")
    await page.go_forward()
    await expect(page.locator(".output-text")).to_have_text("two")
    await page.get_by_role("link", name="New job").click()
    await expect(page.get_by_label("Prompt")).to_be_visible()


async def test_an_address_of_no_job_says_so(page: Page, live: Live) -> None:
    for job_id in ("00000000-0000-7000-8000-000000000000", "nonsense"):
        await open_job(page, job_id)
        await expect(page.get_by_role("heading", name="There is no such job")).to_be_visible()


async def test_the_page_holds_two_event_streams_at_most(page: Page, live: Live) -> None:
    open_now: set[Request] = set()
    most = 0

    def opened(request: Request) -> None:
        nonlocal most
        if request.resource_type == "eventsource":
            open_now.add(request)
            most = max(most, len(open_now))

    def closed(request: Request) -> None:
        open_now.discard(request)

    page.on("request", opened)
    page.on("requestfailed", closed)
    page.on("requestfinished", closed)
    with ExitStack() as under_way:
        jobs = [under_way.enter_context(live.under_way("speak", **SPEECH)) for _ in range(4)]
        await open_job(page, jobs[0])
        for job_id in jobs[1:]:
            await row(page, job_id).click()
            await expect(page.locator(".output-text")).to_contain_text("word-0")
    assert most == 2


async def test_delete_asks_first_and_escape_is_no(page: Page, live: Live) -> None:
    job_id = live.submit("speak", {"pieces": ["gone soon"]})
    await open_job(page, job_id)
    await ends(page)
    await page.get_by_role("button", name="Delete").click()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(chip(page)).to_have_text("Succeeded")
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("heading", name="New job")).to_be_visible()
    await expect(row(page, job_id)).to_have_count(0)


async def test_a_refused_field_is_named_where_it_stands(page: Page, live: Live) -> None:
    await write_prompt(page, "Hello")
    await page.get_by_label("Temperature").fill("9")
    await page.get_by_role("button", name="Submit").click()
    await expect(page.locator("#field-temperature-error")).to_contain_text("less than or equal to 2")
    await expect(page.get_by_label("Temperature")).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("Prompt").fill("")
    await page.get_by_role("button", name="Submit").click()
    await expect(page.get_by_label("Prompt")).to_be_focused()


async def test_other_kinds_get_a_form_from_their_schema(page: Page, live: Live) -> None:
    await page.goto("/")
    await page.locator("#kind").select_option("speak")
    await page.get_by_label("pieces").fill("one \ntwo ")
    await page.get_by_label("repeat").fill("2")
    await page.get_by_role("button", name="Submit").click()
    await ends(page)
    await expect(page.locator(".output-text")).to_have_text("one two one two ")


async def test_json_and_form_are_the_same_input(page: Page, live: Live) -> None:
    await write_prompt(page, "As JSON")
    await page.get_by_role("button", name="Edit as JSON").click()
    editor = page.get_by_label("Input")
    await expect(editor).to_have_value('{\n  "prompt": "As JSON",\n  "temperature": 0.7,\n  "max_tokens": 1024\n}')
    await editor.fill("{")
    await page.get_by_role("button", name="Submit").click()
    await expect(page.locator("#json-error")).to_contain_text("This is not JSON")
    await editor.fill('{"prompt": "Changed", "max_tokens": 3}')
    await page.get_by_role("button", name="Edit in a form").click()
    await expect(page.get_by_label("Prompt")).to_have_value("Changed")


async def test_a_draft_outlives_a_reload(page: Page, live: Live) -> None:
    await write_prompt(page, "Half a thought")
    await page.reload()
    await expect(page.get_by_label("Prompt")).to_have_value("Half a thought")


async def test_the_curl_line_does_what_the_form_does(page: Page, live: Live) -> None:
    if not shutil.which("curl"):
        pytest.skip("there is no curl on the PATH")
    prompt = 'it\'s "$HOME" `id` \\ ! \n\n* é 🌊'
    await write_prompt(page, f"[[demo: echo]]{prompt}")
    line = await page.locator(".composer .curl code").inner_text()
    done = await asyncio.to_thread(
        subprocess.run, ["sh", "-c", line], capture_output=True, timeout=30, check=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert b"event: succeeded" in done.stdout
    with live.client() as client:
        newest = client.get("/v1/jobs", params={"kind": "generate", "limit": 1}).json()["jobs"][0]
    assert newest["result"]["text"].strip() == prompt.strip()


async def test_the_theme_stays_chosen(page: Page, live: Live) -> None:
    await page.goto("/")
    light = await page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
    theme = page.locator("#theme")
    await theme.click()
    await theme.click()
    await expect(theme).to_have_attribute("aria-label", "Theme: dark")
    await page.reload()
    assert await page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor") != light


async def test_nothing_is_cut_off_on_a_narrow_screen(page: Page, live: Live) -> None:
    job_id, _ = slow_speech(live, pieces=5)
    await page.set_viewport_size({"width": 360, "height": 640})
    for address in ("/", f"/?job={job_id}"):
        await page.goto(address)
        await expect(page.locator("h1")).to_be_visible()
        # The widest that the bar on top may have to say.
        await page.locator("#sign-out").evaluate("e => { e.hidden = false }")
        await page.locator(".badge-text").evaluate("e => { e.textContent = 'Server is full' }")
        assert await page.evaluate("document.documentElement.scrollWidth") == 360


async def test_submitted_job_is_in_the_address(page: Page, live: Live) -> None:
    await write_prompt(page, "Where am I?")
    await page.get_by_role("button", name="Submit").click()
    await expect(chip(page)).to_be_visible()
    assert live.job(job_of(page))["metadata"] == {"title": "Where am I?"}
