"""The sentiment model: what it is trained on, how good it is, how it is kept and swapped."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from progress.storage import LocalStorage, put
from tasks.errors import TaskError
from tasks.sentiment import shelf
from tasks.sentiment.__main__ import main
from tasks.sentiment.corpus import Sample, shipped, split
from tasks.sentiment.model import BrokenModelError, Model
from tasks.sentiment.shelf import KEY, Shelf
from tasks.sentiment.training import accuracy, trained
from tasks.sentiment.words import lexicon, ratings, words

numpy = pytest.importorskip("numpy")
pytest.importorskip("sklearn")

FLOOR = 0.74
"""Of the accuracy on held-out sentences: it is 0.76, on 191 of them."""


@pytest.fixture
def storage(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStorage]:
    """An empty one; what would be trained on what is shipped is there already."""
    monkeypatch.setattr(shelf, "trained", lambda more=None: trained(more) if more else model)
    shelf._cached.clear()
    yield LocalStorage(tmp_path)
    shelf._cached.clear()


def test_what_is_shipped_has_both_labels_and_nothing_twice() -> None:
    samples = shipped()
    texts = [" ".join(words(sample.text)) for sample in samples]
    assert len(samples) >= 700
    assert len(set(texts)) == len(texts)
    assert 0.45 < sum(sample.positive for sample in samples) / len(samples) < 0.55


def test_the_held_out_part_is_large_and_stays_the_same() -> None:
    training, held_out = split(shipped())
    assert not {sample.text for sample in training} & {sample.text for sample in held_out}
    assert 0.2 < len(held_out) / len(shipped()) < 0.3
    assert Sample("It's good.", True).is_held_out == Sample("It's good.", False).is_held_out


def test_no_held_out_sentence_is_nearly_one_to_train_on() -> None:
    training, held_out = split(shipped())
    known = [set(words(sample.text)) for sample in training]
    for sample in held_out:
        own = set(words(sample.text))
        near = max(len(own & other) / len(own | other) for other in known)
        assert near < 0.8, sample.text


def test_a_negation_reaches_the_next_words_and_no_further_than_the_clause() -> None:
    assert words("It isn’t very good, but cheap") == ["it", "NOT", "NOT_very", "NOT_good", "but", "cheap"]
    assert words("not a b c d") == ["NOT", "NOT_a", "NOT_b", "NOT_c", "d"]


def test_ratings_are_turned_by_a_negation_and_weaker_before_a_but() -> None:
    good, bad, balance = ratings("great")
    assert (good, bad) == (lexicon()["great"] / 4, 0)
    assert balance > 0
    assert ratings("not great")[2] < 0
    assert abs(ratings("not great")[2]) < balance
    assert ratings("great but awful")[2] < ratings("awful but great")[2]
    assert ratings("") == (0, 0, 0)


def test_it_is_as_good_as_is_said_on_what_it_has_not_seen(model: Model) -> None:
    assert model.accuracy >= FLOOR
    assert accuracy(model, split(shipped())[1]) == model.accuracy


def test_its_accuracy_is_printed_and_training_gives_the_same_model_each_time(
    model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    main()
    said = capsys.readouterr().out
    assert said.startswith(f"accuracy {model.accuracy:.3f} on {len(split(shipped())[1])} held-out sentences")
    assert said.endswith(f"version {model.version}\n")


@pytest.mark.parametrize(
    ("text", "positive"),
    [
        ("What a wonderful film, we loved it.", True),
        ("The food was delicious and the staff were friendly.", True),
        ("A terrible waste of money.", False),
        ("The room was dirty and the staff were rude.", False),
        ("This is not good at all.", False),
    ],
)
def test_plain_verdicts_are_found(model: Model, text: str, positive: bool) -> None:
    (score,) = model.score([text])
    assert (score >= 0.5) is positive


def test_scores_do_not_depend_on_what_is_scored_beside(model: Model) -> None:
    texts = [sample.text for sample in shipped()[:50]] + ["", "😀", "xyzzy"]
    assert model.score(texts) == [model.score([text])[0] for text in texts]
    assert model.score([]) == []


def test_a_kept_model_is_the_same_model(model: Model) -> None:
    kept = Model.load(model.dump())
    assert kept.version == model.version
    assert kept.accuracy == model.accuracy
    assert kept.score(["rather nice"]) == model.score(["rather nice"])


class Trap:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('it was run')",)


def kept_with(model: Model, **changes: object) -> bytes:
    with numpy.load(io.BytesIO(model.dump())) as kept:
        parts = {**kept, **changes}
    file = io.BytesIO()
    numpy.savez(file, **parts)
    return file.getvalue()


def head(**fields: object) -> object:
    return numpy.frombuffer(json.dumps(fields).encode(), dtype=numpy.uint8)


def test_what_is_no_model_is_not_used_and_runs_nothing(model: Model) -> None:
    pickled = numpy.array([Trap()], dtype=object)
    for data in (
        b"",
        b"PK\x03\x04 garbage",
        b"\x93NUMPY",
        model.dump()[:-100],
        kept_with(model, weights=pickled),
        kept_with(model, weights=model.weights[1:]),
        kept_with(model, weights=model.weights * float("nan")),
        kept_with(model, head=head(format=99)),
        kept_with(model, head=head(words=[])),
    ):
        with pytest.raises(BrokenModelError):
            Model.load(data)


def test_the_first_use_trains_and_keeps_and_the_next_reads(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Shelf(storage).model()
    monkeypatch.setattr(shelf, "trained", None)
    assert Shelf(storage).model() is Shelf(storage).model()
    shelf._cached.clear()
    assert Shelf(storage).model().version == first.version


def test_a_broken_model_is_replaced(storage: LocalStorage, model: Model) -> None:
    put(storage, KEY, b"garbage", "sentiment.npz")
    assert Shelf(storage).model().version == model.version


def test_a_new_model_is_in_use_for_whoever_asks_next(storage: LocalStorage, model: Model) -> None:
    worse = replace(model, accuracy=0.5, bias=model.bias + 1)
    running = Shelf(storage).put(worse)
    new = Shelf(storage).retrain([])
    assert Shelf(storage).model().version == new.version == model.version
    assert running.version == worse.version


def test_a_worse_model_stays_out(storage: LocalStorage, model: Model) -> None:
    Shelf(storage).put(model)
    turned = [Sample(f"{sample.text} ", not sample.positive) for sample in split(shipped())[0]]
    with pytest.raises(TaskError, match=r"held-out labels, the one in use 7\d\.\d%: it stays") as caught:
        Shelf(storage).retrain(turned)
    assert (caught.value.code, caught.value.retryable) == ("worse_model", False)
    assert Shelf(storage).model().version == model.version
