"""The client of embedding servers on the demo model over real HTTP, and on a raw server for odd ones."""

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from server.demo_model.vectors import vector
from tasks.embeddings import Embedded, EmbeddingClient, pick_model
from tasks.errors import ModelError
from tests.support.demo import Demo, running_demo
from tests.support.raw_server import raw_server, response

pytestmark = pytest.mark.integration


def packed(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def answer(*embeddings: Any, **more: Any) -> bytes:
    data = [{"index": index, "embedding": one} for index, one in enumerate(embeddings)]
    return response(json.dumps({"data": data, **more}), "application/json")


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running_demo() as demo:
        yield demo


@pytest.fixture
def client(demo: Demo) -> Iterator[EmbeddingClient]:
    client = EmbeddingClient(demo.url)
    yield client
    client.close()


def embed_raw(*answers: bytes, texts: tuple[str, ...] = ("a", "b")) -> tuple[Embedded, list[Any]]:
    with raw_server(*answers) as server:
        made = EmbeddingClient(server.url, model="m").embed(texts)
        return made, [json.loads(request.partition(b"\r\n\r\n")[2]) for request in server.requests]


def failure_raw(*answers: bytes) -> ModelError:
    with pytest.raises(ModelError) as caught:
        embed_raw(*answers)
    return caught.value


def test_texts_become_float32_in_their_order(client: EmbeddingClient) -> None:
    texts = [f"text number {n}" for n in range(100)]
    made = client.embed(texts)
    assert made.vectors == [packed(*vector(text)) for text in texts]
    assert (made.dimensions, made.model, made.tokens) == (256, "demo-embed", 300)


def test_the_model_is_picked_by_its_name() -> None:
    assert pick_model(["gpt", "nomic-Embed-text", "embed-2"]) == "nomic-Embed-text"
    assert pick_model(["one", "two"]) == "one"
    assert pick_model([]) is None


def test_a_server_that_lists_nothing_needs_a_model() -> None:
    empty = response('{"data":[]}', "application/json")
    with raw_server(empty) as server, pytest.raises(ModelError, match="JOBCAST_EMBED_MODEL"):
        EmbeddingClient(server.url).embed(["a"])


def test_base64_is_asked_for_and_numbers_are_understood() -> None:
    encoded = base64.b64encode(packed(3, 4)).decode()
    made, (sent,) = embed_raw(answer([1, 2], encoded))
    assert sent == {"model": "m", "input": ["a", "b"], "encoding_format": "base64"}
    assert (made.vectors, made.dimensions, made.model, made.tokens) == ([packed(1, 2), packed(3, 4)], 2, "m", None)


def test_vectors_come_back_in_order_whatever_their_order_in_the_answer() -> None:
    data = [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}]
    made, _ = embed_raw(response(json.dumps({"data": data, "usage": {"prompt_tokens": 5}}), "application/json"))
    assert (made.vectors, made.tokens) == ([packed(1), packed(2)], 5)


def test_a_server_that_does_not_know_base64_is_asked_without() -> None:
    refusal = response('{"error":{"message":"unknown field encoding_format"}}', "application/json", status="400 X")
    with raw_server(refusal, answer([1])) as server:
        client = EmbeddingClient(server.url, model="m")
        for _ in range(2):
            assert client.embed(["a"]).vectors == [packed(1)]
        assert [b"encoding_format" in request for request in server.requests] == [True, False, False]


@pytest.mark.parametrize(
    "raw",
    [
        answer([1]),
        answer([1], [1, 2]),
        answer([], []),
        answer("AAA=", "AAA="),
        answer("!", "!"),
        answer([1], ["x"]),
        answer([1e300], [1]),
        response('{"data":[{"index":0,"embedding":[NaN]},{"index":1,"embedding":[1]}]}', "application/json"),
        response('{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}', "application/json"),
        response("{}", "application/json"),
        response("<html>", "text/html"),
        response('{"data":', "application/json"),
    ],
)
def test_what_are_not_as_many_vectors_as_texts_is_garbage(raw: bytes) -> None:
    assert failure_raw(raw).code == "model_garbage"


@pytest.mark.parametrize(
    ("said", "code", "after_s"),
    [
        ("status=429 retry_after=3", "model_rate_limited", 3),
        ("status=400", "model_rejected", None),
        ("cut_after=0", "model_cut", None),
        ("error_after=0", "model_failed", None),
    ],
)
def test_failures_have_their_codes(client: EmbeddingClient, said: str, code: str, after_s: float | None) -> None:
    with pytest.raises(ModelError) as caught:
        client.embed([f"[[demo: {said}]]x"])
    assert (caught.value.code, caught.value.retry_after_s) == (code, after_s)


def test_an_aborted_request_is_not_sent(client: EmbeddingClient) -> None:
    with pytest.raises(ModelError) as caught:
        client.embed(["a"], on_open=lambda abort: abort())
    assert caught.value.code == "model_aborted"


def test_the_key_is_in_no_message() -> None:
    refusal = response('{"error":"no such key: s3cret"}', "application/json", status="401 X")
    with raw_server(refusal) as server, pytest.raises(ModelError) as caught:
        EmbeddingClient(server.url, "s3cret", "m").embed(["a"])
    assert caught.value.message.endswith("no such key: ***")
