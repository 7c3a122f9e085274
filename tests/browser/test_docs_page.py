"""The page of the API at /docs: everything that openapi.json holds, readable, with nothing from elsewhere."""

from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, Request, expect

from tests.browser.conftest import AXE
from tests.support.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


def described(live: Live) -> dict[str, Any]:
    with live.client() as client:
        found: dict[str, Any] = client.get("/openapi.json").raise_for_status().json()
        return found


async def opened(page: Page, fragment: str = "") -> Page:
    await page.goto(f"/docs{fragment}")
    await expect(page.locator("#routes article").first).to_be_visible()
    return page


async def test_every_route_stands_there_with_its_parameters_and_answers(page: Page, live: Live) -> None:
    await opened(page)
    for path, methods in described(live)["paths"].items():
        for method, operation in methods.items():
            title = f"{method.upper()} {path}"
            article = page.locator("#routes article").filter(has=page.get_by_role("heading", name=title, exact=True))
            await expect(article).to_have_count(1)
            text = await article.inner_text()
            assert operation["summary"] in text
            for parameter in operation.get("parameters", ()):
                assert parameter["name"].lower() in text.lower()
            assert all(status in text for status in operation["responses"])


async def test_every_schema_stands_there_with_its_fields(page: Page, live: Live) -> None:
    await opened(page)
    for name, schema in described(live)["components"]["schemas"].items():
        text = await page.locator(f"#schema-{name}").inner_text()
        assert all(field in text for field in schema.get("properties", ()))


async def test_every_link_within_the_page_leads_somewhere(page: Page) -> None:
    await opened(page)
    dangling = await page.evaluate(
        "[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href').slice(1))"
        ".filter(id => !document.getElementById(id))"
    )
    assert dangling == []


async def test_nothing_comes_from_elsewhere(page: Page, live: Live) -> None:
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    await opened(page)
    assert f"{live.url}/openapi.json" in asked
    assert [url for url in asked if not url.startswith(live.url)] == []


async def test_a_link_to_a_route_leads_to_it(page: Page) -> None:
    await opened(page, "#get-v1-activity")
    await expect(page.locator("#get-v1-activity")).to_be_in_viewport()


async def test_a_description_that_cannot_be_read_is_told(page: Page) -> None:
    await page.route("**/openapi.json", lambda route: route.fulfill(status=503))
    await page.goto("/docs")
    await expect(page.get_by_role("alert")).to_have_text("openapi.json cannot be shown: the server answers 503")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
async def test_axe_finds_nothing(browser: Browser, live: Live, scheme: Literal["light", "dark"], width: int) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm ci in tests/clients")
    viewport: Any = {"width": width, "height": 900}
    async with await browser.new_context(base_url=live.url, color_scheme=scheme, viewport=viewport) as context:
        await context.add_init_script(path=AXE)
        page = await opened(await context.new_page())
        found = await page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
