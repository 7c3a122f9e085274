"""Runs the documentation's shell blocks, all of a page in one shell, as a reader would type them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from progress.settings import PREFIX
from tests.docs.markdown import ADDRESS

_MARK: Final = "==== end of a block ===="


def run_blocks(texts: list[str], url: str, folder: Path) -> list[str]:
    """The output of each block.

    Args:
        url: the server that stands in for the one of the documentation.

    Raises:
        AssertionError: a command failed.
    """
    script = "".join(f"{localised(text, url)}\necho; echo '{_MARK}'\n" for text in texts)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environment |= {f"{PREFIX}PORT": url.rpartition(":")[2], "no_proxy": "*"}
    ran = subprocess.run(
        ["sh", "-eu", "-c", script],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    return ran.stdout.split(_MARK)[:-1]


def localised(text: str, url: str) -> str:
    """A block with the addresses and the virtual environment of this test."""
    return text.replace(ADDRESS, url).replace(".venv/bin/", f"{Path(sys.executable).parent}/")
