"""`python -m tasks.documents.pdf FILE` prints the text of a PDF, page by page, as JSON lines: the child of `reading`.

It is a process of its own because a PDF is a program of a kind: a few hundred bytes may unpack to gigabytes, or point
at each other in a circle. Here memory and time are bounded, and when it dies nobody else does.

A line is ``{"pages": N}``, then ``{"text": …}`` for each page, or ``{"error": CODE, "message": …}`` at the end.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from progress.process import die_with_parent

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

MEMORY_BYTES: Final = 1024 * 1024 * 1024
CPU_S: Final = 600
MAX_PAGES: Final = 5_000
_BROKEN: Final = (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, OSError, ArithmeticError)
"""What pypdf raises, beside its own errors, for what it did not foresee in a broken file."""


class UnreadableError(Exception):
    """There is no text to be had; ``code`` and the message say why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def main(path: str) -> None:
    """Prints the lines for one file."""
    _bound()
    try:
        for line in lines(Path(path)):
            _tell(line)
    except UnreadableError as error:
        _tell({"error": error.code, "message": str(error)})
    except MemoryError:
        _tell(TOO_LARGE)


def _tell(line: object) -> None:
    """To the parent, which waits for it."""
    sys.stdout.write(f"{json.dumps(line)}\n")
    sys.stdout.flush()


TOO_LARGE: Final = {"error": "too_complex", "message": f"reading it takes more than {MEMORY_BYTES >> 20} MiB of memory"}


def _bound() -> None:
    die_with_parent()
    with suppress(ImportError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines for a file. Raises UnreadableError."""
    from pypdf.errors import DependencyError, LimitReachedError, PyPdfError

    try:
        reader = _opened(path)
        count = len(reader.pages)
        if count == 0:
            raise UnreadableError("empty_document", "this PDF has no pages")
        if count > MAX_PAGES:
            raise UnreadableError("too_long", f"this PDF has {count:,} pages; {MAX_PAGES:,} are the most")
        yield {"pages": count}
        yield from _texts(reader)
    except LimitReachedError as error:
        raise UnreadableError("too_complex", f"this PDF unpacks to more than is safe: {error}") from None
    except DependencyError:
        raise UnreadableError("encrypted", "this PDF is encrypted in a way that cannot be read here") from None
    except (PyPdfError, *_BROKEN) as error:
        raise UnreadableError("bad_document", f"this PDF is broken: {error}"[:500]) from None


def _opened(path: Path) -> "PdfReader":
    from pypdf import PasswordType, PdfReader

    reader = PdfReader(path)
    # Many are encrypted with no password at all, only to forbid printing.
    if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
        raise UnreadableError("encrypted", "this PDF needs a password: upload it without one")
    return reader


def _texts(reader: "PdfReader") -> Iterator[dict[str, Any]]:
    """Each page's text, then an error where all of them together have none."""
    found = scanned = False
    with_ocr = can_read_images()
    for page in reader.pages:
        text = _text_of(page)
        if not text.strip() and _has_image(page):
            scanned = True
            text = _read_image(page) if with_ocr else ""
        found = found or bool(text.strip())
        yield {"text": text}
    if not found and scanned:
        raise UnreadableError("needs_ocr", NO_TEXT_FOUND if with_ocr else NEEDS_OCR)
    if not found:
        raise UnreadableError("empty_document", "the pages of this PDF have neither text nor images")


NEEDS_OCR: Final = (
    "this PDF is scanned: its pages are images without text, which needs OCR; install jobcast with the extra ocr "
    "(pip install 'jobcast[ocr]') and the program tesseract where the workers are"
)
NO_TEXT_FOUND: Final = "this PDF is scanned, and OCR has found no text in its pages"


def _text_of(page: "PageObject") -> str:
    """The text that a page has; none where that page alone is broken."""
    from pypdf.errors import LimitReachedError, PyPdfError

    try:
        return page.extract_text()
    except LimitReachedError:
        raise
    except (PyPdfError, *_BROKEN):
        return ""


def _has_image(page: "PageObject") -> bool:
    """Whether a page shows an image. Raises LimitReachedError, which ``extract_text`` keeps to itself."""
    from pypdf.errors import LimitReachedError, PyPdfError

    try:
        return len(page.images) > 0
    except LimitReachedError:
        raise
    except (PyPdfError, *_BROKEN):
        return False


def can_read_images() -> bool:
    """Whether OCR is installed, with its program."""
    return find_spec("pytesseract") is not None and shutil.which("tesseract") is not None


def _read_image(page: "PageObject") -> str:
    """What OCR makes of the largest image of a page, which of a scan is the page."""
    import pytesseract
    from PIL.Image import DecompressionBombError
    from pypdf.errors import PyPdfError

    try:
        images = [image.image for image in page.images if image.image is not None]
        if not images:
            return ""
        largest = max(images, key=lambda image: image.width * image.height)
        return str(pytesseract.image_to_string(largest))
    except (PyPdfError, DecompressionBombError, pytesseract.TesseractError, *_BROKEN):
        return ""


if __name__ == "__main__":
    main(sys.argv[1])
