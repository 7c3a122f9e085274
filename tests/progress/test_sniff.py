"""What bytes are taken for."""

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as some

from progress.storage.sniff import HEAD_BYTES, media_type_of


def zipped() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.txt", "hello")
    return made.getvalue()


@pytest.mark.parametrize(
    ("head", "name", "media_type"),
    [
        (b"%PDF-1.4\n% written in ASCII from end to end\n", "a.txt", "application/pdf"),
        (b"This is a text.", "a.pdf", "text/plain"),
        (b"BMW is no bitmap", "cars", "text/plain"),
        (b"<svg onload='alert(1)'/>", "a.svg", "text/plain"),
        (b"<!doctype html>", "a.html", "text/plain"),
        (b"# Title", "README.MD", "text/markdown"),
        (b"a,b\n1,2\n", "a.csv", "text/csv"),
        (b'{"a": 1}\n', "a.jsonl", "application/x-ndjson"),
        (b'{"a": 1}', "a.json", "application/json"),
        (b"\xef\xbb\xbfgr\xc3\xbc\xc3\x9fe", "a", "text/plain"),
        (b"", "a.csv", "text/csv"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "a.csv", "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "a", "image/jpeg"),
        (zipped(), "a.csv", "application/zip"),
        (b"gr\xfc\xdfe", "latin.csv", "application/octet-stream"),
        ("text".encode("utf-16"), "a.txt", "application/octet-stream"),
        (b"\x00\x01\x02", "a.json", "application/octet-stream"),
    ],
)
def test_bytes_tell_what_they_are_and_names_only_which_text(head: bytes, name: str, media_type: str) -> None:
    assert media_type_of(head, name) == media_type


def test_a_text_may_be_cut_in_the_middle_of_a_character() -> None:
    text = ("ü" * HEAD_BYTES).encode()
    assert media_type_of(b"x" + text[: HEAD_BYTES - 1], "a") == "text/plain"
    assert media_type_of(b"x" + text[:2] + text[:1], "a") == "application/octet-stream"


@given(some.binary(max_size=300), some.text(max_size=20))
def test_whatever_comes_has_a_type(head: bytes, name: str) -> None:
    assert "/" in media_type_of(head, name)
