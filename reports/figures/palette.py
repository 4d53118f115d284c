"""What tells series apart: colour, hatch, marker and dash, so that colour alone never has to.

The fills are the eight-colour set of Okabe and Ito ("Color Universal Design", 2008), told apart with every
common kind of colour blindness; its black is a grey here, since pages may be dark. Each fill has a stroke of
its hue whose contrast is at least 3 : 1 on white and on the dark page (WCAG 2.2, 1.4.11).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from reports.figures.svg import Attributes, el, line, number


@dataclass(frozen=True)
class Style:
    """How a series is drawn. Hatches and markers are names of this module; `dash` is SVG's, "" is solid."""

    fill: str
    stroke: str
    hatch: str
    marker: str
    dash: str


COLOURS = (
    ("#0072b2", "#0072b2"),  # blue
    ("#e69f00", "#ad7700"),  # orange
    ("#009e73", "#008c66"),  # bluish green
    ("#cc79a7", "#b8558c"),  # reddish purple
    ("#56b4e9", "#2d87bd"),  # sky blue
    ("#d55e00", "#d55e00"),  # vermillion
    ("#f0e442", "#8a8200"),  # yellow
    ("#9a9a9a", "#767676"),  # grey, for black
)
HATCHES = ("solid", "rising", "dots", "falling", "level", "cross", "upright", "grid")
MARKERS = ("circle", "square", "triangle", "diamond", "wedge", "plus", "pentagon", "bar")
DASHES = ("", "7 3", "2 2.5", "9 3 2 3", "4 2", "1 3", "12 3", "6 2 1 2 1 2")

GOOD, BAD, OPEN = "#008c66", "#d55e00", "#767676"
"""Strokes for a pass, a regression, and what the data cannot tell."""


def style(i: int) -> Style:
    """The style of series `i`. All four features differ up to 8; pairs of colour and hatch differ up to 64."""
    n, turn = len(COLOURS), i // len(COLOURS)
    fill, stroke = COLOURS[i % n]
    k = (i + turn) % n
    return Style(fill, stroke, HATCHES[k], MARKERS[k], DASHES[k])


def pattern(ident: str, look: Style) -> str:
    """The hatch of a style as a pattern element; "" for a solid one."""
    size = 7.0
    marks: Attributes = {"stroke": look.stroke, "stroke_width": 1.6}
    rising = "M-1,8 L8,-1 M-1,1 L1,-1 M6,8 L8,6"
    falling = "M-1,-1 L8,8 M6,-1 L8,1 M-1,6 L1,8"
    level, upright = line(0, 3.5, size, 3.5, **marks), line(3.5, 0, 3.5, size, **marks)
    drawn = {
        "solid": "",
        "rising": el("path", d=rising, fill="none", **marks),
        "falling": el("path", d=falling, fill="none", **marks),
        "cross": el("path", d=f"{rising} {falling}", fill="none", **marks),
        "dots": el("circle", cx=3.5, cy=3.5, r=1.5, fill=look.stroke),
        "level": level,
        "upright": upright,
        "grid": level + upright,
    }[look.hatch]
    return (
        el("pattern", drawn, id=ident, width=size, height=size, patternUnits="userSpaceOnUse")
        if drawn
        else ""
    )


def painted(
    ident: str, look: Style, x: float, y: float, wide: float, high: float, **attributes: str | float | None
) -> str:
    """A rectangle in a style: its colour, pale under a hatch, and the hatch of `pattern(ident, look)` over it.

    The colour is no part of the pattern: tiles of a filled pattern show their seams.
    """
    box: Attributes = {"x": x, "y": y, "width": wide, "height": high}
    if look.hatch == "solid":
        return el("rect", fill=look.fill, **box, **attributes)
    ground = el("rect", fill=look.fill, fill_opacity=0.34, **box)
    return ground + el("rect", fill=f"url(#{ident})", **box, **attributes)


def marker(name: str, x: float, y: float, size: float, **attributes: str | float | None) -> str:
    """A marker about `size` wide around a point."""
    r = size / 2
    if name == "circle":
        return el("circle", cx=x, cy=y, r=r, **attributes)
    shapes: dict[str, list[tuple[float, float]]] = {
        "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
        "triangle": [(0, -1.1), (1.05, 0.8), (-1.05, 0.8)],
        "wedge": [(0, 1.1), (1.05, -0.8), (-1.05, -0.8)],
        "diamond": [(0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)],
        "plus": [(-.38, -1.1), (.38, -1.1), (.38, -.38), (1.1, -.38), (1.1, .38), (.38, .38),
                 (.38, 1.1), (-.38, 1.1), (-.38, .38), (-1.1, .38), (-1.1, -.38), (-.38, -.38)],
        "pentagon": [(1.15 * math.sin(k * 0.4 * math.pi), -1.15 * math.cos(k * 0.4 * math.pi)) for k in range(5)],
        "bar": [(-1.15, -0.45), (1.15, -0.45), (1.15, 0.45), (-1.15, 0.45)],
    }  # fmt: skip
    points = " ".join(f"{number(x + r * dx)},{number(y + r * dy)}" for dx, dy in shapes[name])
    return el("polygon", points=points, **attributes)
