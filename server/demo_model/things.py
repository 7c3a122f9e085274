"""The things that the demo model's pictures can show, each a silhouette that stands on the ground at (x, y)."""

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from PIL.Image import Image

Colour = tuple[int, int, int]


class Scene:
    """A picture under way: what is painted on, with which chance, and the colours of things and of light."""

    def __init__(self, image: "Image", rng: random.Random, dark: Colour, bright: Colour) -> None:
        from PIL import ImageDraw

        self.image = image
        self.draw = ImageDraw.Draw(image, "RGBA")
        self.rng = rng
        red, green, blue = (round(part * 0.8) for part in dark)
        self.dark: Colour = (red, green, blue)
        self.bright = bright

    def shape(self, x: float, y: float, unit: float, *corners: tuple[float, float], fill: Any = None) -> None:
        """A polygon of corners in units right of x and above y."""
        self.draw.polygon([(x + a * unit, y - b * unit) for a, b in corners], fill=fill or self.dark)

    def box(self, x: float, y: float, sides: tuple[float, float, float, float], fill: Any = None) -> None:
        """A rectangle: left and right of x, below and above y."""
        left, right, low, high = sides
        self.draw.rectangle((x + left, y - high, x + right, y - low), fill=fill or self.dark)


def lighthouse(scene: Scene, x: float, y: float, size: float) -> None:
    """A striped tower with its beam."""
    unit = size * 0.3
    beam = (*scene.bright, 70)
    top = 0.93
    scene.shape(x, y, unit, (0, top), (-4, top + 0.62), (-4, top + 0.12), fill=beam)
    scene.shape(x, y, unit, (0, top), (4, top + 0.1), (4, top - 0.4), fill=beam)
    pale = tuple(min(255, part + 150) for part in scene.dark)
    for stripe in range(5):
        low, high = stripe * 0.168, (stripe + 1) * 0.168
        left, right = 0.13 - low * 0.065, 0.13 - high * 0.065
        fill = scene.dark if stripe % 2 else pale
        scene.shape(x, y, unit, (-left, low), (-right, high), (right, high), (left, low), fill=fill)
    scene.shape(x, y, unit, (-0.11, 0.84), (-0.11, 0.87), (0.11, 0.87), (0.11, 0.84))
    scene.shape(x, y, unit, (-0.06, 0.87), (-0.06, 0.98), (0.06, 0.98), (0.06, 0.87), fill=(*scene.bright, 255))
    scene.shape(x, y, unit, (-0.09, 0.98), (0, 1.08), (0.09, 0.98))


def fir(scene: Scene, x: float, y: float, size: float) -> None:
    """A fir of four tiers."""
    unit = size * scene.rng.uniform(0.09, 0.17)
    scene.shape(x, y, unit, (-0.04, -0.1), (-0.04, 0.2), (0.04, 0.2), (0.04, -0.1))
    for tier in range(4):
        low, half = 0.12 + tier * 0.2, 0.3 - tier * 0.06
        scene.shape(x, y, unit, (-half, low), (0, low + 0.36), (half, low))


def tree(scene: Scene, x: float, y: float, size: float) -> None:
    """A round tree."""
    unit = size * scene.rng.uniform(0.1, 0.16)
    scene.shape(x, y, unit, (-0.06, -0.1), (-0.03, 0.6), (0.03, 0.6), (0.06, -0.1))
    for _ in range(9):
        a, b = scene.rng.gauss(0, 0.17), scene.rng.uniform(0.5, 0.95)
        r = scene.rng.uniform(0.12, 0.22) * unit
        scene.draw.ellipse((x + a * unit - r, y - b * unit - r, x + a * unit + r, y - b * unit + r), fill=scene.dark)


def house(scene: Scene, x: float, y: float, size: float) -> None:
    """A house with lit windows and a chimney."""
    unit = size * 0.12
    scene.shape(x, y, unit, (-0.5, -0.2), (-0.5, 0.5), (0, 0.92), (0.5, 0.5), (0.5, -0.2))
    scene.shape(x, y, unit, (0.22, 0.5), (0.22, 1.0), (0.34, 1.0), (0.34, 0.5))
    for left in (-0.32, 0.12):
        scene.shape(
            *(x, y, unit), (left, 0.14), (left, 0.36), (left + 0.2, 0.36), (left + 0.2, 0.14), fill=(*scene.bright, 255)
        )


def city(scene: Scene, x: float, y: float, size: float) -> None:
    """A skyline with lit windows."""
    for _ in range(13):
        at, wide = x + scene.rng.uniform(-0.32, 0.32) * size, size * scene.rng.uniform(0.03, 0.06)
        high = size * scene.rng.uniform(0.1, 0.36)
        scene.box(at, y, (0, wide, -size * 0.1, high))
        cell = size * 0.011
        for row in range(int(high / cell / 1.6)):
            for column in range(int(wide / cell / 1.6)):
                if scene.rng.random() < 0.28:
                    left, low = cell * (0.5 + 1.6 * column), cell * (0.6 + 1.6 * row)
                    scene.box(at, y, (left, left + cell * 0.8, low, low + cell * 0.9), (*scene.bright, 220))


def castle(scene: Scene, x: float, y: float, size: float) -> None:
    """Towers with pointed roofs and a wall between."""
    unit = size * 0.26
    scene.shape(x, y, unit, (-0.5, -1.1), (-0.5, 0.34), (0.5, 0.34), (0.5, -1.1))
    for at, wide, high in ((-0.5, 0.1, 0.55), (0.5, 0.1, 0.5), (-0.14, 0.09, 0.72), (0.16, 0.12, 0.85)):
        scene.shape(x + at * unit, y, unit, (-wide, -1.1), (-wide, high), (wide, high), (wide, -1.1))
        scene.shape(x + at * unit, y, unit, (-wide * 1.35, high), (0, high + wide * 3), (wide * 1.35, high))
        lit = (*scene.bright, 230)
        scene.shape(
            x + at * unit, y - (high - 0.12) * unit, unit, (-0.02, 0), (-0.02, 0.06), (0.02, 0.06), (0.02, 0), fill=lit
        )


def boat(scene: Scene, x: float, y: float, size: float) -> None:
    """A sailing boat."""
    unit = size * 0.13
    scene.shape(x, y, unit, (-0.5, 0.14), (-0.34, -0.06), (0.34, -0.06), (0.55, 0.16))
    scene.shape(x, y, unit, (0.02, 0.14), (0.02, 1.15), (0.05, 1.15), (0.05, 0.14))
    pale = tuple(min(255, part + 170) for part in scene.dark)
    scene.shape(x, y, unit, (0.08, 0.24), (0.08, 1.1), (0.52, 0.24), fill=pale)
    scene.shape(x, y, unit, (-0.02, 0.24), (-0.02, 1.0), (-0.42, 0.24), fill=pale)


def birds(scene: Scene, x: float, _y: float, size: float) -> None:
    """A few birds in the air."""
    high = scene.image.size[1] * scene.rng.uniform(0.15, 0.4)
    half = size * scene.rng.uniform(0.008, 0.02)
    wide = max(1, round(size * 0.003))
    for side in (-1, 1):
        box = (x + (side - 1) * half, high - half * 0.6, x + (side + 1) * half, high + half * 0.9)
        scene.draw.arc(box, 200 if side < 0 else 210, 330 if side < 0 else 340, fill=scene.dark, width=wide)


def windmill(scene: Scene, x: float, y: float, size: float) -> None:
    """A windmill."""
    unit = size * 0.24
    scene.shape(x, y, unit, (-0.17, -0.1), (-0.1, 0.62), (0, 0.74), (0.1, 0.62), (0.17, -0.1))
    turned = scene.rng.random() * math.tau
    for arm in range(4):
        angle = turned + arm * math.tau / 4
        across = angle + 0.24
        tip, side = (math.cos(angle) * 0.52, math.sin(angle) * 0.52), (math.cos(across) * 0.5, math.sin(across) * 0.5)
        hub = (0.0, 0.62)
        scene.shape(x, y, unit, hub, (tip[0], 0.62 + tip[1]), (side[0], 0.62 + side[1]))


def mountain(scene: Scene, x: float, y: float, size: float) -> None:
    """A peak with snow on it."""
    unit = size * 0.42
    grey = tuple(min(255, part + 40) for part in scene.dark)
    scene.shape(x, y, unit, (-1.1, -0.3), (-0.3, 0.52), (0, 0.9), (0.24, 0.6), (1.1, -0.3), fill=grey)
    snow = (244, 246, 250)
    scene.shape(x, y, unit, (-0.21, 0.63), (0, 0.9), (0.17, 0.69), (0.08, 0.62), (0, 0.7), (-0.09, 0.6), fill=snow)


def water(scene: Scene, y: float, colour: Colour, light: Any) -> None:
    """A wide water from y down, with the light on it."""
    wide, high = scene.image.size
    scene.draw.rectangle((0, y, wide, high), fill=colour)
    for _ in range(160):
        down = scene.rng.random() ** 1.4
        at, level = scene.rng.random() * wide, y + down * (high - y)
        half = wide * (0.01 + 0.05 * down) * scene.rng.random()
        thick = max(1, round(high * 0.004 * (0.3 + down)))
        shine = light.horizon if scene.rng.random() < 0.6 else light.disc
        scene.draw.line((at - half, level, at + half, level), fill=(*shine, 70), width=thick)


DRAWN: Final[dict[str, Callable[[Scene, float, float, float], None]]] = {
    thing.__name__: thing for thing in (lighthouse, fir, tree, house, city, castle, boat, birds, windmill, mountain)
}
NUMBERS: Final = {"fir": 24, "tree": 9, "birds": 11, "house": 3, "boat": 2}
"""How many of those that don't come alone."""
AFLOAT: Final = frozenset({"boat"})
USUAL: Final = ("fir", "tree", "house", "birds", "mountain", "windmill")
"""What is shown where the words name nothing that is known."""
_WORDS: Final = {
    "lighthouse": "lighthouse beacon tower",
    "fir": "forest fir firs pine pines wood woods fox wolf bear deer",
    "tree": "tree trees orchard park apple oak garden",
    "house": "house houses home village cottage farm cat dog",
    "city": "city town skyline street paris london tokyo york robot car future",
    "castle": "castle palace king queen dragon knight fairy",
    "boat": "boat boats ship ships sail sailing yacht",
    "birds": "bird birds gull gulls crow crows eagle",
    "windmill": "windmill mill wind holland",
    "mountain": "mountain mountains peak alps hill hills volcano",
}
THING_OF: Final = {word: name for name, words in _WORDS.items() for word in words.split()}
_WET: Final = "sea ocean lake river harbour harbor beach island coast shore water waves fjord bay lighthouse"
WET: Final = frozenset(f"{_WET} {_WORDS['boat']}".split())
"""Words that ask for water."""
