"""Small pieces that pictures are made of: elements, escaped text, numbers, widths of text.

Everything is a pure function that returns markup; the same call gives the same bytes. No script, no style
element and no style attribute (the pages' Content-Security-Policy forbids them), no outside reference.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reports.safe import visible

Attributes = dict[str, str | float | None]
Anchor = Literal["start", "middle", "end"]
FONTS = "system-ui, Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', 'Noto Sans', 'Noto Sans CJK SC', sans-serif"
ELLIPSIS = "\u2026"

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}
_NARROW, _WIDE = frozenset("iIljtfr.,:;'|!()[]{}/\\ -"), frozenset("mwMW@%\u2014")


@dataclass(frozen=True)
class Theme:
    """Colours that depend on where a picture stands.

    Attributes:
        ink: of text and axes. `soft` and `line` are its opacities for lesser text and for grid lines.
        paper: the background; "" paints none, and the page's own shows.
        fonts: families; "" takes the page's own.
    """

    ink: str
    paper: str
    fonts: str
    soft: float = 0.72
    line: float = 0.18


INLINE = Theme("currentColor", "", "")
"""In a page: text in the page's colour, light or dark, and in its font."""

PAPER = Theme("#1a1a1a", "#ffffff", FONTS)
"""A file of its own: dark on white."""


def escape(text: str) -> str:
    """Text fit for an element or an attribute: one line, control characters as visible marks."""
    shown = " ".join(visible(text).split())
    return "".join(_ENTITIES.get(c, c) for c in shown)


def number(value: float, decimals: int = 2) -> str:
    """A coordinate: at most `decimals` places, no trailing zeros, no minus zero.

    Raises:
        ValueError: not a finite number; nothing may stand at such a place.
    """
    if not math.isfinite(value):
        raise ValueError(f"no place for {value!r} in a picture")
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def el(tag: str, *children: str, **attributes: str | float | None) -> str:
    """An element. Children are markup; attributes are escaped here, and left out where None.

    Underscores in names become hyphens (`stroke_width`); a trailing one is dropped (`class_`). Inner elements are
    named by `data_part`, not by a class: a page's own style for a class would reach into the picture.
    """
    parts = [tag]
    for name, value in attributes.items():
        if value is not None:
            shown = escape(value) if isinstance(value, str) else number(value)
            parts.append(f'{name.rstrip("_").replace("_", "-")}="{shown}"')
    head = " ".join(parts)
    return f"<{head}>{''.join(children)}</{tag}>" if children else f"<{head}/>"


def line(x1: float, y1: float, x2: float, y2: float, **attributes: str | float | None) -> str:
    """A straight line."""
    return el("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def text(
    x: float,
    y: float,
    content: str,
    *,
    size: float = 12,
    anchor: Anchor = "start",
    room: float | None = None,
    **attributes: str | float | None,
) -> str:
    """A line of text with its base line at `y`. With `room`, cut to that width; the whole stays as its title."""
    shown = escape(content if room is None else cut(content, room, size))
    tip = (el("title", escape(content)),) if shown != escape(content) else ()
    where = None if anchor == "start" else anchor
    return el("text", shown, *tip, x=x, y=y, font_size=size, text_anchor=where, **attributes)


def width(content: str, size: float = 12) -> float:
    """About how wide a line is, in units of the picture; rather too wide than too narrow.

    There is no font here to measure with: widths are classes of letters of a common sans-serif face.
    """
    total = 0.0
    for c in content:
        if unicodedata.combining(c):
            continue
        if unicodedata.east_asian_width(c) in "WF":
            total += 1.0
        elif c in _NARROW:
            total += 0.39
        elif c in _WIDE:
            total += 0.98
        else:
            total += 0.74 if c.isupper() else 0.63
    return total * size


def cut(content: str, room: float, size: float = 12) -> str:
    """The text, or as much of it as fits into `room` with an ellipsis."""
    content = " ".join(visible(content).split())
    if width(content, size) <= room:
        return content
    fits, beyond = (
        0,
        len(content),
    )  # halved and not shortened letter by letter: a name may have 100,000 of them
    while beyond - fits > 1:
        middle = (fits + beyond) // 2
        if width(content[:middle] + ELLIPSIS, size) > room:
            beyond = middle
        else:
            fits = middle
    return content[:fits].rstrip() + ELLIPSIS


def wrap(content: str, room: float, size: float = 12, most: int = 2) -> list[str]:
    """The text in at most `most` lines of that width, broken at spaces and after hyphens; the last one cut."""
    words = " ".join(visible(content).split()).replace("-", "-\u200b").replace(" ", " \u200b").split("\u200b")
    lines = [""]
    for word in words:
        if lines[-1] and len(lines) < most and width((lines[-1] + word).rstrip(), size) > room:
            lines.append(word)
        else:
            lines[-1] += word
    return [cut(x, room, size) for x in lines]


def document(
    size: tuple[float, float],
    body: Sequence[str],
    *,
    ident: str,
    title: str,
    about: str,
    theme: Theme,
    class_: str = "picture",
) -> str:
    """The whole picture: an image with a name and a description for those who hear it.

    Args:
        size: width and height; an inline picture shrinks with its column and never grows beyond it.
        ident: start of every id in it; two pictures of one page need two.
    """
    wide, high = size
    paper = [el("rect", width=wide, height=high, fill=theme.paper)] if theme.paper else []
    return el(
        "svg",
        el("title", escape(title) or "Picture", id=f"{ident}-title"),
        el("desc", escape(about) or escape(title), id=f"{ident}-about"),
        *paper,
        *body,
        xmlns="http://www.w3.org/2000/svg",
        class_=class_,
        role="img",
        aria_labelledby=f"{ident}-title {ident}-about",
        viewBox=f"0 0 {number(wide)} {number(high)}",
        width=wide,
        height=high,
        fill=theme.ink,
        font_family=theme.fonts or None,
    )


def ticks(lo: float, hi: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten apart) that cover lo..hi."""
    if not hi > lo:
        hi = lo + 1.0
    rough = (hi - lo) / max(1, about)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(lo / step + 1e-9), math.ceil(hi / step - 1e-9)
    return [round(k * step, 10) for k in range(first, last + 1)]
