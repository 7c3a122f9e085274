"""What bytes are, told from themselves. What a client claims counts for nothing: browsers would act on it."""

import codecs
import re
from pathlib import PurePosixPath
from typing import Final

HEAD_BYTES: Final = 64 * 1024
"""As much of a file is looked at."""
UNKNOWN: Final = "application/octet-stream"
TEXT: Final = "text/plain"
TEXTS: Final = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".json": "application/json",
}
"""What a text is called for by the end of its name. A page (HTML, SVG) is none of them: it is a text."""
_WRITTEN: Final = {"application/pdf", "application/postscript", "application/rtf"}
"""Formats that may be text from end to end."""
_CONTROLS: Final = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")


def media_type_of(head: bytes, name: str) -> str:
    """The media type of a file.

    Args:
        head: its first bytes, HEAD_BYTES or all of them.
        name: tells kinds of text apart, and nothing else.
    """
    from filetype import guess_mime

    found: str | None = guess_mime(head) if head else None
    # Text first: many formats are known by two letters, and "BMW" begins as a bitmap does.
    if found not in _WRITTEN and is_text(head):
        return TEXTS.get(PurePosixPath(name).suffix.lower(), TEXT)
    return found or UNKNOWN


def is_text(head: bytes) -> bool:
    """Whether these are the first bytes of a text in UTF-8."""
    if _CONTROLS.search(head):
        return False
    try:
        # Not final: the last character may be cut.
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD_BYTES)
    except UnicodeDecodeError:
        return False
    return True
