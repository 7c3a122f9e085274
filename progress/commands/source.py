"""The text of a script: with what it uses of SHARED, and nothing else.

Redis runs all of a text at each call. To make every function of ``common.lua``, and a table of key names, took a
quarter of the time of an append.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

SCRIPTS: Final = Path(__file__).parents[1] / "scripts"
SHARED: Final = ("common", "groups", "counting", "limiting")
_COMMENT: Final = re.compile(r"--.*")
_PART: Final = re.compile(r"^local (?:function )?(\w+)", re.MULTILINE)
_KEY: Final = re.compile(r"\bKEY\.(\w+)")


def source(name: str, words: Mapping[str, str]) -> str:
    """The script ``scripts/NAME.lua``; see ``linked``."""
    return linked(_read(name), words)


def linked(body: str, words: Mapping[str, str]) -> str:
    """Lua code behind what it uses of SHARED; ``words`` are expressions that stand for ``KEY.`` and a name."""
    parts, seen, used = _parts(), set[str](), list[str]()

    def use(text: str) -> None:
        for part in parts:
            if part not in seen and re.search(rf"(?<!KEY\.)\b{part}\b", text):
                seen.add(part)
                use(parts[part])
                # Lua knows only what stands before.
                used.append(part)

    use(body)
    text = "".join(parts[part] for part in used) + body
    return _KEY.sub(lambda found: words[found[1]], text)


@cache
def _parts() -> dict[str, str]:
    """What SHARED defines, by name and in order: a part begins at each ``local`` that is not indented."""
    text = "".join(map(_read, SHARED))
    starts = [found.start() for found in _PART.finditer(text)]
    pieces = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    return {_PART.findall(piece)[0]: piece for piece in pieces}


def _read(name: str) -> str:
    return _COMMENT.sub("", (SCRIPTS / f"{name}.lua").read_text())
