"""The plugin that lets no test skip unseen in CI."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SKIPS = {
    "inside": "import pytest\ndef test_it(): pytest.skip('no such tool')\n",
    "by_mark": "import pytest\n@pytest.mark.skipif(True, reason='no such tool')\ndef test_it(): ...\n",
    "in_fixture": "import pytest\n@pytest.fixture\ndef tool(): pytest.skip('no such tool')\ndef test_it(tool): ...\n",
    "of_module": "import pytest\npytest.skip('no such tool', allow_module_level=True)\n",
}
XFAIL = "import pytest\n@pytest.mark.xfail(strict=True, reason='not yet')\ndef test_it(): assert False\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Tests that skip in every way there is, and one that is expected to fail."""
    for name, test in {**SKIPS, "xfail": XFAIL}.items():
        (tmp_path / f"test_{name}.py").write_text(test)
    return tmp_path


def run(folder: Path, strict: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "tests.strict", "-p", "no:cacheprovider", "-ra"]
    return subprocess.run(
        [*command, "--continue-on-collection-errors", "-c", os.devnull, "--rootdir", ".", "."],
        cwd=folder,
        env={**os.environ, "CI_STRICT": strict},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    ).stdout


def test_every_kind_of_skip_fails_in_ci_with_its_reason(folder: Path) -> None:
    told = run(folder, strict="1")
    assert told.count("no such tool: nothing may skip") >= len(SKIPS)
    assert "1 failed, 1 xfailed, 3 errors" in told.splitlines()[-1]


def test_a_skip_is_a_skip_elsewhere(folder: Path) -> None:
    assert f"{len(SKIPS)} skipped, 1 xfailed" in run(folder, strict="").splitlines()[-1]
