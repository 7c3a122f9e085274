"""The kind design: ideas, an image for each, the one that shows most, a logo in its corner."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from progress.settings import current
from progress.storage import LocalStorage, Storage, add_file, find_artifact
from tasks.compose import NoPicture, detail_of, with_logo
from tasks.errors import ChildFailed, TaskError
from tasks.family import InProcess
from tasks.generate import client
from tasks.kinds import image
from tasks.kinds.design import DesignInput, design, parted
from tasks.progress import Progress, Resumed
from tests.support.demo import Demo, running_demo
from tests.tasks.test_progress import ListSink


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running_demo() as demo:
        yield demo


@pytest.fixture
def model(demo: Demo, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    """The demo model as the server of this process, for texts and for images."""
    monkeypatch.setenv("JOBCAST_LLM_BASE_URL", demo.url)
    caches: list[Any] = [current, client, image.client]
    for cache in caches:
        cache.cache_clear()
    yield demo
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def files(tmp_path: Path) -> Storage:
    return LocalStorage(tmp_path / "files")


def run(files: Storage, resumed: Resumed | None = None, **fields: Any) -> tuple[Any, ListSink]:
    sink = ListSink()
    progress = Progress(sink, files=files, resumed=resumed)
    progress.family = InProcess(ListSink(), files)
    return design(DesignInput(prompt="a lighthouse", size="64x64", **fields), progress), sink


def png(size: tuple[int, int] = (64, 64), colour: Any = (255, 0, 0, 255), mode: str = "RGBA") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, "PNG")
    return file.getvalue()


def made(files: Storage, name: str = "design.png", job_id: str = "script") -> bytes:
    stored = find_artifact(files, job_id, name)
    assert stored is not None
    with files.local(stored) as path:
        return path.read_bytes()


@pytest.mark.usefixtures("model")
def test_the_image_that_shows_most_becomes_the_design(files: Storage) -> None:
    result, sink = run(files, count=3)
    details = [candidate.detail for candidate in result.images]
    assert (len(details), result.picked) == (3, details.index(max(details)))
    assert made(files) == made(files, "image.png", result.images[result.picked].job)
    # What the model says is left to chance: now and then less than three ideas.
    said = "".join(text for text, channel in sink.tokens if channel == "ideas")
    asked = DesignInput(prompt="a lighthouse", size="64x64", count=3)
    assert said
    assert [candidate.prompt for candidate in result.images] == parted(said, asked)
    steps = [fields["step"] for event, fields in sink.events if event == "progress"]
    assert steps == ["analyse", "pick", "store"]


@pytest.mark.usefixtures("model")
def test_a_logo_goes_into_its_corner(files: Storage, tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(png())
    result, _ = run(files, count=1, logo=add_file(files, tmp_path / "logo.png"))
    before = Image.open(io.BytesIO(made(files, "image.png", result.images[0].job))).convert("RGB")
    after = Image.open(io.BytesIO(made(files)))
    assert after.size == before.size
    assert after.getpixel((56, 56)) == (255, 0, 0)
    assert after.getpixel((8, 8)) == before.getpixel((8, 8))


@pytest.mark.usefixtures("model")
def test_a_logo_that_is_no_picture_is_told(files: Storage, tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"no picture")
    with pytest.raises(TaskError, match=r"logo: logo\.png is no picture") as caught:
        run(files, count=1, logo=add_file(files, tmp_path / "logo.png"))
    assert (caught.value.code, caught.value.retryable) == ("bad_logo", False)


@pytest.mark.usefixtures("model")
def test_ideas_that_are_paid_for_are_kept(files: Storage) -> None:
    result, sink = run(files, Resumed({"ideas": ["kept one", "kept two"]}, ""), count=2)
    assert [candidate.prompt for candidate in result.images] == ["kept one", "kept two"]
    assert sink.tokens == []


@pytest.mark.usefixtures("model")
def test_an_image_that_fails_is_named(files: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBCAST_IMAGE_BASE_URL", "http://127.0.0.1:9/v1")
    current.cache_clear()
    with pytest.raises(ChildFailed, match="step images: image 1 failed"):
        run(files, Resumed({"ideas": ["x"]}, ""), count=1)


@pytest.mark.parametrize(
    ("answer", "ways"),
    [
        ("1. By night\n2) From above\n- In ink\n", ["By night", "From above", "In ink"]),
        ("By night. From above! In ink? More.", ["By night.", "From above!", "In ink?"]),
        ("* By night", ["By night", "", ""]),
        ("", ["", "", ""]),
    ],
)
def test_an_answer_is_parted_into_ideas(answer: str, ways: list[str]) -> None:
    asked = DesignInput(prompt="A cat", count=3)
    assert parted(answer, asked) == [f"A cat. {way}" if way else "A cat" for way in ways]


@pytest.mark.parametrize(
    "wrong", [{}, {"prompt": "x", "count": 0}, {"prompt": "x", "count": 9}, {"prompt": "x", "size": "big"}]
)
def test_what_it_does_not_take(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DesignInput.model_validate(wrong)


# Working on pictures.


def test_a_plain_picture_shows_nothing() -> None:
    noise = Image.effect_noise((64, 64), 80).convert("RGB")
    file = io.BytesIO()
    noise.save(file, "PNG")
    assert detail_of(png(mode="RGB", colour=(9, 9, 9))) == 0
    assert detail_of(file.getvalue()) > 5


@pytest.mark.parametrize("size", [(10, 400), (400, 10), (1, 1)])
def test_a_logo_of_any_shape_stays_inside(size: tuple[int, int]) -> None:
    signed = Image.open(io.BytesIO(with_logo(png((100, 80), (0, 0, 255, 255)), png(size))))
    assert signed.size == (100, 80)
    reds = [place for place in range(100 * 80) if signed.getpixel((place % 100, place // 100)) == (255, 0, 0)]
    assert 0 < len(reds) < 100 * 80 / 4


def test_what_is_transparent_in_a_logo_stays_so() -> None:
    assert with_logo(png((50, 50), (0, 0, 255, 255)), png((10, 10), (255, 0, 0, 0))) == with_logo(
        png((50, 50), (0, 0, 255, 255)), png((10, 10), (0, 0, 0, 0))
    )
    with pytest.raises(NoPicture):
        with_logo(png(), b"GIF89a")
