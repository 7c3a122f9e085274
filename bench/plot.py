"""Bars with their spread, as SVG: legible on light and on dark ground, without a library."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH, LABEL, VALUE = 760, 170, 190
ROW, HEAD, GAP = 20, 30, 14
STYLE: Final = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.bar { fill: #8c959f } .ours { fill: #0969da } .spread { stroke: #24292f; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .bar { fill: #6e7681 } .ours { fill: #4493f8 } .spread { stroke: #e6edf3 }
}
"""


@dataclass(frozen=True)
class Bar:
    """A median with its spread."""

    label: str
    low: float
    middle: float
    high: float
    digits: int = 1
    is_ours: bool = False


@dataclass(frozen=True)
class Panel:
    """Bars of one scale, which begins at 0."""

    title: str
    bars: Sequence[Bar]


def svg(panels: Sequence[Panel]) -> str:
    """All panels below one another."""
    height = sum(HEAD + ROW * len(panel.bars) + GAP for panel in panels)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f"<style>{STYLE}</style>",
    ]
    top = 0
    for panel in panels:
        lines += _panel(panel, top)
        top += HEAD + ROW * len(panel.bars) + GAP
    return "\n".join([*lines, "</svg>"]) + "\n"


def _panel(panel: Panel, top: int) -> list[str]:
    most = max((bar.high for bar in panel.bars), default=0.0) or 1.0
    lines = [f'<text class="title" x="0" y="{top + 18}">{escape(panel.title)}</text>']
    for at, bar in enumerate(panel.bars):
        lines += _bar(bar, most, top + HEAD + ROW * at)
    return lines


def _bar(bar: Bar, most: float, top: int) -> list[str]:
    def x(value: float) -> float:
        return round(LABEL + (WIDTH - LABEL - VALUE) * value / most, 1)

    middle = top + ROW / 2
    kind = "ours" if bar.is_ours else "bar"
    low, value, high = (f"{number:,.{bar.digits}f}" for number in (bar.low, bar.middle, bar.high))
    text = value if low == high else f"{value} ({low}–{high})"
    size = f'width="{max(1.0, x(bar.middle) - LABEL):.1f}" height="{ROW - 6}"'
    return [
        f'<text x="{LABEL - 8}" y="{middle + 4}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect class="{kind}" x="{LABEL}" y="{top + 3}" {size}/>',
        f'<path class="spread" d="M{x(bar.low)} {middle}H{x(bar.high)}"/>',
        f'<text x="{x(bar.high) + 8}" y="{middle + 4}">{text}</text>',
    ]
