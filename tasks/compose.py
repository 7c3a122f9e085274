"""Working on pictures: which one shows most, and a logo on it. Pillow is imported when it is needed."""

import io
from typing import Final

from tasks.pictures import PNG, NoPicture, checked

__all__ = ["PNG", "NoPicture", "detail_of", "with_logo"]

LOGO_WIDTH: Final = 5
"""A logo takes this part of the picture's width: one fifth."""
MARGIN: Final = 32
"""And keeps this part of it from its edges."""
LOOKED_AT: Final = (256, 256)


def detail_of(png: bytes) -> float:
    """How much a picture shows: the entropy of its greys and of its edges, in bits a pixel; 0 for a plain one."""
    from PIL import Image, ImageFilter

    image = Image.open(io.BytesIO(png)).convert("L")
    image.thumbnail(LOOKED_AT)
    edges = image.filter(ImageFilter.FIND_EDGES)
    # The filter leaves the outermost pixels as they are.
    inside = edges.crop((1, 1, max(2, edges.width - 1), max(2, edges.height - 1)))
    return image.entropy() + inside.entropy()


def with_logo(png: bytes, logo: bytes) -> bytes:
    """A picture with a logo in its lower right corner, as PNG.

    Args:
        logo: a PNG, JPEG or WebP file; what is transparent in it stays so.

    Raises:
        NoPicture: the logo is none.
    """
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGBA")
    mark = Image.open(io.BytesIO(checked(logo).png)).convert("RGBA")
    width = max(1, image.width // LOGO_WIDTH)
    height = max(1, round(mark.height * width / mark.width))
    if height > image.height // 2:  # a tall one
        width, height = max(1, round(width * (image.height // 2) / height)), max(1, image.height // 2)
    mark = mark.resize((width, height), Image.Resampling.LANCZOS)
    margin = image.width // MARGIN
    image.alpha_composite(mark, (image.width - width - margin, max(0, image.height - height - margin)))
    file = io.BytesIO()
    image.convert("RGB").save(file, "PNG", compress_level=3)
    return file.getvalue()
