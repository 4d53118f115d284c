"""A radar: an axis per spoke, a line per series, broken where a value is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.figures.palette import Style, marker
from reports.figures.points import Point, Series
from reports.figures.spec import Axis
from reports.figures.svg import Anchor, Attributes, Theme, el, escape, line, number, text, wrap

RINGS = (25.0, 50.0, 75.0, 100.0)
_SIDE, _TOP, _BOTTOM = 110.0, 60.0, 46.0


@dataclass(frozen=True)
class Spokes:
    """Where values stand in a panel whose corner is (0, 0): the first axis points up, the rest go clockwise."""

    wide: float
    high: float
    axes: int

    @property
    def middle(self) -> tuple[float, float]:
        return self.wide / 2, _TOP + self.radius

    @property
    def radius(self) -> float:
        return min(self.wide - 2 * _SIDE, self.high - _TOP - _BOTTOM) / 2

    def angle(self, axis: int) -> float:
        return 2 * math.pi * axis / self.axes

    def at(self, axis: int, share: float) -> tuple[float, float]:
        return self.off(axis, self.radius * share / 100.0)

    def off(self, axis: int, distance: float) -> tuple[float, float]:
        a = self.angle(axis)
        return self.middle[0] + distance * math.sin(a), self.middle[1] - distance * math.cos(a)


def draw(
    axes: Sequence[Axis],
    series: Sequence[Series],
    panel: int,
    looks: Sequence[Style],
    theme: Theme,
    size: tuple[float, float],
) -> list[str]:
    """The panel's markup, its corner at (0, 0); `panel` is which of the series' lists of points it draws."""
    spokes = Spokes(size[0], size[1], len(axes))
    out = _web(axes, spokes, theme)
    for s, look in sorted(zip(series, looks, strict=True), key=lambda pair: pair[0].ours):  # ours on top
        out.append(el("g", *_series(s, s.points[panel], axes, spokes, look, theme)))
    return out


def _web(axes: Sequence[Axis], spokes: Spokes, theme: Theme) -> list[str]:
    out = []
    for ring in RINGS:
        corners = " ".join(
            f"{number(x)},{number(y)}" for x, y in (spokes.at(k, ring) for k in range(len(axes)))
        )
        out.append(el("polygon", points=corners, fill="none", stroke=theme.ink, stroke_opacity=theme.line))
    x0, y0 = spokes.middle
    for k, axis in enumerate(axes):
        x, y = spokes.at(k, 100)
        out.append(line(x0, y0, x, y, stroke=theme.ink, stroke_opacity=theme.line))
        out += _name(axis, k, spokes)
    for ring in RINGS:
        out.append(
            text(x0 + 4, y0 - spokes.radius * ring / 100 + 11, f"{ring:g}", size=9, fill_opacity=theme.soft)
        )
    return out


def _name(axis: Axis, k: int, spokes: Spokes) -> list[str]:
    """An axis' label outside the rim, in one to three lines, away from the middle."""
    x, y = spokes.off(k, spokes.radius + 12)
    a = spokes.angle(k)
    side, up = math.sin(a), math.cos(a)
    anchor: Anchor = "middle" if abs(side) < 0.12 else "start" if side > 0 else "end"
    room = _SIDE - 14 if anchor != "middle" else spokes.wide * 0.6
    lines = wrap(axis.label, room, 12, 3)
    lines += [f"({axis.scale_note})"] if axis.scale_note else []
    first = y + 4 - (len(lines) - 1) * 14 * (1 + up) / 2
    return [text(x, first + 14 * i, words, anchor=anchor) for i, words in enumerate(lines)]


def _series(
    s: Series, points: Sequence[Point], axes: Sequence[Axis], spokes: Spokes, look: Style, theme: Theme
) -> list[str]:
    there = [k for k, p in enumerate(points) if p.at is not None]
    out = []
    thick = 2.6 if s.ours else 1.7
    spots = {k: spokes.at(k, p.at) for k, p in enumerate(points) if p.at is not None}
    if len(there) == len(points):
        corners = " ".join(f"{number(x)},{number(y)}" for x, y in spots.values())
        out.append(
            el(
                "polygon", data_part="line", points=corners, fill=look.fill, fill_opacity=0.12 if s.ours else 0.0,
                stroke=look.stroke, stroke_width=thick, stroke_dasharray=look.dash or None, stroke_linejoin="round",
            )
        )  # fmt: skip
    else:
        for k in there:  # only between neighbours that both have a value: no line across a gap
            nearby = (k + 1) % len(points)
            if nearby in spots:
                (x1, y1), (x2, y2) = spots[k], spots[nearby]
                out.append(
                    line(
                        x1, y1, x2, y2, data_part="line", stroke=look.stroke, stroke_width=thick,
                        stroke_dasharray=look.dash or None,
                    )
                )  # fmt: skip
    for k, p in enumerate(points):
        if p.bounds is not None:
            (x1, y1), (x2, y2) = (spokes.at(k, v) for v in p.bounds)
            stroke: Attributes = {"stroke": look.stroke, "stroke_width": 2.2, "stroke_dasharray": "1.5 3"}
            said = f"{s.label}, {axes[k].label}: no value; {p.detail}".rstrip("; ")
            out.append(el("g", el("title", escape(said)), line(x1, y1, x2, y2, data_part="bounds", **stroke)))
    for k in there:
        point = points[k]
        if point.ci is not None:
            (x1, y1), (x2, y2) = (spokes.at(k, v) for v in point.ci)
            out.append(line(x1, y1, x2, y2, data_part="ci", stroke=theme.ink, stroke_width=1.6))
            out += [_cap(k, v, spokes, theme) for v in point.ci]
        said = f"{s.label}, {axes[k].label}: {point.text}" + "".join(
            f"; {n}" for n in (*point.notes, point.detail) if n
        )
        hollow = bool(point.notes)
        mark = marker(
            look.marker, *spots[k], 9, data_part="point", stroke=look.stroke, stroke_width=1.6,
            fill=(theme.paper or "none") if hollow else look.fill,
        )  # fmt: skip
        out.append(el("g", el("title", escape(said)), mark))
    return out


def _cap(k: int, share: float, spokes: Spokes, theme: Theme) -> str:
    x, y = spokes.at(k, share)
    a = spokes.angle(k)
    dx, dy = 7 * math.cos(a), 7 * math.sin(a)
    return line(x - dx, y - dy, x + dx, y + dy, stroke=theme.ink, stroke_width=1.6)
