"""curl, as people call it."""

import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.clients.following import SAID, Event, Following, lines_of, submit
from tests.support.live import Live

CURL = shutil.which("curl") or "curl"
QUIET = (CURL, "--no-buffer", "--silent", "--show-error", "--noproxy", "*")

pytestmark = [
    pytest.mark.clients,
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]


def test_curl_resumes_over_a_restart_by_last_event_id(restartable: Live) -> None:
    address = f"{restartable.url}/v1/jobs/{submit(restartable)}/events?exact=1"

    def read() -> Iterator[Event]:
        last = "0"
        while True:
            retry = ("--retry", "20", "--retry-connrefused", "--retry-delay", "1", "--dump-header", "-")
            with lines_of(*QUIET, *retry, "--header", f"Last-Event-ID: {last}", address) as lines:
                for line in lines:
                    if line.startswith("HTTP/1.1 204"):
                        yield {"stopped": "204"}
                    if line.startswith("id: "):
                        last = line.removeprefix("id: ").strip()
                    if line.startswith("data: "):
                        yield json.loads(line.removeprefix("data: "))

    following = Following(read)
    following.over_a_restart(restartable)
    assert following.stopped == "204"


def test_curl_prints_plain_text_as_it_is_made(restartable: Live) -> None:
    job_id = submit(restartable)
    address = f"{restartable.url}/v1/jobs/{job_id}/events"
    with subprocess.Popen([*QUIET, "--header", "Accept: text/plain", address], stdout=subprocess.PIPE) as process:
        assert process.stdout
        first = process.stdout.readline()
        assert first
        assert restartable.job(job_id)["status"] == "running"
        assert (first + process.stdout.read()).decode() == SAID
    assert process.returncode == 0


def test_curl_submits_and_follows_in_one_line(restartable: Live) -> None:
    body = json.dumps({"kind": "speak", "input": {"pieces": ["in ", "one ", "go"]}})
    command = [*QUIET, "--json", body, "--header", "Accept: text/event-stream", f"{restartable.url}/v1/jobs"]
    done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    events = [json.loads(line[6:]) for line in done.stdout.decode().split("\n") if line.startswith("data: ")]
    assert [events[0]["type"], events[-1]["type"]] == ["queued", "succeeded"]
    assert "".join(event.get("text", "") for event in events) == "in one go"
