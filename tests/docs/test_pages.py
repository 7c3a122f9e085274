"""The documentation as text: links lead somewhere, the README is short, nothing of one machine stands in it."""

import json
import re
from pathlib import Path

import pytest

from tests.docs.markdown import PAGES, README, ROOT, blocks, headings, links, slug

NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{page.name}: {link}"
        assert target.is_relative_to(ROOT), f"{page.name}: {link}"
        if anchor:
            assert anchor in map(slug, headings(target)), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    named = re.findall(r"`((?:deploy|tests|progress|server|tasks|static)/[\w@./-]+)`", page.read_text("utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_page_is_about_the_product_and_no_machine(page: Path) -> None:
    text = page.read_text("utf-8")
    assert re.search(r"/home/|/root/|/work/|/tmp/|\.\./shared|CONTRACT|TODO|FIXME", text) is None


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_of_json_is_json(page: Path) -> None:
    for block in blocks(page):
        if block.language == "json":
            json.loads(block.text)


def test_the_readme_is_short_and_names_every_page() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 150
    told = {link.partition("#")[0] for link in links(README)}
    assert {name for name in NAMES if name.startswith("docs/")} - told == set()


def test_a_job_of_ones_own_takes_no_more_than_fifteen_lines() -> None:
    (code,) = (block.text for block in blocks(README) if block.language == "python")
    assert len(code.splitlines()) <= 15
