"""Turns at model servers: taken before each request, given up with it, and put off by a 429 for everybody."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from progress.commands import Command, TakeTurn
from progress.errors import JobCancelled, StoreUnavailable
from progress.limits import rates
from progress.testing import Memory
from progress.turns import Turns
from tasks import turns
from tasks.embeddings import EmbeddingClient
from tasks.errors import ModelError
from tasks.llm import ChatRequest, LlmClient
from tasks.progress import PrintSink, Progress

ASKED = ChatRequest(messages=[{"role": "user", "content": "x"}], model="m", temperature=0, max_tokens=9)
LONG_S = 30


class Server:
    """Answers with a status; counts."""

    def __init__(self, status: int = 200, **headers: str) -> None:
        self.status = status
        self.headers = headers
        self.asked = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.status != 200:
            return httpx.Response(self.status, headers=self.headers, text="slow down")
        text = 'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=text)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Memory]:
    """Where the turns of this process are."""
    memory = Memory()
    monkeypatch.setattr(turns, "shared", Turns(memory.executor, rates("model:m=1/h,slow=1/h")))
    return memory  # type: ignore[return-value]  # nothing to undo


def ask(server: Server, **options: Any) -> str:
    client = LlmClient("http://model/v1", "", "m", transport=httpx.MockTransport(server))
    with client.stream(ASKED, **options) as answer:
        return "".join(answer)


def wait_s(memory: Memory, name: str) -> float:
    return memory.executor.run(TakeTurn(name)).wait_s


def test_a_request_waits_for_its_turn_and_gives_up_with_its_job(memory: Memory) -> None:
    server = Server()
    assert ask(server) == "a"
    errors: list[ModelError] = []
    aborts: list[Any] = []
    opened = threading.Event()

    def opening(abort: Any) -> None:
        aborts.append(abort)
        opened.set()

    def second() -> None:
        try:
            ask(server, on_open=opening)
        except ModelError as error:
            errors.append(error)

    thread = threading.Thread(target=second)
    thread.start()
    assert opened.wait(LONG_S)
    aborts[0]()
    thread.join(LONG_S)
    assert [error.code for error in errors] == ["model_aborted"]
    assert server.asked == 1, "it was not its turn yet"


@pytest.mark.parametrize(("headers", "least", "most"), [({"retry-after": "120"}, 110, 120), ({}, 1, 2)])
def test_a_server_that_has_had_enough_is_left_alone_by_all(
    memory: Memory, headers: dict[str, str], least: float, most: float
) -> None:
    with pytest.raises(ModelError) as caught:
        ask(Server(429, **headers))
    assert caught.value.code == "model_rate_limited"
    assert least < wait_s(memory, "model:m") <= most
    assert wait_s(memory, "model:other") == 0


def test_a_server_cannot_send_everybody_away_for_days(memory: Memory) -> None:
    with pytest.raises(ModelError):
        ask(Server(429, **{"retry-after": "864000"}))
    assert wait_s(memory, "model:m") <= turns.LONGEST_PAUSE_S


def test_embeddings_take_turns_too(memory: Memory) -> None:
    client = EmbeddingClient("http://model/v1", "", "e", transport=httpx.MockTransport(Server(429)))
    with pytest.raises(ModelError):
        client.embed(["x"])
    assert wait_s(memory, "model:e") > 1


def test_without_redis_only_what_has_a_rate_waits(memory: Memory) -> None:
    def away(_command: Command[Any]) -> None:
        raise StoreUnavailable("away")

    memory.before = away
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        memory.before = lambda _command: None

    assert turns.shared
    turns.shared.take("model:other", wait)
    turns.shared.pause("model:other", 1)
    assert waits == []
    turns.shared.take("model:m", wait)
    assert waits == [0.5]


def test_a_job_of_a_kind_with_a_rate_begins_when_it_is_its_turn(memory: Memory) -> None:
    assert turns.shared
    sink = PrintSink()
    turns.begin("slow", turns.shared, Progress(sink))
    turns.begin("other", turns.shared, Progress(sink))
    waiting = Progress(sink)
    ended: list[type[BaseException]] = []

    def second() -> None:
        try:
            turns.begin("slow", turns.shared, waiting)  # type: ignore[arg-type]  # it is set, see above
        except JobCancelled as error:
            ended.append(type(error))

    hooked = sink.on_over
    thread = threading.Thread(target=second)
    thread.start()
    while sink.on_over is hooked:
        thread.join(0.001)
    sink.over = JobCancelled()
    assert sink.on_over
    sink.on_over()
    thread.join(LONG_S)
    assert ended == [JobCancelled]
