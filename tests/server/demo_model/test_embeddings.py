"""The demo model's vectors: over real HTTP, and what they are good for."""

import base64
import math
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from server.demo_model.vectors import vector
from tests.support.demo import running_demo
from tests.support.live import NO_TLS

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with (
        running_demo() as demo,
        httpx.Client(base_url=demo.url, trust_env=False, timeout=30, verify=NO_TLS) as http,
    ):
        yield http


def post(http: httpx.Client, texts: Any, **more: Any) -> httpx.Response:
    return http.post("/embeddings", json={"input": texts, **more})


def cosine(one: str, other: str) -> float:
    return sum(a * b for a, b in zip(vector(one), vector(other), strict=True))


def test_an_answer_has_openais_form(http: httpx.Client) -> None:
    answer = post(http, ["one", "two words"], model="demo-embed").json()
    assert (answer["object"], answer["model"]) == ("list", "demo-embed")
    assert [one["index"] for one in answer["data"]] == [0, 1]
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    for one in answer["data"]:
        assert len(one["embedding"]) == 256
        assert math.hypot(*one["embedding"]) == pytest.approx(1)


def test_one_text_may_come_without_a_list(http: httpx.Client) -> None:
    assert post(http, "one").json()["data"] == post(http, ["one"]).json()["data"]


def test_dimensions_and_base64(http: httpx.Client) -> None:
    floats = post(http, "a text", dimensions=8).json()["data"][0]["embedding"]
    packed = post(http, "a text", dimensions=8, encoding_format="base64").json()["data"][0]["embedding"]
    assert struct.unpack("<8f", base64.b64decode(packed)) == pytest.approx(floats)


@pytest.mark.parametrize(
    "wrong",
    [{"input": []}, {"input": ""}, {"input": ["a", ""]}, {"input": ["a"] * 2049}, {"input": "a", "dimensions": 0}],
)
def test_what_cannot_be_embedded_is_refused(http: httpx.Client, wrong: dict[str, Any]) -> None:
    assert http.post("/embeddings", json=wrong).status_code == 400


def test_similar_texts_are_near_each_other() -> None:
    near = [
        ("The camera takes great photos at night", "This camera makes great pictures by night"),
        ("How do I reset my password?", "I forgot my password, how can it be reset"),
        ("Lighthouses warn ships", "a lighthouse warns the ship"),
    ]
    for one, other in near:
        strangers = [text for pair in near for text in pair if text not in (one, other)]
        assert cosine(one, other) > 0.2 + max(cosine(one, stranger) for stranger in strangers)


@pytest.mark.parametrize("text", ["", " ", "!?", "the", "日本語", "🎈", "x" * 10_000])
def test_every_text_has_a_vector_of_length_one(text: str) -> None:
    for dimensions in (1, 2, 256):
        assert math.hypot(*vector(text, dimensions)) == pytest.approx(1)
