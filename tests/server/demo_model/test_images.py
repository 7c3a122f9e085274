"""The demo model's pictures, over real HTTP."""

import base64
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from PIL import Image

from server.demo_model import painter, things
from tests.support.demo import Demo, running_demo
from tests.support.live import NO_TLS
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running_demo() as demo:
        yield demo


@pytest.fixture
def http(demo: Demo) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=demo.url, trust_env=False, timeout=30, verify=NO_TLS) as http:
        yield http


def post(http: httpx.Client, prompt: str = "a boat", **more: Any) -> httpx.Response:
    return http.post("/images/generations", json={"prompt": prompt, "size": "96x64", **more})


def picture(one: dict[str, Any]) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(one["b64_json"])), formats=["PNG"])
    image.load()
    return image


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in answer.text.strip().split("\n\n"):
        head, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert head == f"event: {found[-1]['type']}"
    return found


def test_an_answer_has_openais_form_and_a_real_png(http: httpx.Client) -> None:
    answer = post(http).json()
    (one,) = answer["data"]
    image = picture(one)
    assert (image.format, image.size, image.mode) == ("PNG", (96, 64), "RGB")
    assert len(set(image.resize((16, 16)).tobytes())) > 20
    assert abs(answer["created"] - time.time()) < 60
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0


def test_the_same_words_and_seed_give_the_same_picture_and_others_another(http: httpx.Client) -> None:
    asked: list[dict[str, Any]] = [
        {"seed": 1},
        {"seed": 1},
        {"seed": 2},
        {"seed": 1, "prompt": "a castle"},
        {"seed": 1, "size": "64x96"},
    ]
    first, same, *others = [post(http, **one).json()["data"][0]["b64_json"] for one in asked]
    assert first == same
    assert len({first, *others}) == 4


def test_several_are_different(http: httpx.Client) -> None:
    data = post(http, n=3).json()["data"]
    assert len({one["b64_json"] for one in data}) == 3


def test_previews_come_before_the_picture_and_grow_sharper(http: httpx.Client) -> None:
    *partial, done = events(post(http, stream=True, partial_images=3))
    assert [one["partial_image_index"] for one in partial] == [0, 1, 2]
    assert {one["type"] for one in partial} == {"image_generation.partial_image"}
    assert done["type"] == "image_generation.completed"
    assert done["usage"]["output_tokens"] > 0
    whole = picture(done)
    assert [picture(one).size for one in partial] == [whole.size] * 3
    distances = [_distance(picture(one), whole) for one in partial]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] > 0
    assert done["b64_json"] == post(http).json()["data"][0]["b64_json"]


def _distance(one: Image.Image, other: Image.Image) -> int:
    return sum(abs(a - b) for a, b in zip(one.tobytes(), other.tobytes(), strict=True))


def test_a_stream_without_previews_has_the_picture_alone(http: httpx.Client) -> None:
    assert [one["type"] for one in events(post(http, stream=True))] == ["image_generation.completed"]


def test_it_takes_its_time_and_answers_others_meanwhile(http: httpx.Client, demo: Demo) -> None:
    began = time.monotonic()
    asked = {"prompt": "[[demo: takes_s=0.4]]x", "size": "64x64", "stream": True}
    with http.stream("POST", "/images/generations", json=asked) as slow:
        # The head comes once it is painted; other pictures are painted beside it.
        assert post(http, "[[demo: takes_s=0]]y").status_code == 200
        slow.read()
    assert time.monotonic() - began >= 0.4
    wait_until(lambda: demo.active == 0)


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"size": "1x1"}, "size"),
        ({"size": "9999x64"}, "size"),
        ({"size": "large"}, "size"),
        ({"prompt": ""}, "prompt"),
        ({"response_format": "url"}, "response_format"),
        ({"n": 9}, "n"),
        ({"stream": True, "partial_images": 9}, "partial_images"),
    ],
)
def test_what_it_cannot_do_is_refused_in_openais_form(http: httpx.Client, wrong: dict[str, Any], param: str) -> None:
    answer = post(http, **wrong)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize("path", ["/images/generations", "/embeddings"])
def test_refusals_that_it_is_told_of_work_here_too(http: httpx.Client, path: str) -> None:
    def ask(text: str) -> httpx.Response:
        return http.post(path, json={"prompt": text, "input": text, "size": "64x64"})

    refused = ask("[[demo: status=429 retry_after=7]]x")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert [ask(f"[[demo: fail_first=1 key={path}]]x").status_code for _ in range(2)] == [500, 200]
    assert ask("[[demo: reject=prompt]]x").status_code == 400
    with pytest.raises(httpx.RemoteProtocolError):
        ask("[[demo: cut_after=0]]x")
    assert ask("[[demo: error_after=0]]x").status_code == 500
    for hung in ("silent", "stall_after=0"):
        with pytest.raises(httpx.ReadTimeout):
            http.post(path, json={"prompt": f"[[demo: {hung}]]x", "input": f"[[demo: {hung}]]x"}, timeout=0.1)
    with pytest.raises(ValueError, match=r"."):
        ask("[[demo: garbage_after=0]]x").json()
    assert http.post(path, json={"prompt": "x", "input": "x", "model": "dall-e-9"}).status_code == 404


def test_a_stream_can_break_off_after_a_preview(http: httpx.Client) -> None:
    more = {"stream": True, "partial_images": 2}
    with pytest.raises(httpx.RemoteProtocolError):
        post(http, "[[demo: cut_after=1]]x", **more)
    assert [one["type"] for one in events(post(http, "[[demo: error_after=1]]x", **more))][1:] == ["error"]
    assert post(http, "[[demo: garbage_after=1]]x", **more).text.count("\n\n") == 2


@pytest.mark.parametrize("thing", sorted(things.DRAWN))
def test_a_thing_that_is_named_is_seen(thing: str) -> None:
    named = next(word for word, name in things.THING_OF.items() if name == thing)
    assert painter.paint(f"noon {named}", 1, (64, 64)).tobytes() != painter.paint("noon", 1, (64, 64)).tobytes()


@pytest.mark.parametrize("light", sorted(painter.LIGHTS))
def test_each_light_has_its_own_sky(light: str) -> None:
    top = painter.paint(f"{light} lake", 3, (64, 64)).resize((1, 64)).getpixel((0, 0))
    assert isinstance(top, tuple)
    assert max(abs(a - b) for a, b in zip(top, painter.LIGHTS[light].top, strict=True)) < 60
