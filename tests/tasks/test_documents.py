"""Documents as text: PDF in a child process, other texts by their bytes, and chunks of both."""

import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from progress.storage.sniff import media_type_of
from tasks.documents import reading
from tasks.documents.chunks import chunks, packed
from tasks.documents.pdf import UnreadableError, can_read_images, lines
from tasks.documents.plain import decode
from tasks.documents.reading import MAX_CHARS, read
from tasks.errors import TaskError
from tasks.progress import InputFile
from tests.support.machine import Stalls
from tests.tasks import pdfs


def given(tmp_path: Path, data: bytes, name: str = "document.pdf") -> InputFile:
    path = tmp_path / "document"
    path.write_bytes(data)
    return InputFile(name, media_type_of(data[:65536], name), len(data), path)


def pages_of(tmp_path: Path, data: bytes, name: str = "document.pdf") -> list[str]:
    return read(given(tmp_path, data, name), lambda *_: None, lambda _: None)


def refusal(tmp_path: Path, data: bytes, name: str = "document.pdf") -> TaskError:
    with pytest.raises(TaskError) as caught:
        pages_of(tmp_path, data, name)
    assert not caught.value.retryable
    return caught.value


def test_a_pdf_of_three_hundred_pages_is_read_page_by_page_beside_this_process(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pages = read(given(tmp_path, pdfs.written(300)), lambda *count: told.append(count), lambda _: None)
    assert [page.strip() for page in pages[::299]] == [
        "The river rises in the hills. Page 1.",
        "The river rises in the hills. Page 300.",
    ]
    assert told == [*((number, 300) for number in range(1, 301)), (300, 300)]
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 32 * 1024


@pytest.mark.parametrize(
    ("make", "code", "message"),
    [
        (pdfs.empty, "empty_document", "no pages"),
        (lambda: pdfs.written(2, text=""), "empty_document", "neither text nor images"),
        (lambda: pdfs.encrypted("secret"), "encrypted", "needs a password"),
        (lambda: pdfs.written()[:600], "bad_document", "broken"),
        (lambda: b"%PDF-1.7\n" + bytes(range(256)) * 20, "bad_document", "broken"),
        (pdfs.endless, "bad_document", "broken"),
        (lambda: pdfs.raw(b"<< /Type /Page >>", kids=b"[" + b"3 0 R " * 6000 + b"]", count=6000), "too_long", "6,000"),
    ],
    ids=["empty", "blank", "encrypted", "cut", "garbage", "endless", "pages"],
)
def test_a_pdf_without_text_to_be_had_says_why(
    tmp_path: Path, make: Callable[[], bytes], code: str, message: str
) -> None:
    path = given(tmp_path, make()).path
    with pytest.raises(UnreadableError, match=message) as caught:
        list(lines(path))
    assert caught.value.code == code


def test_what_the_child_says_is_the_error_of_the_task(tmp_path: Path) -> None:
    error = refusal(tmp_path, pdfs.encrypted("secret"))
    assert (error.code, error.message) == ("encrypted", "this PDF needs a password: upload it without one")


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_one_that_is_encrypted_with_no_password_is_read(tmp_path: Path, algorithm: str) -> None:
    path = given(tmp_path, pdfs.encrypted("", algorithm)).path
    assert [line.get("text", "").strip() for line in lines(path)] == ["", "The river rises in the hills. Page 1."]


@pytest.mark.slow
def test_a_zip_bomb_is_refused_soon_and_costs_this_process_nothing(tmp_path: Path, stalls: Stalls) -> None:
    data = pdfs.bomb()
    assert len(data) < 64 * 1024
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    error = refusal(tmp_path, data)
    assert (error.code, "more than is safe" in error.message) == ("too_complex", True), error.message
    assert time.monotonic() - began < 30 + stalls.since(began)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024


def test_a_child_that_dies_or_takes_too_long_is_an_error_of_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children: list[Any] = []

    def strike(kill: Any) -> None:
        children.append(kill.__self__)
        kill()

    with pytest.raises(TaskError) as caught:
        read(given(tmp_path, pdfs.written(20)), lambda *_: None, strike)
    assert (caught.value.code, caught.value.retryable) == ("too_complex", False)
    monkeypatch.setattr(reading, "LONGEST_S", 0.0)
    assert refusal(tmp_path, pdfs.written(20)).code == "too_complex"
    assert [child.returncode for child in children] == [-signal.SIGKILL]


def test_a_scan_needs_ocr_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    path = given(tmp_path, pdfs.scanned()).path
    with pytest.raises(UnreadableError, match=r"needs OCR; install jobcast with the extra ocr") as caught:
        list(lines(path))
    assert caught.value.code == "needs_ocr"


def test_a_scan_is_read_where_ocr_is_installed(tmp_path: Path) -> None:
    if not can_read_images():
        pytest.skip("no tesseract, or no pytesseract")
    assert "LIGHTHOUSE" in pages_of(tmp_path, pdfs.scanned("LIGHTHOUSE"))[0]
    (_, page) = lines(given(tmp_path, pdfs.scanned("HARBOUR")).path)
    assert page["text"].strip() == "HARBOUR"
    with pytest.raises(UnreadableError, match="OCR has found no text") as caught:
        list(lines(given(tmp_path, pdfs.scanned()).path))
    assert caught.value.code == "needs_ocr"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_a_text_is_read_in_its_encoding_whatever_it_is_called(tmp_path: Path, encoding: str) -> None:
    text = "Über die Brücke führt ein schmaler Weg. Un café noir."
    assert pages_of(tmp_path, text.encode(encoding)) == [text]


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n" + bytes(range(256)), b"PK\x03\x04\x00\x00rest", b"\xff\xfe\x00"])
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes) -> None:
    assert decode(data) is None
    error = refusal(tmp_path, data, "notes.txt")
    assert error.code == "bad_document"
    assert "give PDF, Markdown or plain text" in error.message


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_document"),
        (b" \n", "empty_document"),
        (b"a" * (MAX_CHARS + 1), "too_long"),
        (b"a" * (4 * MAX_CHARS + 5), "too_long"),
    ],
    ids=["nothing", "blank", "long", "huge"],
)
def test_a_text_of_the_wrong_length_is_refused(tmp_path: Path, data: bytes, code: str) -> None:
    assert refusal(tmp_path, data, "notes.md").code == code


def test_a_pdf_with_too_much_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_CHARS", 100)
    assert refusal(tmp_path, pdfs.written(20)).code == "too_long"


def test_chunks_are_cut_where_it_hurts_least() -> None:
    assert chunks("a b", 10) == ["a b"]
    assert chunks(" \n ", 1) == []
    assert chunks("First one.\n\nSecond two. Third.", 20) == ["First one.", "Second two. Third."]
    assert chunks("One is. Two are. Three", 18) == ["One is. Two are.", "Three"]
    assert chunks("word " * 4, 12) == ["word word", "word word"]
    assert chunks("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]


def test_chunks_lose_no_word() -> None:
    text = "\n\n".join(f"Paragraph {number} has a few words. And a second sentence." for number in range(200))
    found = chunks(text, 500)
    assert max(map(len, found)) <= 500
    assert " ".join(found).split() == text.split()
    assert "\n\n".join(packed(found, 2000)).split() == text.split()
    assert max(map(len, packed(found, 2000))) <= 2000
