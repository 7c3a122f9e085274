"""Bytes to text where nobody says in which encoding; pure."""

import codecs
import re
from typing import Final

_MARKS: Final = (
    # The longer ones first: UTF-32's begins as UTF-16's does.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
PDF: Final = b"%PDF-"
PDF_WITHIN: Final = 1024
"""A PDF may have so much in front of its mark."""


def is_pdf(head: bytes) -> bool:
    """Whether these are the first bytes of a PDF, whatever its name."""
    return PDF in head[:PDF_WITHIN]


def decode(data: bytes) -> str | None:
    """The text, or None where it is none.

    A byte order mark decides; else UTF-8 if it fits, which other text hardly ever does; else UTF-16 where every other
    byte is mostly zero; else Windows-1252, which is Latin-1 with quotes, provided that no control characters result.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decoded(data, encoding)
    if b"\0" in data:
        # Of text in Latin letters one byte of each pair is zero: which one tells the order.
        even, odd = data[::2].count(0), data[1::2].count(0)
        return _decoded(data, "utf-16-be" if even > odd else "utf-16-le") if max(even, odd) > len(data) / 5 else None
    return _decoded(data, "utf-8") or _decoded(data, "cp1252") or _decoded(data, "latin-1")


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if _CONTROLS.search(text) else text
