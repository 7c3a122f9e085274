"""A document's pages as text. A PDF is read by a child process, whose memory and time are bounded."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from tasks.documents.pdf import MEMORY_BYTES
from tasks.documents.plain import PDF_WITHIN, decode, is_pdf
from tasks.errors import TaskError
from tasks.progress import InputFile

LONGEST_S: Final = 900.0
"""All of a PDF takes no longer than this."""
MAX_PAGE_CHARS: Final = 4_000_000
"""Of one page's line. A page of a book has 3,000."""
MAX_CHARS: Final = 1_000_000
"""Of a whole document: some 400 pages of small print."""
Told = Callable[[int, int], None]


def read(file: InputFile, told: Told, on_start: Callable[[Callable[[], None]], None]) -> list[str]:
    """The pages of a PDF, or any other text as one page.

    Args:
        told: is given how many pages are read, of how many.
        on_start: is given a function that ends the reading from any thread.

    Raises:
        TaskError: there is no text to be had: ``empty_document``, ``encrypted``, ``needs_ocr``, ``too_long``,
            ``too_complex``, ``bad_document``. None of them is worth another attempt.
    """
    with file.path.open("rb") as opened:
        head = opened.read(PDF_WITHIN)
    pages = _pdf(file.path, told, on_start) if is_pdf(head) else [_plain(file)]
    told(len(pages), len(pages))
    return pages


def _plain(file: InputFile) -> str:
    # UTF-32 takes four bytes a character.
    if file.size > 4 * MAX_CHARS + 4:
        raise too_long()
    text = decode(file.path.read_bytes())
    if text is None:
        raise TaskError(
            "bad_document", f"{file.name}: this is {file.media_type} and no text; give PDF, Markdown or plain text"
        )
    if not text.strip():
        raise TaskError("empty_document", f"{file.name}: there is nothing in it")
    if len(text) > MAX_CHARS:
        raise too_long()
    return text


def too_long() -> TaskError:
    """What is said of a document that is."""
    return TaskError("too_long", f"the document has more than {MAX_CHARS:,} characters; summarise it in parts")


def _pdf(path: Path, told: Told, on_start: Callable[[Callable[[], None]], None]) -> list[str]:
    total, pages, chars = 0, [], 0
    with _child(path, on_start) as output:
        for line in _lines(output):
            if "error" in line:
                raise TaskError(line["error"], line["message"])
            total = line.get("pages", total)
            if "text" in line:
                pages.append(line["text"])
                chars += len(line["text"])
                if chars > MAX_CHARS:
                    raise too_long()
                told(len(pages), total)
    if not total or len(pages) < total:
        raise TaskError(
            "too_complex",
            f"this PDF cannot be read within {MEMORY_BYTES >> 20} MiB of memory and {LONGEST_S:g} s "
            f"(page {len(pages) + 1} of {total or 'an unknown number'})",
        )
    return pages


def _lines(output: IO[bytes]) -> Iterator[dict[str, Any]]:
    while line := output.readline(6 * MAX_PAGE_CHARS):
        if not line.endswith(b"\n"):
            # Cut off: by its death, or since no page is so long.
            return
        yield json.loads(line)


@contextmanager
def _child(path: Path, on_start: Callable[[Callable[[], None]], None]) -> Iterator[IO[bytes]]:
    """The output of the process that reads; it ends with the context, at the latest."""
    # What this process can import its child can, too, in whatever way it was started, and nothing else (-P).
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "tasks.documents.pdf", str(path)]
    child = subprocess.Popen(  # noqa: S603  # our own module; the path is one of ours, too
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
    )
    alarm = threading.Timer(LONGEST_S, child.kill)
    alarm.daemon = True
    alarm.start()
    assert child.stdout is not None  # noqa: S101  # a pipe was asked for
    try:
        on_start(child.kill)
        with child.stdout as output:
            yield output
    finally:
        alarm.cancel()
        child.kill()
        child.wait()
