"""Pictures from elsewhere: what is taken for one, and made a PNG. Pillow is imported when it is needed."""

import io
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES: Final = 32 * 1024 * 1024
"""The largest file that is looked at."""
MAX_PIXELS: Final = 36_000_000
"""Of the largest picture that is decoded, which takes 4 bytes each: 6000 by 6000."""
FORMATS: Final = ("PNG", "JPEG", "WEBP")
PNG: Final = "image/png"
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


class NoPicture(ValueError):
    """Why some bytes are no picture that can be used."""


@dataclass(frozen=True)
class Picture:
    """A PNG that has been decoded once, to its last pixel."""

    png: bytes
    width: int
    height: int


def checked(file: bytes) -> Picture:
    """A picture from the bytes of a PNG, JPEG or WebP file: what they are decides, whatever anybody calls them.

    Raises:
        NoPicture: they are none of these, broken, or too large.
    """
    from PIL import Image

    if len(file) > MAX_BYTES:
        raise NoPicture(f"it has {len(file)} bytes, more than {MAX_BYTES}")
    try:
        image = Image.open(io.BytesIO(file), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise NoPicture(f"it is {image.width} by {image.height}, more than {MAX_PIXELS} pixels")
        image.load()
        still = file.startswith(_SIGNATURE) and getattr(image, "n_frames", 1) == 1
        return Picture(file if still else _as_png(image), image.width, image.height)
    except NoPicture:
        raise
    # The one, or the other where warnings are errors: no pixel has been decoded yet.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise NoPicture(f"it has more than {MAX_PIXELS} pixels") from None
    # What Pillow raises of broken files; each of its readers has its own habits.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error, zlib.error) as error:
        raise NoPicture(f"it cannot be read as {', '.join(FORMATS)}: {error}") from None


def _as_png(image: "Image.Image") -> bytes:
    if image.mode not in ("RGB", "RGBA", "L", "LA"):
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)
    return file.getvalue()
