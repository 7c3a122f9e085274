"""PDF files for tests: long, empty, encrypted, scanned, hostile."""

import io
import zlib

from PIL import Image, ImageDraw
from pypdf import PdfReader, PdfWriter
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas


def written(pages: int = 1, text: str = "The river rises in the hills. Page {}.") -> bytes:
    """A PDF of pages with a line of text each."""
    file = io.BytesIO()
    canvas = Canvas(file)
    for number in range(1, pages + 1):
        canvas.drawString(72, 720, text.format(number))
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def empty() -> bytes:
    """A PDF without pages."""
    file = io.BytesIO()
    PdfWriter().write(file)
    return file.getvalue()


def encrypted(password: str, algorithm: str = "AES-256") -> bytes:
    """A PDF that opens with a password; an empty one only forbids changes."""
    writer = PdfWriter(PdfReader(io.BytesIO(written())))
    writer.encrypt(password, owner_password="owner", algorithm=algorithm)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def scanned(text: str = "") -> bytes:
    """A PDF whose one page is an image."""
    image = Image.new("L", (800, 200), 255)
    ImageDraw.Draw(image).text((20, 60), text, fill=0, font_size=60)
    file = io.BytesIO()
    canvas = Canvas(file)
    canvas.drawImage(ImageReader(image), 72, 500, 400, 100)
    canvas.showPage()
    canvas.save()
    return file.getvalue()


def raw(page: bytes, stream: bytes = b"", kids: bytes = b"[3 0 R]", count: int = 1) -> bytes:
    """A PDF written by hand: the page's dictionary, its stream of content (4 0 R), and the tree of pages."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids %b /Count %d >>" % (kids, count),
        page,
        b"<< /Length %d /Filter %b >>\nstream\n%b\nendstream" % (len(stream), b"[/FlateDecode /FlateDecode]", stream),
    ]
    file = io.BytesIO(b"")
    file.write(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(file.tell())
        file.write(b"%d 0 obj\n%b\nendobj\n" % (number, body))
    table = file.tell()
    file.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    file.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    file.write(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table))
    return file.getvalue()


def bomb(size: int = 256 << 20) -> bytes:
    """A PDF of a kilobyte or so whose page unpacks to a quarter of a gigabyte, by way of two compressions."""
    once = zlib.compressobj(9)
    twice = zlib.compressobj(9)
    blank = b" " * (1 << 20)
    packed = b"".join(twice.compress(once.compress(blank)) for _ in range(size >> 20))
    packed += twice.compress(once.flush()) + twice.flush()
    return raw(b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /MediaBox [0 0 9 9] >>", packed)


def endless() -> bytes:
    """A PDF whose tree of pages has itself as a branch."""
    return raw(b"<< /Type /Page /Parent 2 0 R >>", kids=b"[2 0 R 3 0 R]", count=1_000_000_000)
