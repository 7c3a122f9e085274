"""The client of image servers on the demo model over real HTTP, and on a raw server for what that one cannot say."""

import base64
import io
import json
import struct
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from tasks import pictures
from tasks.errors import ModelError
from tasks.images import ImageClient, ImageRequest, Made, Picture, learn_quirks
from tasks.pictures import NoPicture, checked
from tests.support.demo import Demo, running_demo
from tests.support.raw_server import RawServer, raw_server, response
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

SIZE = "96x64"


def file(form: str = "PNG", size: tuple[int, int] = (8, 6), mode: str = "RGB", **options: Any) -> bytes:
    made = io.BytesIO()
    Image.new(mode, size, 1).save(made, form, **options)
    return made.getvalue()


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def answer(content: bytes = b"", **one: Any) -> bytes:
    shown = json.dumps({"created": 1, "data": [{"b64_json": b64(content)} if content else one]})
    return response(shown, "application/json")


def refused(message: str, status: str = "400 Bad Request", param: str | None = None) -> bytes:
    return response(json.dumps({"error": {"message": message, "param": param}}), "application/json", status=status)


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running_demo() as demo:
        yield demo


@pytest.fixture
def client(demo: Demo) -> Iterator[ImageClient]:
    client = ImageClient(demo.url)
    yield client
    client.close()


def draw_raw(*answers: bytes, times: int = 1, **settings: Any) -> tuple[list[Made], RawServer]:
    with raw_server(*answers) as server:
        client = ImageClient(server.url, **settings)
        return [client.draw(ImageRequest("a boat", size=SIZE, seed=3)) for _ in range(times)], server


def failure_raw(*answers: bytes, **settings: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        draw_raw(*answers, **settings)
    return caught.value


def bodies(server: RawServer) -> list[dict[str, Any]]:
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in server.requests]


# What a good server says


def test_a_picture_comes_with_previews_of_it(client: ImageClient) -> None:
    seen: list[Picture] = []
    made = client.draw(ImageRequest("a boat", size=SIZE, seed=3), on_preview=seen.append)
    assert (made.picture.width, made.picture.height, made.seeded) == (96, 64, True)
    assert len(seen) == 2
    assert len({made.picture.png, *(one.png for one in seen)}) == 3
    assert made == client.draw(ImageRequest("a boat", size=SIZE, seed=3))
    assert made != client.draw(ImageRequest("a boat", size=SIZE, seed=4))


@pytest.mark.parametrize("kind", ["PNG RGBA", "PNG P", "JPEG RGB", "JPEG CMYK", "WEBP RGB"])
def test_what_comes_is_made_a_png(kind: str) -> None:
    form, mode = kind.split()
    ((made,), _) = draw_raw(answer(file(form, mode=mode)))
    with Image.open(io.BytesIO(made.picture.png)) as image:
        assert (image.format, image.size) == ("PNG", (8, 6))


def test_a_png_stays_as_it_is_and_an_animation_becomes_still() -> None:
    assert checked(file()).png == file()
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    made = io.BytesIO()
    frames[0].save(made, "PNG", save_all=True, append_images=frames[1:])
    assert getattr(Image.open(io.BytesIO(checked(made.getvalue()).png)), "n_frames", 1) == 1


def test_a_server_without_streams_is_understood(client: ImageClient) -> None:
    ((made,), server) = draw_raw(answer(file()))
    assert (made.picture.width, made.seeded) == (8, True)
    assert bodies(server) == [
        {
            **{"prompt": "a boat", "n": 1, "size": SIZE, "seed": 3, "response_format": "b64_json"},
            **{"stream": True, "partial_images": 2},
        }
    ]


# What servers do not know


@pytest.mark.parametrize(
    ("refusals", "missing"),
    [
        ([refused("Unknown parameter: 'response_format'.", param="response_format")], {"response_format"}),
        ([refused("Unknown parameter: 'seed'.")], {"seed"}),
        ([refused("streaming is off: partial_images")], {"stream", "partial_images"}),
        (
            [
                response('{"detail":[{"loc":["body","seed"],"msg":"no"}]}', "application/json", status="422 X"),
                refused("'stream' is not supported with this model", param="stream"),
            ],
            {"seed", "stream", "partial_images"},
        ),
    ],
    ids=["format", "seed", "previews", "one after the other"],
)
def test_a_field_that_a_server_refuses_is_left_out_from_then_on(refusals: list[bytes], missing: set[str]) -> None:
    (made, server) = draw_raw(*refusals, answer(file()), times=2)
    first, *_, last = sent = bodies(server)
    assert first.keys() - last.keys() == missing
    assert len(sent) == len(refusals) + 2
    assert [one.seeded for one in made] == ["seed" not in missing] * 2


def test_a_refusal_of_something_else_is_told() -> None:
    error = failure_raw(refused("Your request was rejected by the safety system about the seed", param="prompt"))
    assert (error.code, error.retryable) == ("model_rejected", False)
    assert "safety system" in error.message


def test_only_what_was_sent_can_be_left_out() -> None:
    assert learn_quirks(400, "no seed", {"prompt": "a"}) == frozenset()
    assert learn_quirks(500, "no seed", {"seed": 1}) == frozenset()
    assert learn_quirks(400, '{"error": "no seed"}', {"seed": 1}) == {"seed"}


# What goes wrong


@pytest.mark.parametrize(
    ("said", "code", "retryable"),
    [
        ("status=429 retry_after=7", "model_rate_limited", True),
        ("status=503", "model_failed", True),
        ("status=401", "model_refused", False),
        ("cut_after=0", "model_cut", True),
        ("cut_after=1", "model_cut", True),
        ("error_after=1", "model_failed", True),
        ("garbage_after=1", "model_garbage", True),
    ],
)
def test_failures_have_their_codes(client: ImageClient, said: str, code: str, retryable: bool) -> None:
    with pytest.raises(ModelError) as caught:
        client.draw(ImageRequest(f"[[demo: {said}]]x", size=SIZE))
    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert caught.value.retry_after_s == (7 if "429" in said else None)


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"GIF89a no picture that is taken"),
        answer(file()[:40]),
        answer(b"\x89PNG\r\n\x1a\n" + b"\0" * 100),
        answer(b64_json="not base64!"),
        answer(b64_json=None),
        response('{"data": "?"}', "application/json"),
        response("<html>", "text/html"),
        response('data: {"type":"image_generation.completed","b64_json":"AAAA"}\n\n'),
        response("data: no json\n\n"),
    ],
)
def test_what_is_no_picture_is_garbage(raw: bytes) -> None:
    assert failure_raw(raw).code == "model_garbage"


def test_an_address_in_the_place_of_a_picture_says_what_to_do() -> None:
    error = failure_raw(answer(url="http://elsewhere/x.png"))
    assert (error.code, error.retryable) == ("model_rejected", False)
    assert "b64_json" in error.message


def test_a_stream_that_ends_too_early_was_cut() -> None:
    event = json.dumps({"type": "image_generation.partial_image", "b64_json": b64(file())})
    other = json.dumps({"type": "image_generation.queued"})
    assert failure_raw(response(f"data: {other}\n\ndata: {event}\n\ndata: [DONE]\n\n")).code == "model_cut"


def test_an_answer_without_an_end_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.images.MAX_ANSWER_BYTES", 1000)
    monkeypatch.setattr("tasks.images.MAX_STREAM_BYTES", 1000)
    for raw in (response('{"data": "' + "x" * 2000, "application/json"), response("data: " + "x" * 2000)):
        error = failure_raw(raw)
        assert (error.code, "larger" in error.message) == ("model_garbage", True)


def bomb(side: int) -> bytes:
    """A PNG of a few KB that says to be so large."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [6_001, 10_000, 60_000])
def test_a_picture_with_too_many_pixels_is_not_decoded(side: int) -> None:
    with pytest.raises(NoPicture, match="pixels"):
        checked(bomb(side))


def test_nor_is_a_file_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_BYTES", 50)
    with pytest.raises(NoPicture, match="bytes"):
        checked(file())


def test_an_abort_ends_a_wait_at_once(demo: Demo, client: ImageClient) -> None:
    aborts: list[Any] = []
    errors: list[ModelError] = []

    def draw() -> None:
        try:
            client.draw(ImageRequest("[[demo: silent]]x"), on_open=aborts.append)
        except ModelError as error:
            errors.append(error)

    thread = threading.Thread(target=draw)
    thread.start()
    wait_until(lambda: demo.active == 1)
    aborts[0]()
    thread.join(5)
    assert [error.code for error in errors] == ["model_aborted"]
    wait_until(lambda: demo.active == 0)


def test_an_address_that_is_none_names_its_setting() -> None:
    with pytest.raises(ModelError, match="JOBCAST_IMAGE_BASE_URL"):
        ImageClient("")
