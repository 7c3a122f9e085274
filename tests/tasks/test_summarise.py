"""The kind `summarise`: its steps, what it keeps, how it fails, on the demo model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from progress.errors import JobCancelled
from progress.events import Draft
from progress.settings import current
from progress.storage import LocalStorage, add_file
from tasks import mapping
from tasks.documents.chunks import chunks
from tasks.errors import ModelError, TaskError
from tasks.generate import client
from tasks.kinds import summarise as module
from tasks.kinds.summarise import SummariseInput, SummariseResult, summarise
from tasks.llm import ChatRequest
from tasks.mapping import Stops
from tasks.progress import Progress, Resumed
from tests.support.demo import Demo, running_demo
from tests.tasks import pdfs
from tests.tasks.test_progress import ListSink

JOB = "0190a5b0-0000-7000-8000-000000000000"
LONG = "\n\n".join(f"Paragraph {number} tells of the river and of the lighthouse." for number in range(600))


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running_demo(tokens_per_s=2000) as demo:
        yield demo


@pytest.fixture(autouse=True)
def model(demo: Demo, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    """The demo model as the model server of this process."""
    monkeypatch.setenv("JOBCAST_LLM_BASE_URL", demo.url)
    monkeypatch.setenv("JOBCAST_LLM_CONTINUES", "1")
    current.cache_clear()
    client.cache_clear()
    yield demo
    client().close()
    client.cache_clear()


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "files")


def run(storage: LocalStorage, sink: ListSink, resumed: Resumed | None = None, **task_input: Any) -> SummariseResult:
    progress = Progress(sink, files=storage, job_id=JOB, resumed=resumed)
    result = summarise(SummariseInput(**task_input), progress)
    assert isinstance(result, SummariseResult)
    return result


def said(sink: ListSink) -> str:
    return "".join(text for text, _ in sink.tokens)


def steps(sink: ListSink) -> list[str]:
    found = [fields["step"] for kind, fields in sink.events if kind == "progress"]
    return [step for number, step in enumerate(found) if number == 0 or step != found[number - 1]]


def test_a_short_text_is_summarised_at_once(storage: LocalStorage) -> None:
    sink = ListSink()
    result = run(storage, sink, text="The river rises in the hills and ends in the sea.", max_words=20)
    assert result.summary == said(sink).strip() != ""
    assert (result.pages, result.chunks) == (1, 1)
    assert result.usage.prompt_tokens
    assert 0 < (result.usage.completion_tokens or 0) <= 40
    assert steps(sink) == ["extract", "reduce"]


def test_a_long_pdf_is_read_mapped_and_reduced(storage: LocalStorage) -> None:
    sink = ListSink()
    pdf = pdfs.written(
        30, "Page {} " + "tells of the river, the hills, the lighthouse, the rain and the harbour. " * 20
    )
    result = run(storage, sink, file=add_file(storage, pdf, "river.pdf"))
    assert (result.pages, result.summary) == (30, said(sink).strip())
    assert result.chunks > 3
    assert steps(sink) == ["extract", "map", "reduce"]
    counted = [(fields["current"], fields["total"]) for _, fields in sink.events if fields.get("step") == "map"]
    assert (counted[0], counted[-1]) == ((0, result.chunks), (result.chunks, result.chunks))
    fractions = [fields["fraction"] for kind, fields in sink.events if kind == "progress"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_the_chunks_are_asked_beside_each_other_and_no_more_than_a_few(
    storage: LocalStorage, demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way, most = set(), 0
    original = mapping.Mapping._answer

    def noted(self: mapping.Mapping, index: int, text: str) -> dict[str, Any]:
        nonlocal most
        under_way.add(index)
        most = max(most, len(under_way))
        try:
            return original(self, index, text)
        finally:
            under_way.discard(index)

    monkeypatch.setattr(mapping.Mapping, "_answer", noted)
    result = run(storage, ListSink(), text=LONG * 2)
    assert result.chunks > mapping.AT_ONCE
    assert most == mapping.AT_ONCE


def test_what_a_lost_attempt_has_made_of_chunks_is_not_paid_for_again(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(LocalStorage(storage.root / "other"), ListSink(), text=LONG)

    class Strike(ListSink):
        """Goes when two chunks are done."""

        def event(self, draft: Draft) -> None:
            super().event(draft)
            if self.events[-1][1].get("step") == "map" and self.events[-1][1]["current"] >= 2:
                raise JobCancelled

    with pytest.raises(JobCancelled):
        run(storage, Strike(), text=LONG)
    kept = len(list(storage.keys("parts")))
    assert kept >= 2
    asked: list[str] = []
    request = module._request

    def noted(text: str, words: int) -> ChatRequest:
        asked.append(text)
        return request(text, words)

    monkeypatch.setattr(module, "_request", noted)
    assert run(storage, ListSink(), text=LONG) == whole
    assert len(asked) == whole.chunks - kept + 1
    assert list(storage.keys("parts")) == []


def test_the_summary_goes_on_where_its_text_ended(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_S", 0)
    first = ListSink()
    whole = run(storage, first, text="The river rises in the hills.")
    state = json.loads(first.checkpoints[4])
    kept = "".join(text for text, _ in first.tokens[: state["tokens"]])
    sink = ListSink()
    result = run(storage, sink, Resumed(state, kept), text="The river rises in the hills.")
    assert kept + said(sink) == said(first)
    assert result.summary == whole.summary


def test_a_summary_that_was_whole_is_not_asked_for_again(storage: LocalStorage) -> None:
    sink = ListSink()
    kept = Resumed({"tokens": 40, "model": "demo"}, "It rises.")
    assert run(storage, sink, kept, text="The river.", max_words=20).summary == "It rises."
    assert sink.tokens == []


def test_summaries_that_are_too_long_are_summarised_again(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "chunks", lambda text: chunks(text, 400))
    monkeypatch.setattr(
        module, "packed", lambda texts: [" ".join(texts[at : at + 3]) for at in range(0, len(texts), 3)]
    )
    sink = ListSink()
    result = run(storage, sink, text=LONG[:4000])
    assert result.chunks > 9
    totals = {fields["total"] for _, fields in sink.events if fields.get("step") == "map"}
    assert len(totals) == 3


def test_a_model_that_does_not_shorten_anything_is_an_error(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "packed", lambda texts: texts)
    with pytest.raises(TaskError, match="no shorter than the parts"):
        run(storage, ListSink(), text=LONG)


def test_a_chunk_that_fails_fails_the_attempt_and_the_others_are_kept(storage: LocalStorage) -> None:
    parts = chunks(LONG)
    text = LONG + "\n\n" + "[[demo: status=503]] " * 10 + "x" * 6000
    with pytest.raises(ModelError) as caught:
        run(storage, ListSink(), text=text)
    assert (caught.value.code, caught.value.retryable) == ("model_failed", True)
    assert 1 <= len(list(storage.keys("parts"))) <= len(parts)


def test_pages_without_text_are_told(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read", lambda *_: ["The river rises.", " \n"])
    sink = ListSink()
    assert run(storage, sink, file=add_file(storage, b"", "scan.pdf")).pages == 2
    assert ("log", {"level": "warning", "message": "1 of 2 pages have no text"}) in sink.events


def test_a_document_without_text_is_refused(storage: LocalStorage) -> None:
    pdf = pdfs.raw(b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>")
    with pytest.raises(TaskError) as caught:
        run(storage, ListSink(), file=add_file(storage, pdf, "blank.pdf"))
    assert caught.value.code == "empty_document"


@pytest.mark.parametrize(
    "task_input", [{}, {"text": ""}, {"text": "a", "file": JOB}, {"text": "a", "max_words": 19}, {"file": "x"}]
)
def test_what_cannot_be_summarised_is_refused_at_submission(task_input: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SummariseInput(**task_input)


def test_a_text_of_white_space_has_nothing_in_it(storage: LocalStorage) -> None:
    with pytest.raises(TaskError) as caught:
        run(storage, ListSink(), text=" \n ")
    assert caught.value.code == "empty_document"


def test_whatever_begins_after_the_end_is_ended_at_once() -> None:
    ended: list[str] = []
    stops = Stops()
    stops.add(lambda: ended.append("first"))
    stops.stop()
    stops.add(lambda: ended.append("late"))
    assert ended == ["first", "late"]
