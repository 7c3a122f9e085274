"""The text of scripts: what they use of what they share comes with them, and nothing else."""

import re

import pytest

from progress import keys
from progress.commands.source import SCRIPTS, SHARED, linked, source

NAMES = sorted(path.stem for path in SCRIPTS.glob("*.lua") if path.stem not in SHARED)
COMMON = "".join((SCRIPTS / f"{name}.lua").read_text() for name in SHARED)
FUNCTIONS = re.findall(r"^local function (\w+)", COMMON, re.MULTILINE)


def test_what_is_used_comes_with_what_that_uses_and_in_order() -> None:
    text = linked("return missing(clock())", keys.lua_words())
    assert re.findall(r"^local function (\w+)", text, re.MULTILINE) == ["clock", "notice", "unsettled", "missing"]


@pytest.mark.parametrize("name", NAMES)
def test_a_script_has_all_that_it_names_and_nothing_else(name: str) -> None:
    text = source(name, keys.lua_words())
    own = set(re.findall(r"\w+", re.sub("--.*", "", (SCRIPTS / f"{name}.lua").read_text())))
    for function in FUNCTIONS:
        # Behind a colon it is the name of a key.
        defined, uses = text.count(f"local function {function}("), len(re.findall(rf"(?<!:)\b{function}\b", text))
        assert defined == (uses > 0)
        assert uses != 1, "it is there, and nobody calls it"
        assert defined or function not in own
    assert "KEY." not in text
    assert "--" not in text


def test_every_part_that_is_shared_is_used() -> None:
    texts = [source(name, keys.lua_words()) for name in NAMES]
    parts = re.findall(r"^local (?:function )?(\w+)", COMMON, re.MULTILINE)
    assert [part for part in parts if not any(re.search(rf"\b{part}\b", text) for text in texts)] == []


def test_each_partition_of_a_cluster_has_keys_of_its_own() -> None:
    assert keys.PREFIX in source("append", keys.lua_words())
    assert keys.prefix_of(3) in source("append", keys.lua_words(3))
    assert keys.PREFIX not in source("append", keys.lua_words(3))
