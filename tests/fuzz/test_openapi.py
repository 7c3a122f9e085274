"""schemathesis over the OpenAPI document, all checks: every answer is one that the document promises."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live import ROOT, Live, running
from tests.support.seeds import seed_of

pytestmark = [pytest.mark.integration, pytest.mark.slow]

EXAMPLES = 25
COMMAND = Path(sys.executable).with_name("schemathesis")


@pytest.fixture
def crowded() -> Iterator[Live]:
    """A Jobcast with room for one stream, which is taken: so none of those that schemathesis opens goes on for ever."""
    with (
        running(model=False, cpu=False, MAX_STREAMS="1") as live,
        live.client() as client,
        client.stream("GET", "/v1/activity", timeout=None),
    ):
        assert live.api
        yield live
        assert "Traceback" not in live.api.output()


def test_every_answer_is_one_that_the_document_promises(crowded: Live, tmp_path: Path) -> None:
    """By command, since its plug-in for pytest knows no pytest 9. A failure prints the seed and a curl line.

    The same requests each time, so that a failure is one of the change at hand. FUZZ_SEED=random looks for others.
    """
    seed = seed_of("FUZZ_SEED")
    options = [
        "--seed",
        seed,
        "--checks",
        "all",
        "--max-examples",
        str(EXAMPLES),
        "--request-timeout",
        "20",
        "--no-color",
    ]
    options += ["--generation-database", "none", "--warnings", "off"]
    done = subprocess.run(
        [COMMAND, "run", f"{crowded.url}/openapi.json", *options],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "Stateful" in done.stdout
