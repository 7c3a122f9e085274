"""What a task function reports through, without Celery, Redis and HTTP."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from progress.errors import AttemptOver, JobCancelled
from progress.events import MAIN_CHANNEL, Draft
from progress.storage import LocalStorage, add_file, artifacts, find_artifact, read
from tasks.errors import TaskError
from tasks.progress import MESSAGE_CHARS, PrintSink, Progress, Resumed


class ListSink:
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.over: AttemptOver | None = None
        self.on_over: Callable[[], None] | None = None
        self.tokens: list[tuple[str, str]] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.checkpoints: list[str] = []

    def token(self, text: str, channel: str = MAIN_CHANNEL) -> None:
        if self.over:
            raise self.over
        self.tokens.append((text, channel))

    def event(self, draft: Draft) -> None:
        self.events.append((draft.type, json.loads("{" + draft.fields + "}")))

    def checkpoint(self, state: str) -> None:
        self.checkpoints.append(state)


@pytest.fixture
def sink() -> ListSink:
    return ListSink()


def test_text_goes_to_the_main_channel_or_beside_it(sink: ListSink) -> None:
    progress = Progress(sink)
    progress.token("a")
    progress.token("b", channel="notes")
    assert sink.tokens == [("a", "main"), ("b", "notes")]


def test_an_update_is_a_fraction_or_a_count(sink: ListSink) -> None:
    progress = Progress(sink)
    progress.update(0.25, step="map", message="a quarter", eta_s=3)
    progress.update(current=1, total=4)
    progress.update(current=7)
    progress.update(current=0, total=0)
    progress.update(fraction=3)
    assert [fields for _, fields in sink.events] == [
        {"fraction": 0.25, "step": "map", "message": "a quarter", "eta_s": 3},
        {"fraction": 0.25, "current": 1, "total": 4},
        {"current": 7},
        {"current": 0, "total": 0},
        {"fraction": 1.0},
    ]


def test_a_number_that_json_does_not_have_is_refused(sink: ListSink) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Progress(sink).update(current=float("nan"))
    with pytest.raises(ValueError, match="JSON"):
        Progress(sink).update(eta_s=float("inf"))
    assert sink.events == []


def test_a_log_line_has_a_level_and_a_bounded_length(sink: ListSink) -> None:
    progress = Progress(sink)
    progress.log("hello")
    progress.log("x" * 10_000, "warning")
    assert sink.events[0] == ("log", {"level": "info", "message": "hello"})
    assert sink.events[1] == ("log", {"level": "warning", "message": "x" * MESSAGE_CHARS})


def test_a_checkpoint_is_json(sink: ListSink) -> None:
    progress = Progress(sink)
    progress.checkpoint({"page": 3})
    assert sink.checkpoints == ['{"page":3}']
    with pytest.raises(TypeError):
        progress.checkpoint(object())


def counts(sink: ListSink) -> list[tuple[float | None, float | None]]:
    return [(fields.get("current"), fields.get("total")) for _, fields in sink.events]


def test_tracking_counts_what_is_done_and_not_what_has_begun(sink: ListSink) -> None:
    seen = []
    for item in Progress(sink).track("ab", step="read"):
        seen.append((item, counts(sink)[-1]))
    assert seen == [("a", (0, 2)), ("b", (1, 2))]
    assert counts(sink) == [(0, 2), (1, 2), (2, 2)]
    assert all(fields["step"] == "read" for _, fields in sink.events)


def test_tracking_counts_without_a_total_and_with_one_that_was_told(sink: ListSink) -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)

    assert list(Progress(sink).track(items())) == [1, 2]
    assert counts(sink) == [(0, None), (1, None), (2, None)]
    sink.events.clear()
    assert list(Progress(sink).track(items(), total=2)) == [1, 2]
    assert sink.events[-1][1]["fraction"] == 1


def test_a_loop_that_is_left_early_is_not_counted_to_its_end(sink: ListSink) -> None:
    for _ in Progress(sink).track([1, 2, 3]):
        break
    assert counts(sink) == [(0, 3)]


def test_a_cancel_shows_and_is_raised_by_the_next_report(sink: ListSink) -> None:
    progress = Progress(sink)
    assert not progress.cancelled
    sink.over = JobCancelled()
    assert progress.cancelled
    with pytest.raises(JobCancelled):
        progress.token("more")


def test_whoever_hooks_in_too_late_is_told_at_once(sink: ListSink) -> None:
    told: list[str] = []
    progress = Progress(sink)
    progress.on_over(lambda: told.append("stop"))
    assert told == []
    assert sink.on_over is not None
    sink.over = JobCancelled()
    progress.on_over(lambda: told.append("at once"))
    assert told == ["at once"]


def test_a_task_sees_which_attempt_it_is_and_what_was_left(sink: ListSink) -> None:
    progress = Progress(sink, resumed=Resumed({"page": 3}, "text"), attempt=2, max_attempts=3)
    assert (progress.attempt, progress.max_attempts, progress.resumed) == (2, 3, Resumed({"page": 3}, "text"))
    assert Progress(sink).resumed is None


def test_a_script_may_run_a_task_and_see_what_it_reports(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(PrintSink())
    progress.token("hello ")
    progress.token("world\n")
    progress.update(0.5)
    progress.checkpoint({"page": 3})
    assert not progress.cancelled
    assert capsys.readouterr().out == 'hello world\n{"type":"progress","fraction":0.5}\n'


def test_an_artifact_is_stored_and_then_told(sink: ListSink, tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    progress = Progress(sink, files=storage, job_id="a-b", attempt=2)
    progress.artifact("a b?.png", b"\x89PNG\r\n\x1a\n")
    stored = find_artifact(storage, "a-b", "a b?.png")
    assert stored
    told = {"name": "a b?.png", "media_type": "image/png", "size": 8, "url": "/v1/jobs/a-b/artifacts/a%20b%3F.png"}
    assert sink.events == [("artifact", told)]
    assert read(storage, stored) == b"\x89PNG\r\n\x1a\n"


def test_an_artifact_may_be_a_file_and_have_a_type_of_its_own(sink: ListSink, tmp_path: Path) -> None:
    (tmp_path / "drawn").write_text("<svg/>")
    Progress(sink, files=LocalStorage(tmp_path)).artifact("a.svg", tmp_path / "drawn", "image/svg+xml")
    ((_, told),) = sink.events
    assert (told["media_type"], told["size"]) == ("image/svg+xml", 6)


def test_an_attempt_that_is_over_stores_nothing(sink: ListSink, tmp_path: Path) -> None:
    sink.over = JobCancelled()
    storage = LocalStorage(tmp_path)
    with pytest.raises(JobCancelled):
        Progress(sink, files=storage, job_id="a").artifact("a", b"")
    assert (list(artifacts(storage, "a")), sink.events) == ([], [])


def test_a_file_is_there_for_reading(sink: ListSink, tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    with Progress(sink, files=storage).file(add_file(storage, b"hello", "a.pdf")) as file:
        assert (file.name, file.media_type, file.size, file.path.read_bytes()) == ("a.pdf", "text/plain", 5, b"hello")


def test_a_file_that_is_gone_ends_the_job(sink: ListSink, tmp_path: Path) -> None:
    with (
        pytest.raises(TaskError, match="upload it again") as gone,
        Progress(sink, files=LocalStorage(tmp_path)).file("01a20103-7185-7369-83dc-a7eae9770ba9"),
    ):
        pass
    assert (gone.value.code, gone.value.retryable) == ("file_gone", False)


def test_without_a_storage_an_artifact_says_what_to_do(sink: ListSink) -> None:
    with pytest.raises(LookupError, match=r"Progress\(sink, files=LocalStorage"):
        Progress(sink).artifact("a", b"")
