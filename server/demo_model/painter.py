"""Paints a picture of a prompt: a landscape whose light, ground and things come from its words.

The same words, seed and size give the same picture, pixel by pixel. Pillow is imported when it
is needed.
"""

import io
import math
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from server.demo_model import things

if TYPE_CHECKING:
    from PIL.Image import Image

Colour = tuple[int, int, int]
MOST_PIXELS: Final = 2048 * 2048
Box = tuple[float, float, float, float]
_LAYERS: Final = 5
_SMALLER: Final = 8
_FINER: Final = 1.5
"""So much larger it is painted, and then made smaller: soft edges."""


@dataclass(frozen=True)
class Light:
    """The colours of an hour: the sky above and at the horizon, the ground near by, and sun or moon."""

    top: Colour
    horizon: Colour
    ground: Colour
    disc: Colour
    stars: int = 0


LIGHTS: Final = {
    "dusk": Light((58, 46, 96), (244, 150, 96), (34, 28, 58), (255, 214, 150), 30),
    "dawn": Light((108, 142, 196), (252, 206, 180), (52, 62, 86), (255, 240, 214)),
    "noon": Light((84, 152, 214), (214, 234, 242), (46, 96, 74), (255, 250, 226)),
    "night": Light((10, 14, 38), (44, 62, 104), (8, 12, 26), (236, 238, 226), 220),
    "storm": Light((52, 60, 72), (148, 158, 162), (30, 38, 42), (196, 202, 202)),
    "autumn": Light((128, 144, 170), (246, 212, 150), (112, 52, 30), (255, 236, 190)),
    "winter": Light((150, 172, 200), (236, 240, 246), (104, 124, 150), (255, 255, 246)),
    "desert": Light((92, 148, 190), (250, 220, 168), (176, 96, 48), (255, 246, 214)),
}
_WORDS: Final = {
    "dusk": "dusk sunset evening twilight romantic warm red",
    "dawn": "dawn sunrise morning spring soft pink gentle",
    "noon": "noon day summer sunny green meadow garden",
    "night": "night midnight moon stars dark space galaxy dream",
    "storm": "storm rain cloud clouds grey fog mist thunder",
    "autumn": "autumn fall leaves harvest golden october",
    "winter": "winter snow ice frozen cold arctic christmas",
    "desert": "desert sand dune dunes dry canyon mars",
}
LIGHT_OF: Final = {word: name for name, words in _WORDS.items() for word in words.split()}


def paint(prompt: str, seed: int, size: tuple[int, int]) -> "Image":
    """A picture of ``size`` (width, height)."""
    from PIL import Image

    rng = random.Random(f"{seed}:{prompt}")
    words = re.findall(r"\w+", prompt.lower())
    light = LIGHTS[next((LIGHT_OF[word] for word in words if word in LIGHT_OF), rng.choice(sorted(LIGHTS)))]
    wide, high = (round(side * _FINER) for side in size)
    scene = things.Scene(_sky(light, (wide, high)), rng, light.ground, light.disc)
    horizon = high * rng.uniform(0.52, 0.66)
    _heavens(scene, light, horizon)
    _ground(scene, light, horizon, words)
    return _grain(scene.image.resize(size, Image.Resampling.LANCZOS), rng)


def _sky(light: Light, size: tuple[int, int]) -> "Image":
    from PIL import Image

    strip = Image.new("RGB", (1, 256))
    strip.putdata([_mix(light.top, light.horizon, (row / 255) ** 1.3 * 1.25) for row in range(256)])
    return strip.resize(size, Image.Resampling.BICUBIC)


def _heavens(scene: things.Scene, light: Light, horizon: float) -> None:
    """Stars, sun or moon with its glow, and a few clouds."""
    wide, high = scene.image.size
    for _ in range(light.stars):
        x, y = scene.rng.random() * wide, scene.rng.random() ** 1.5 * horizon
        scene.draw.ellipse(_around(x, y, scene.rng.uniform(0.4, 1.6) * high / 900), fill=(255, 255, 240))
    x, y = scene.rng.uniform(0.2, 0.8) * wide, horizon * scene.rng.uniform(0.3, 0.8)
    radius = min(wide, high) * scene.rng.uniform(0.045, 0.085)
    rings = [(_around(x, y, radius * part), strength) for part, strength in ((4.5, 50), (2.6, 90), (1.5, 150))]
    _soft(scene.image, light.disc, rings, high / 140)
    scene.draw.ellipse(_around(x, y, radius), fill=light.disc)
    puffs = [puff for _ in range(scene.rng.randrange(3, 7)) for puff in _cloud(scene, horizon)]
    _soft(scene.image, _mix(light.horizon, (255, 255, 255), 0.35), puffs, high / 420)


def _cloud(scene: things.Scene, horizon: float) -> Iterator[tuple[Box, int]]:
    wide, high = scene.image.size
    left, level = scene.rng.uniform(-0.1, 0.9) * wide, scene.rng.uniform(0.08, 0.9) * horizon
    for _ in range(9):
        x, y = left + scene.rng.uniform(0, 0.28) * wide, level + scene.rng.uniform(-0.012, 0.012) * high
        broad, tall = scene.rng.uniform(0.03, 0.1) * wide, scene.rng.uniform(0.006, 0.018) * high
        yield (x, y - tall, x + broad, y + tall), scene.rng.randrange(60, 130)


def _soft(image: "Image", colour: Colour, spots: Iterable[tuple[Box, int]], blur: float) -> None:
    """Ellipses of some strength (0 to 255) : painted small and drawn large, soft edges cost nothing."""
    from PIL import Image, ImageDraw, ImageFilter

    wide, high = image.size
    veil = Image.new("L", (max(1, wide // _SMALLER), max(1, high // _SMALLER)))
    draw = ImageDraw.Draw(veil)
    for box, strength in spots:
        draw.ellipse([side / _SMALLER for side in box], fill=strength)
    veil = veil.filter(ImageFilter.GaussianBlur(blur))
    image.paste(colour, (0, 0), veil.resize(image.size))


def _ground(scene: things.Scene, light: Light, horizon: float, words: list[str]) -> None:
    """Ridges from far to near, the nearer the darker; what the words name stands on them, or floats between."""
    wide, high = scene.image.size
    wet = not things.WET.isdisjoint(words)
    known = [things.THING_OF[word] for word in words if word in things.THING_OF]
    shown = list(dict.fromkeys(known)) or [scene.rng.choice(things.USUAL)]
    afloat = [name for name in shown if wet and name in things.AFLOAT]
    for layer in range(_LAYERS):
        near = layer / (_LAYERS - 1)
        base = horizon + (high - horizon) * near * 0.72
        height = high * (0.12, 0.09, 0.07, 0.035, 0.03)[layer]
        if wet and layer >= 2:
            base += (high - base) * 0.35
        heights = _ridge(scene.rng, base, height, wide)
        if wet and layer == 2:
            level = horizon + (high - horizon) * 0.1
            things.water(scene, level, _mix(light.top, light.horizon, 0.55), light)
            _place(scene, afloat, [level + (high - level) * 0.4] * wide)
            continue
        if layer == _LAYERS - 2:
            _place(scene, [name for name in shown if name not in afloat], heights)
        colour = _mix(light.horizon, light.ground, 0.3 + 0.7 * near)
        scene.draw.polygon([(0, high), *enumerate(heights), (wide, high)], fill=colour)


def _place(scene: things.Scene, names: list[str], heights: list[float]) -> None:
    """Each in a part of the width of its own; more of those that come in numbers."""
    wide, high = scene.image.size
    for number, name in enumerate(names):
        left, right = (0.1 + 0.8 * part / len(names) for part in (number, number + 1))
        alone = (left + right) / 2 + scene.rng.uniform(-0.06, 0.06)
        for _ in range(things.NUMBERS.get(name, 1)):
            x = scene.rng.uniform(left, right) if name in things.NUMBERS else alone
            at = min(len(heights) - 1, round(x * wide))
            size = min(wide, high) * scene.rng.uniform(0.85, 1.1)
            things.DRAWN[name](scene, at, heights[at] - size * 0.012, size)


def _ridge(rng: random.Random, base: float, height: float, wide: int) -> list[float]:
    """The upper edge of a ridge for each column: waves of several lengths."""
    waves = [(rng.uniform(0.6, 1.4) * 2**octave, rng.random() * math.tau, 0.55**octave) for octave in range(6)]
    return [
        base - height * sum(part * math.sin(math.tau * often * x / wide + phase) for often, phase, part in waves)
        for x in range(wide)
    ]


def _grain(image: "Image", rng: random.Random) -> "Image":
    """A little noise, as of paper: a smooth gradient would show its steps."""
    from PIL import Image, ImageChops

    wide, high = image.size
    noise = Image.frombytes("L", (wide, high), rng.randbytes(wide * high)).point([value // 26 for value in range(256)])
    return ImageChops.subtract(image, Image.merge("RGB", (noise, noise, noise)))


def _around(x: float, y: float, radius: float) -> Box:
    return x - radius, y - radius, x + radius, y + radius


def _mix(one: Colour, other: Colour, part: float) -> Colour:
    part = min(1.0, max(0.0, part))
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(one, other, strict=True))
    return red, green, blue


def coarse(image: "Image", part: float) -> "Image":
    """The same picture with only so much of its detail, 0 to 1: what a model shows before it is done."""
    from PIL import Image

    wide, high = (max(4, round(side * part**2 / 2)) for side in image.size)
    return image.resize((wide, high), Image.Resampling.BOX).resize(image.size, Image.Resampling.BICUBIC)


def png(image: "Image") -> bytes:
    """The bytes of its file. Quickly made rather than small."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)
    return file.getvalue()
