"""Grouped bars: a group per axis, a bar per series, whiskers on ours, a dash where there is no value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reports.figures.palette import Style, painted
from reports.figures.points import Point, Series
from reports.figures.spec import Axis
from reports.figures.svg import Theme, el, escape, line, number, text, width, wrap

Symbols = Callable[[Sequence[Point]], str]
"""The footnote signs of points."""

_LEFT, _TOP, _BOTTOM = 34.0, 60.0, 44.0
_SHARE = 0.84
"""How much of a group's room its bars take."""


@dataclass(frozen=True)
class BarPlaces:
    """Where bars stand in a panel whose corner is (0, 0); tests compute from it what they look for."""

    wide: float
    high: float
    groups: int
    bars: int

    @property
    def floor(self) -> float:
        return self.high - _BOTTOM

    @property
    def room(self) -> float:
        """Width of one group."""
        return (self.wide - _LEFT) / self.groups

    @property
    def bar(self) -> float:
        """Width of one bar."""
        return min(64.0, self.room * _SHARE / self.bars)

    def left(self, group: int, bar: int) -> float:
        middle = _LEFT + self.room * (group + 0.5)
        return middle + self.bar * (bar - self.bars / 2)

    def y(self, share: float) -> float:
        return self.floor - (self.floor - _TOP) * share / 100.0


def draw(
    axes: Sequence[Axis],
    series: Sequence[Series],
    panel: int,
    looks: Sequence[Style],
    hatches: Sequence[str],
    theme: Theme,
    size: tuple[float, float],
    symbols: Symbols,
) -> list[str]:
    """The panel's markup, its corner at (0, 0).

    Args:
        panel: which of the series' lists of points it draws.
        hatches: id of each series' pattern.
    """
    places = BarPlaces(size[0], size[1], len(axes), max(1, len(series)))
    out = _grid(places, theme)
    for g, axis in enumerate(axes):
        middle = _LEFT + places.room * (g + 0.5)
        lines = wrap(axis.label, places.room - 8, 12)
        lines += [f"({axis.scale_note})"] if axis.scale_note else []
        for k, words in enumerate(lines):
            out.append(text(middle, places.floor + 17 + 14 * k, words, anchor="middle"))
        for b, s in enumerate(series):
            point = s.points[panel][g]
            said = f"{s.label}, {axis.label}: {point.text if point.at is not None else 'no value'}"
            notes = "".join(f"; {n}" for n in (*point.notes, point.detail) if n)
            x = places.left(g, b)
            inner = (
                _bar(places, x, point, s.ours, looks[b], hatches[b], theme, symbols([point]))
                if point.at is not None
                else _gap(places, x, point, looks[b], theme, symbols([point]))
            )
            out.append(el("g", el("title", escape(said + notes)), *inner))
    return out


def _grid(places: BarPlaces, theme: Theme) -> list[str]:
    out = []
    for value in (0, 20, 40, 60, 80, 100):
        y = places.y(value)
        base = value == 0
        out.append(
            line(
                _LEFT, y, places.wide, y, stroke=theme.ink,
                stroke_opacity=0.7 if base else theme.line, stroke_width=1.2 if base else 1,
            )
        )  # fmt: skip
        out.append(text(_LEFT - 6, y + 4, str(value), size=11, anchor="end", fill_opacity=theme.soft))
    return out


def _bar(
    places: BarPlaces, x: float, point: Point, ours: bool, look: Style, hatch: str, theme: Theme, signs: str
) -> list[str]:
    assert point.at is not None
    top, wide = places.y(point.at), places.bar
    inset = min(1.5, wide * 0.08)
    out = [
        painted(
            hatch, look, x + inset, top, wide - 2 * inset, places.floor - top, data_part="bar",
            stroke=theme.ink if ours else look.stroke, stroke_width=1.6 if ours else 1,
        )
    ]  # fmt: skip
    peak = top
    middle = x + wide / 2
    if point.ci is not None:
        lo, hi = places.y(point.ci[0]), places.y(point.ci[1])
        cap = min(5.0, wide * 0.3)
        for paint, thick in ((theme.paper or "none", 4.4), (theme.ink, 1.6)):
            if paint != "none":  # a halo, so that the whisker is seen on its own bar
                out.append(line(middle, lo, middle, hi, stroke=paint, stroke_width=thick))
        out += [line(middle - cap, y, middle + cap, y, stroke=theme.ink, stroke_width=1.6) for y in (lo, hi)]
        peak = hi
    out.append(_value(middle, peak, wide, point.text + signs, bold=ours))
    return out


def _value(middle: float, peak: float, wide: float, label: str, *, bold: bool) -> str:
    """The number above its bar; upright where the bar is too narrow for it."""
    weight = "600" if bold else None
    if width(label, 10) <= wide - 1:
        return text(middle, peak - 5, label, size=10, anchor="middle", font_weight=weight)
    return text(
        0, 0, label, size=10, font_weight=weight,
        transform=f"translate({number(middle + 3.6)} {number(peak - 5)}) rotate(-90)",
    )  # fmt: skip


def _gap(places: BarPlaces, x: float, point: Point, look: Style, theme: Theme, signs: str) -> list[str]:
    """No value: a dash on the base line; and dotted, what the value must lie between, where that is known."""
    middle = x + places.bar / 2
    out = []
    peak = places.floor
    if point.bounds is not None:
        lo, hi = (places.y(v) for v in point.bounds)
        out.append(
            line(
                middle,
                lo,
                middle,
                hi,
                data_part="bounds",
                stroke=look.stroke,
                stroke_width=2,
                stroke_dasharray="1.5 3",
            )
        )
        peak = hi
    out.append(
        text(
            middle,
            peak - 5,
            "\u2013" + signs,
            size=11,
            anchor="middle",
            data_part="gap",
            fill_opacity=theme.soft,
        )
    )
    return out
