"""Texts in files: CSV, JSON Lines, plain lines, and what is wrong with them."""

from pathlib import Path

import pytest

from progress.errors import JobCancelled
from tasks.errors import TaskError
from tasks.progress import InputFile
from tasks.rows import MAX_LINE_CHARS, MAX_TEXT_CHARS, Row, count, rows

CSV = "text/csv"
JSONL = "application/x-ndjson"
PLAIN = "text/plain"


def given(tmp_path: Path, data: str | bytes, media_type: str) -> InputFile:
    path = tmp_path / "texts"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return InputFile("texts", media_type, path.stat().st_size, path)


def texts(tmp_path: Path, data: str | bytes, media_type: str) -> list[str]:
    return [row.text for row in rows(given(tmp_path, data, media_type))]


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        ("text\ngood\nbad\n", CSV),
        ("anything\r\ngood\r\nbad", CSV),
        ('id,text\n1,"good"\n2,bad\n\n', CSV),
        ("stars\ttext\n5\tgood\n1\tbad\n", "text/tab-separated-values"),
        ('{"text": "good"}\n\n{"text": "bad", "stars": 1}\n', JSONL),
        ('{"text": "good"}\r\n{"text": "bad"}', "application/json"),
        ("good\nbad\n", PLAIN),
        ("\ufeffgood\r\n\r\nbad", "text/markdown"),
    ],
)
def test_every_form_gives_the_same_texts(tmp_path: Path, data: str, media_type: str) -> None:
    assert texts(tmp_path, data, media_type) == ["good", "bad"]


def test_a_row_keeps_its_id_and_what_else_there_is(tmp_path: Path) -> None:
    csv = given(tmp_path, "id,text,label\n7,fine,positive\n,fine,\n", CSV)
    assert list(rows(csv)) == [Row("fine", "7", {"label": "positive"}), Row("fine", None, {"label": ""})]
    jsonl = given(tmp_path, '{"id": 7, "text": "fine", "label": 1}', JSONL)
    assert list(rows(jsonl)) == [Row("fine", 7, {"label": 1})]


def test_a_quoted_field_may_hold_lines_and_commas(tmp_path: Path) -> None:
    assert texts(tmp_path, 'text\n"one,\ntwo ""three"""\n', CSV) == ['one,\ntwo "three"']


@pytest.mark.parametrize(
    ("data", "media_type", "message"),
    [
        ("stars,review\n5,good\n", CSV, 'line 1: the header names no column "text" (there are: stars, review)'),
        ("text,stars\ngood,5\nbad\n", CSV, "line 3: has 1 columns, the header 2"),
        ('text\n"good\n', CSV, "line 2: is no CSV"),
        ('text\n"a"b\n', CSV, "line 2: is no CSV"),
        ("text,stars\n,5\n", CSV, "line 2: there is no text"),
        ('{"text": "good"}\n{"text": \n', JSONL, "line 2: is no JSON"),
        ("[" * 100_000, JSONL, "line 1: is no JSON"),
        ('{"review": "good"}\n', JSONL, 'line 1: is no object with a member "text"'),
        ('"good"\n', JSONL, 'line 1: is no object with a member "text"'),
        ('{"text": 5}\n', JSONL, "line 1: its text is not a string"),
        ('{"text": " "}\n', JSONL, "line 1: there is no text"),
        ('{"text": "good", "id": [1]}\n', JSONL, "line 1: its id is neither"),
        ("a\n" + "x" * (MAX_TEXT_CHARS + 1), PLAIN, "line 2: its text is longer than 100,000 characters"),
        ("a\n" + "x" * (MAX_LINE_CHARS + 1), PLAIN, "line 2: is longer than 200,000 characters"),
        ("text\n" + "x" * (MAX_LINE_CHARS + 1), CSV, "line 2: is longer"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, data: str, media_type: str, message: str) -> None:
    with pytest.raises(TaskError) as caught:
        count(given(tmp_path, data, media_type))
    assert (caught.value.code, caught.value.retryable) == ("bad_row", False)
    assert f"texts, {message}" in caught.value.message


@pytest.mark.parametrize(
    ("data", "media_type", "message"),
    [
        (b"good\nf\xfcr\n", PLAIN, "not UTF-8 soon after line"),
        (b"\x89PNG", "image/png", "this is image/png; give CSV, JSON Lines or lines of text"),
        (b"", PLAIN, "there is no text in it"),
        (b"text\n", CSV, "there is no text in it"),
    ],
)
def test_a_file_that_is_no_list_of_texts_is_refused(tmp_path: Path, data: bytes, media_type: str, message: str) -> None:
    with pytest.raises(TaskError) as caught:
        count(given(tmp_path, data, media_type))
    assert caught.value.code == "bad_file"
    assert message in caught.value.message


def test_whoever_counts_is_told_now_and_then_and_may_end_it(tmp_path: Path) -> None:
    told: list[int] = []
    file = given(tmp_path, "good\n" * 2500, PLAIN)
    assert count(file, told.append) == 2500
    assert told == [1000, 2000]

    def over(_found: int) -> None:
        raise JobCancelled

    with pytest.raises(JobCancelled):
        count(file, over)


def test_a_large_file_is_read_a_line_at_a_time(tmp_path: Path) -> None:
    file = given(tmp_path, "a fairly good one\n" * 50_000, PLAIN)
    found = rows(file)
    assert next(found).text == "a fairly good one"
    found.close()  # type: ignore[attr-defined]  # a generator, which holds one line and the open file
