"""A rate is that of all workers together, as the model server sees it."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.live import Live

pytestmark = [pytest.mark.integration, pytest.mark.slow]
CALLS = 20
EVERY_S = 0.1


class Counting(ThreadingHTTPServer):
    """A model server that notes when it is asked. While ``full`` it answers 429, once."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.refused = 0.0
        self.full = False
        super().__init__(("127.0.0.1", 0), Handler)

    def note(self) -> bool:
        """Whether this one is answered."""
        if self.full:
            self.full, self.refused = False, time.monotonic()
            return False
        self.asked.append(time.monotonic())
        return True


class Handler(BaseHTTPRequestHandler):
    """One chunk."""

    server: Counting

    def do_POST(self) -> None:
        """Answers with a word."""
        self.rfile.read(int(self.headers["Content-Length"]))
        if not self.server.note():
            self.send_response(429)
            self.send_header("Retry-After", "1")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        chunk = {"choices": [{"delta": {"content": "word"}, "finish_reason": "stop"}]}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode())

    def log_message(self, *_: Any) -> None:
        """Not to the terminal."""


@pytest.fixture
def model() -> Iterator[Counting]:
    with Counting() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


def test_several_workers_ask_a_model_no_more_often_than_its_rate(model: Counting) -> None:
    url = f"http://127.0.0.1:{model.server_port}/v1"
    with Live(model=False, LLM_BASE_URL=url, RATE_LIMITS="model:m=10/s") as live:
        live.start_workers(("llm", "threads", 10), ("llm", "threads", 10))
        live.start_api()
        ask = {"prompt": "x", "model": "m"}
        began = time.monotonic()
        ids = [live.submit("generate", ask) for _ in range(CALLS)]
        assert {live.job(job_id, wait_s=30)["status"] for job_id in ids} == {"succeeded"}
        stalled = live.stalls.since(began)
        assert len(model.asked) == CALLS
        assert len({last_worker(live, job_id) for job_id in ids}) == 2
        # A call that a stall holds back comes nearer to the next one.
        slack = 0.15 + stalled
        for first in range(CALLS):
            for last in range(first + 1, CALLS):
                assert model.asked[last] - model.asked[first] >= (last - first) * EVERY_S - slack
        assert model.asked[-1] - model.asked[0] <= CALLS * EVERY_S + 1 + stalled, "and not much less often"

        # Each of both workers heeds what one of them was told.
        model.full = True
        late = [live.submit("generate", ask) for _ in range(6)]
        assert {live.job(job_id, wait_s=30)["status"] for job_id in late} == {"succeeded"}
        after = [at - model.refused for at in model.asked[CALLS:] if at > model.refused]
        assert len(after) == 6, "the one that was refused, too"
        # Those who had been let through when the answer came.
        assert sum(since < 0.9 for since in after) <= 2 + live.stalls.since(model.refused) / EVERY_S


def last_worker(live: Live, job_id: str) -> str:
    """Which worker has run a job."""
    return str([event["worker"] for event in live.events(job_id) if event["type"] == "started"][-1])
