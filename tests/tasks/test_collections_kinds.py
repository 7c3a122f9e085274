"""The kinds `embed` and `recommend`: what they take, keep, refuse and go on from, on the demo model and the twin."""

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from progress.collections import Collection, Collections, Item
from progress.commands import ReadCollection, ReadVectors
from progress.errors import JobCancelled
from progress.settings import current
from progress.storage import LocalStorage, add_file, find_artifact, read
from progress.testing import Memory
from server.demo_model.model import count_pieces
from server.demo_model.vectors import vector
from tasks.embeddings import Embedded
from tasks.errors import ModelError, TaskError
from tasks.family import InProcess
from tasks.kinds import embed as embed_module
from tasks.kinds import recommend as recommend_module
from tasks.kinds.embed import BATCH, EmbedInput, EmbedResult, client, embed
from tasks.kinds.recommend import ARTIFACT, RecommendInput, RecommendResult, recommend
from tasks.progress import Progress, Resumed
from tasks.schedule import built_in
from tests.support.demo import Demo, running_demo
from tests.support.waiting import wait_until
from tests.tasks.test_progress import ListSink

np = pytest.importorskip("numpy")
pytestmark = pytest.mark.integration

JOB = "0190a5b0-0000-7000-8000-000000000000"
TEXTS = [f"{thing} number {n}" for n in range(50) for thing in ("a boat", "the castle", "one dog", "a train", "soup")]


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running_demo() as demo:
        yield demo


class Bench:
    """Runs kinds, on a twin and a directory."""

    def __init__(self, storage: LocalStorage) -> None:
        self.storage = storage
        self.memory = Memory()
        self.most_bytes = 10**7
        self.sink = ListSink()

    def progress(self, resumed: Resumed | None = None) -> Progress:
        self.sink = ListSink()
        collections = Collections(self.memory.executor, most_bytes=self.most_bytes, ttl_s=60)
        made = Progress(self.sink, files=self.storage, job_id=JOB, resumed=resumed)
        made.collections = collections
        return made

    def embed(self, texts: list[str] | None = None, resumed: Resumed | None = None, **more: Any) -> EmbedResult:
        given = {"collection": "c", **({} if texts is None else {"texts": texts}), **more}
        result: EmbedResult = embed(EmbedInput.model_validate(given), self.progress(resumed))
        return result

    def recommend_all(self) -> RecommendResult:
        progress = self.progress()
        progress.family = InProcess(ListSink(), self.storage, progress.collections)
        result: RecommendResult = recommend(RecommendInput(), progress)
        return result

    def recommend(self, k: int = 5, collection: str = "c") -> RecommendResult:
        result: RecommendResult = recommend(RecommendInput(collection=collection, k=k), self.progress())
        return result

    @property
    def collection(self) -> Collection:
        return Collections(self.memory.executor, most_bytes=10**7, ttl_s=60).open("c")

    def items(self) -> dict[str, Item]:
        return {item.id: item for page in self.collection.items() for item in page}

    def neighbours(self) -> list[dict[str, Any]]:
        stored = find_artifact(self.storage, JOB, ARTIFACT)
        assert stored is not None
        return [json.loads(line) for line in read(self.storage, stored).splitlines()]

    def file(self, name: str, text: str) -> str:
        return add_file(self.storage, text.encode(), name)


@pytest.fixture
def bench(demo: Demo, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("JOBCAST_LLM_BASE_URL", demo.url)
    current.cache_clear()
    client.cache_clear()
    yield Bench(LocalStorage(tmp_path))
    client().close()
    client.cache_clear()


def packed(text: str) -> bytes:
    return struct.pack("<256f", *vector(text))


# embed


def test_texts_are_kept_as_vectors_with_their_figures(bench: Bench) -> None:
    made = bench.embed(TEXTS)
    tokens = sum(map(count_pieces, TEXTS))
    assert made.model_dump() == {
        **{"collection": "c", "count": 250, "size": 250, "dimensions": 256, "model": "demo-embed"},
        "usage": {"prompt_tokens": tokens},
    }
    assert {item.label: item.vector for item in bench.items().values()} == {text: packed(text) for text in TEXTS}
    counts = [fields["current"] for kind, fields in bench.sink.events if kind == "progress"]
    assert (counts[0], counts[-1], counts) == (0, 250, sorted(counts))


def test_a_second_run_replaces_and_never_doubles(bench: Bench) -> None:
    bench.embed(["one", "two"])
    before, state = bench.items(), bench.collection.state()
    again = bench.embed(["two", "one", "two"])
    assert (again.count, again.size, bench.items(), bench.collection.state()) == (2, 2, before, state)
    assert bench.embed(["three"]).size == 3


def test_ids_may_be_given_and_the_last_text_of_an_id_stays(bench: Bench) -> None:
    made = bench.embed(["one", "two", "three"], ids=["a", "b", "a"])
    assert made.count == 2
    assert {name: item.label for name, item in bench.items().items()} == {"a": "three", "b": "two"}
    assert bench.items()["a"].vector == packed("three")


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("t.csv", "id,text\nx,one\ny,two\n", {"x": "one", "y": "two"}),
        ("t.jsonl", '{"text": "one", "id": 1}\n{"text": "two", "id": "y"}\n', {"1": "one", "y": "two"}),
        ("t.txt", "one\ntwo\n", None),
    ],
)
def test_a_file_of_texts_will_do(bench: Bench, name: str, text: str, labels: dict[str, str] | None) -> None:
    made = bench.embed(file=bench.file(name, text))
    assert made.count == 2
    found = {name: item.label for name, item in bench.items().items()}
    assert found == labels if labels else sorted(found.values()) == ["one", "two"]


def test_a_lost_attempt_is_gone_on_with_and_not_paid_for_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bench.embed(TEXTS)
    states = [json.loads(state) for state in bench.sink.checkpoints]
    assert [state["entries"] for state in states] == [BATCH, 2 * BATCH, 3 * BATCH, 250]
    kept = bench.items()
    asked: list[int] = []
    real = client().embed

    def counting(texts: Sequence[str], **more: Any) -> Embedded:
        asked.append(len(texts))
        return real(texts, **more)

    monkeypatch.setattr(client(), "embed", counting)
    assert bench.embed(TEXTS, Resumed(states[1], "")) == whole
    assert sorted(asked) == [250 - 3 * BATCH, BATCH]
    assert bench.items() == kept
    assert bench.sink.events[0][1]["current"] == 2 * BATCH


def test_a_batch_that_fails_ends_the_attempt_and_the_requests_beside_it(bench: Bench, demo: Demo) -> None:
    texts = [*TEXTS[:BATCH], "[[demo: status=429 retry_after=9]]x", *TEXTS[BATCH:], *["[[demo: silent]]y"] * 3]
    with pytest.raises(ModelError) as caught:
        bench.embed(texts)
    assert (caught.value.code, caught.value.retry_after_s) == ("model_rate_limited", 9)
    assert [json.loads(state)["entries"] for state in bench.sink.checkpoints] == [BATCH]
    wait_until(lambda: demo.active == 0)


def test_a_cancel_ends_all_of_its_requests(bench: Bench) -> None:
    progress = bench.progress()
    bench.sink.over = JobCancelled()
    with pytest.raises(ModelError) as caught:
        embed(EmbedInput(collection="c", texts=["[[demo: silent]]x"] * 200), progress)
    assert caught.value.code == "model_aborted"


def test_a_collection_takes_one_model_and_no_more_than_its_limit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.collection.put("another", [Item("a", b"\0" * 8)])
    with pytest.raises(TaskError) as caught:
        bench.embed(["one"])
    assert (caught.value.code, caught.value.retryable) == ("collection_mismatch", False)
    bench.memory.flush()
    bench.most_bytes = 1500
    with pytest.raises(TaskError) as caught:
        bench.embed(["one", "two"])
    assert (caught.value.code, caught.value.retryable) == ("collection_full", False)


def test_a_collection_that_has_gone_by_the_end_is_filled_by_another_attempt(bench: Bench) -> None:
    def forget(command: object) -> None:
        if isinstance(command, ReadCollection):
            bench.memory.flush()

    bench.memory.before = forget
    with pytest.raises(TaskError) as caught:
        bench.embed(["one"])
    assert (caught.value.code, caught.value.retryable) == ("unknown_collection", True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"collection": "c"},
        {"collection": "c", "texts": []},
        {"collection": "c", "texts": [""]},
        {"collection": "", "texts": ["a"]},
        {"collection": "a:b", "texts": ["a"]},
        {"collection": "x" * 65, "texts": ["a"]},
        {"collection": "c", "texts": ["a"], "ids": ["a", "b"]},
        {"collection": "c", "texts": ["a"], "ids": [""]},
        {"collection": "c", "file": "0190a5b0-0000-7000-8000-000000000000", "ids": ["a"]},
        {"collection": "c", "texts": ["a"], "file": "0190a5b0-0000-7000-8000-000000000000"},
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EmbedInput.model_validate(wrong)


# recommend


def filled(bench: Bench, vectors: Any, name: Callable[[int], str] = lambda n: f"i{n:04}") -> None:
    rows = np.asarray(vectors, dtype="<f4")
    bench.collection.put("m", [Item(name(n), row.tobytes(), f"text {n}") for n, row in enumerate(rows)])


def test_the_neighbours_are_those_that_comparing_all_would_find(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(1).normal(size=(300, 16))
    filled(bench, vectors)
    monkeypatch.setattr(recommend_module, "BLOCK_CELLS", 300 * 37)
    made = bench.recommend(7)
    assert made.model_dump() == {"collection": "c", "count": 300, "k": 7, "artifact": ARTIFACT, "cached": False}
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = unit @ unit.T
    lines = bench.neighbours()
    assert [line["id"] for line in lines] == [f"i{n:04}" for n in range(300)]
    for n, line in enumerate(lines):
        nearest = [int(other) for other in np.argsort(-alike[n]) if other != n][:7]
        assert [one["id"] for one in line["neighbours"]] == [f"i{other:04}" for other in nearest]
        scores = [one["score"] for one in line["neighbours"]]
        assert scores == pytest.approx([alike[n, other] for other in nearest], abs=1e-3)
    steps = [fields["step"] for kind, fields in bench.sink.events if kind == "progress"]
    assert (steps[0], steps[-1]) == ("reading", "comparing")


def test_what_has_not_changed_comes_from_what_was_kept(bench: Bench) -> None:
    bench.embed(TEXTS)
    assert bench.recommend().cached is False
    first = bench.neighbours()
    assert bench.recommend().cached is True
    assert bench.neighbours() == first
    assert [kind for kind, _ in bench.sink.events] == ["artifact"]
    assert bench.recommend(6).cached is False
    bench.embed(TEXTS)
    assert bench.recommend().cached is True
    bench.embed(["something new"])
    assert bench.recommend().cached is False
    assert len(bench.neighbours()) == 251


def test_similar_texts_are_neighbours(bench: Bench) -> None:
    pairs = [
        ("a recipe for apple pie", "apple pies: the best recipe"),
        ("trains to London are late", "the London train was late"),
        ("how to reset a password", "resetting your password"),
    ]
    bench.embed([text for pair in pairs for text in pair])
    bench.recommend(1)
    labels = {item.id: item.label for item in bench.items().values()}
    found = {line["text"]: labels[line["neighbours"][0]["id"]] for line in bench.neighbours()}
    assert found == {**dict(pairs), **{second: first for first, second in pairs}}


@pytest.mark.parametrize(("count", "k", "each"), [(1, 5, 0), (3, 100, 2)])
def test_a_small_collection_has_fewer_neighbours(bench: Bench, count: int, k: int, each: int) -> None:
    filled(bench, np.eye(count))
    bench.recommend(k)
    assert [len(line["neighbours"]) for line in bench.neighbours()] == [each] * count


def test_equal_vectors_and_none_at_all_are_no_trouble(bench: Bench) -> None:
    filled(bench, [[0, 0], [1, 0], [1, 0], [1, 0]])
    bench.recommend(2)
    found = {line["id"]: [(one["id"], one["score"]) for one in line["neighbours"]] for line in bench.neighbours()}
    assert found["i0001"] == [("i0002", 1), ("i0003", 1)]
    assert found["i0000"] == [("i0001", 0), ("i0002", 0)] or len(found["i0000"]) == 2


def test_an_unknown_collection_is_an_error_that_says_so(bench: Bench) -> None:
    with pytest.raises(TaskError) as caught:
        bench.recommend(collection="nothing")
    assert (caught.value.code, caught.value.retryable) == ("unknown_collection", False)
    assert "'nothing'" in caught.value.message


def test_one_that_changes_while_it_is_read_is_read_again(bench: Bench) -> None:
    filled(bench, np.eye(4))
    left = [Item("new", np.ones(4, dtype="<f4").tobytes()), Item("newer", np.ones(4, dtype="<f4").tobytes())]

    def write(command: object) -> None:
        if isinstance(command, ReadVectors) and left:
            item = left.pop()
            bench.collection.put("m", [item])

    bench.memory.after = write
    assert bench.recommend(1).count == 6
    assert bench.recommend(1).cached is True


def test_one_that_never_keeps_still_is_taken_as_it_is_and_not_kept(bench: Bench) -> None:
    filled(bench, np.eye(4))
    numbers = iter(range(100))

    def write(command: object) -> None:
        if isinstance(command, ReadVectors):
            bench.collection.put("m", [Item(f"new {next(numbers)}", np.ones(4, dtype="<f4").tobytes())])

    bench.memory.after = write
    assert bench.recommend(1).count >= 4
    bench.memory.after = lambda _command: None
    assert bench.recommend(1).cached is False


def test_a_worker_without_numpy_says_what_to_install(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(bench, np.eye(2))
    monkeypatch.setitem(__import__("sys").modules, "numpy", None)
    with pytest.raises(TaskError, match=r"jobcast\[ml\]") as caught:
        bench.recommend()
    assert caught.value.code == "not_installed"


def test_where_vectors_are_kept_must_be_told() -> None:
    with pytest.raises(LookupError, match=r"progress\.collections = "):
        Progress(ListSink()).collection("c")


def test_without_a_name_all_collections_are_looked_at(bench: Bench) -> None:
    assert bench.recommend_all().model_dump() == {
        "collection": None, "count": 0, "k": 5, "artifact": None, "cached": True,
    }  # fmt: skip
    bench.embed(["one", "two", "three"])
    bench.embed(["four", "five"], collection="d")
    assert (bench.recommend_all().count, bench.recommend_all().cached) == (5, True)
    bench.embed(["six"], collection="d")
    assert bench.recommend_all().cached is False
    assert {schedule.name for schedule in built_in(current())} >= {"recommend"}


def test_the_requests_of_a_batch_are_bounded() -> None:
    assert embed_module.BATCH * embed_module.AT_ONCE <= 2048
