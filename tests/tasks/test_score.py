"""The kinds `score` and `retrain`: what they take, make, refuse and go on from."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from progress.storage import LocalStorage, add_file, delete_artifacts, find_artifact, read
from tasks.errors import Retry, TaskError
from tasks.kinds import score as module
from tasks.kinds.retrain import RetrainInput, retrain
from tasks.kinds.score import ARTIFACT, ScoreInput, ScoreResult, score
from tasks.parts import Parts
from tasks.progress import Progress, Resumed
from tasks.sentiment import shelf
from tasks.sentiment.model import Model
from tasks.sentiment.shelf import Shelf
from tests.tasks.test_progress import ListSink

pytest.importorskip("sklearn")

JOB = "0190a5b0-0000-7000-8000-000000000000"
TEXTS = ["What a lovely day.", "This is awful.", "I love it", "A dreadful, boring film", "great stuff"]


@pytest.fixture
def storage(tmp_path: Path, model: Model) -> Iterator[LocalStorage]:
    """One with a model in use."""
    shelf._cached.clear()
    storage = LocalStorage(tmp_path / "files")
    Shelf(storage).put(model)
    yield storage
    shelf._cached.clear()


def run(storage: LocalStorage, sink: ListSink | None = None, **task_input: Any) -> ScoreResult:
    result = score(ScoreInput(**task_input), Progress(sink or ListSink(), files=storage, job_id=JOB))
    assert isinstance(result, ScoreResult)
    return result


def lines(storage: LocalStorage) -> list[dict[str, Any]]:
    stored = find_artifact(storage, JOB, ARTIFACT)
    assert stored is not None
    assert stored.media_type == "application/x-ndjson"
    return [json.loads(line) for line in read(storage, stored).splitlines()]


def test_each_text_has_a_label_and_a_score(storage: LocalStorage) -> None:
    sink = ListSink()
    result = run(storage, sink, texts=TEXTS, batch=2)
    found = lines(storage)
    assert [(line["index"], line["text"], line["label"]) for line in found] == [
        (number, text, "negative" if number in (1, 3) else "positive") for number, text in enumerate(TEXTS)
    ]
    assert all((line["score"] >= 0.5) is (line["label"] == "positive") for line in found)
    assert (result.count, result.positive) == (5, 3)
    assert result.mean == pytest.approx(sum(line["score"] for line in found) / 5, abs=1e-4)
    counted = [(fields["current"], fields["total"]) for kind, fields in sink.events if kind == "progress"]
    assert counted == [(0, 5), (2, 5), (4, 5), (5, 5)]


def test_a_file_gives_the_same_scores_and_keeps_its_ids(storage: LocalStorage) -> None:
    run(storage, texts=TEXTS)
    plain = [line["score"] for line in lines(storage)]
    csv = "id,text\n" + "".join(f'r{number},"{text}"\n' for number, text in enumerate(TEXTS))
    run(storage, file=add_file(storage, csv.encode(), "texts.csv"))
    assert [line["score"] for line in lines(storage)] == plain
    assert lines(storage)[4] == {"index": 4, "id": "r4", "label": "positive", "score": plain[4]}


@pytest.mark.parametrize(
    "task_input", [{}, {"texts": [], "batch": 1}, {"texts": [""]}, {"texts": ["a"], "batch": 0}, {"file": "../x"}]
)
def test_what_cannot_be_scored_is_refused_at_submission(task_input: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ScoreInput(**task_input)


def test_a_bad_row_is_found_before_anything_is_scored(storage: LocalStorage) -> None:
    sink = ListSink()
    with pytest.raises(TaskError, match="line 3: there is no text"):
        run(storage, sink, file=add_file(storage, b"text,stars\ngood,5\n,1\n", "texts.csv"))
    assert [fields["step"] for _, fields in sink.events] == ["reading"]


class Struck(Exception):
    """The worker has gone."""


class FrailSink(ListSink):
    """Goes at its n-th checkpoint, which is written or not."""

    def __init__(self, at: int, *, written: bool) -> None:
        super().__init__()
        self._at = at
        self._written = written

    def checkpoint(self, state: str) -> None:
        last = len(self.checkpoints) + 1 == self._at
        if not last or self._written:
            super().checkpoint(state)
        if last:
            raise Struck


@pytest.mark.parametrize("written", [False, True])
def test_it_goes_on_at_the_last_checkpoint(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_S", 0)
    texts = [f"{text} {number}" for number, text in enumerate(TEXTS * 4)]
    whole = run(storage, texts=texts, batch=3)
    undisturbed = lines(storage)
    storage.delete("jobs")
    resumed = None
    for attempt, strikes_at in ((1, 3), (2, 2)):
        sink = FrailSink(strikes_at, written=written)
        progress = Progress(sink, resumed=resumed, attempt=attempt, files=storage, job_id=JOB)
        with pytest.raises(Struck):
            score(ScoreInput(texts=texts, batch=3), progress)
        resumed = Resumed(json.loads(sink.checkpoints[-1]), "")
    last = ListSink()
    progress = Progress(last, resumed=resumed, attempt=3, files=storage, job_id=JOB)
    assert score(ScoreInput(texts=texts, batch=3), progress) == whole
    assert lines(storage) == undisturbed
    assert last.events[0][1]["current"] == (15 if written else 9)


def test_with_another_model_it_begins_anew(storage: LocalStorage, model: Model) -> None:
    state = {"version": "another", "count": 4, "positive": 4, "sum": 40000, "parts": [[1, 1]]}
    progress = Progress(ListSink(), resumed=Resumed(state, ""), attempt=2, files=storage, job_id=JOB)
    assert score(ScoreInput(texts=TEXTS), progress).positive == 3
    assert len(lines(storage)) == 5


def test_without_what_was_kept_it_begins_anew(storage: LocalStorage, model: Model) -> None:
    state = {"version": model.version, "count": 4, "positive": 4, "sum": 40000, "parts": [[1, 1]]}
    progress = Progress(ListSink(), resumed=Resumed(state, ""), attempt=2, files=storage, job_id=JOB)
    assert score(ScoreInput(texts=TEXTS), progress).positive == 3
    assert len(lines(storage)) == 5


def test_a_part_that_goes_meanwhile_is_worth_another_attempt(storage: LocalStorage) -> None:
    parts = Parts(Progress(ListSink(), files=storage, job_id=JOB), [])
    parts.add(b"1\n")
    parts.keep()
    delete_artifacts(storage, JOB)
    with pytest.raises(Retry, match="part 0 of attempt 1 is gone"):
        parts.join_as("parts.txt", "text/plain")


def test_no_parts_are_left_of_a_job_that_is_done(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_S", 0)
    sink = ListSink()
    run(storage, sink, texts=TEXTS, batch=1)
    assert len(sink.checkpoints) == 5
    assert list(storage.keys("parts")) == []


def test_retraining_swaps_the_model_and_learns_from_a_file(storage: LocalStorage, model: Model) -> None:
    csv = b"text,label\nThe gizmo frobnicates,positive\nThe gizmo frobnicates not,negative\n"
    sink = ListSink()
    progress = Progress(sink, files=storage, job_id=JOB)
    result = retrain(RetrainInput(file=add_file(storage, csv, "more.csv")), progress)
    assert result.version != model.version
    assert result.version == Shelf(storage).model().version
    assert result.vocabulary > model.vocabulary
    assert result.accuracy >= round(model.accuracy, 4)
    assert [fields["step"] for _, fields in sink.events] == ["reading", "training", "in use"]


def test_a_text_without_a_label_is_no_lesson(storage: LocalStorage) -> None:
    file = add_file(storage, b"text,label\nfine,positive\nhm,neutral\n", "more.csv")
    with pytest.raises(TaskError, match="text 2: label is 'neutral'"):
        retrain(RetrainInput(file=file), Progress(ListSink(), files=storage, job_id=JOB))


def test_without_scikit_learn_the_error_names_the_extra(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    with pytest.raises(TaskError, match=r"jobcast\[ml\]") as caught:
        run(storage, texts=TEXTS)
    assert caught.value.code == "not_installed"
