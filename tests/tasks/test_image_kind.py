"""The kind `image`: what it takes, shows and leaves, on the demo model."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from progress.errors import JobCancelled
from progress.settings import current
from progress.storage import LocalStorage, find_artifact, read
from tasks.errors import ModelError
from tasks.kinds.image import ARTIFACT, ImageInput, client, image
from tasks.pictures import checked
from tasks.progress import Progress, Resumed
from tests.support.demo import Demo, running_demo
from tests.tasks.test_progress import ListSink

pytestmark = pytest.mark.integration

JOB = "0190a5b0-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running_demo() as demo:
        yield demo


@pytest.fixture(autouse=True)
def model(demo: Demo, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The demo model as the model server of this process."""
    monkeypatch.setenv("JOBCAST_LLM_BASE_URL", demo.url)
    monkeypatch.setenv("JOBCAST_IMAGE_MODEL", "demo-image")
    current.cache_clear()
    client.cache_clear()
    yield
    client().close()
    client.cache_clear()


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


def draw(storage: LocalStorage, sink: ListSink, *, resumed: Resumed | None = None, **task_input: Any) -> dict[str, Any]:
    given = ImageInput.model_validate({"prompt": "a boat", "size": "96x64", **task_input})
    result: dict[str, Any] = image(given, Progress(sink, files=storage, job_id=JOB, resumed=resumed)).model_dump()
    return result


def file(storage: LocalStorage, name: str = ARTIFACT) -> bytes:
    stored = find_artifact(storage, JOB, name)
    assert stored is not None
    return read(storage, stored)


def test_a_prompt_becomes_one_png_with_previews_before_it(storage: LocalStorage) -> None:
    sink = ListSink()
    made = draw(storage, sink, seed=7)
    assert made == {"artifact": "image.png", "width": 96, "height": 64, "seed": 7, "model": "demo-image"}
    picture = checked(file(storage))
    assert (picture.width, picture.height) == (96, 64)
    shown = [(kind, fields.get("name") or fields["fraction"]) for kind, fields in sink.events]
    assert [one for one in shown if one[0] == "artifact"] == [
        ("artifact", "preview.png"),
        ("artifact", "preview.png"),
        ("artifact", "image.png"),
    ]
    fractions = [value for kind, value in shown if kind == "progress"]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)


def test_another_attempt_draws_the_picture_of_the_first(storage: LocalStorage) -> None:
    sink, next_one = ListSink(), ListSink()
    first = draw(storage, sink)
    seen = file(storage)
    assert sink.checkpoints == [f'{{"seed":{first["seed"]}}}']
    second = draw(storage, next_one, resumed=Resumed({"seed": first["seed"]}, ""))
    assert second == first
    assert hashlib.sha256(file(storage)).digest() == hashlib.sha256(seen).digest()
    assert next_one.checkpoints == []


def test_a_server_that_knows_no_seeds_is_not_said_to_have_used_one(storage: LocalStorage) -> None:
    made = draw(storage, ListSink(), prompt="[[demo: reject=seed]]a boat", seed=7)
    assert made["seed"] is None
    client.cache_clear()


def test_a_cancel_ends_the_wait_for_the_server(storage: LocalStorage, demo: Demo) -> None:
    sink = ListSink()
    sink.over = JobCancelled()
    with pytest.raises((ModelError, JobCancelled)) as caught:
        draw(storage, sink, prompt="[[demo: silent]]x", seed=1)
    assert getattr(caught.value, "code", "model_aborted") == "model_aborted"
    assert find_artifact(storage, JOB, ARTIFACT) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"prompt": ""},
        {"prompt": "a", "size": "1024"},
        {"prompt": "a", "size": "0x9"},
        {"prompt": "a", "size": "999999x9"},
        {"prompt": "a", "seed": -1},
        {"prompt": "a", "seed": 2**31},
        {"prompt": "a", "n": 2},
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImageInput.model_validate(wrong)
