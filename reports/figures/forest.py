"""A forest plot: differences as points with interval bars around a zero line, and how far they may fall."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reports.cells import number as shown
from reports.figures.palette import BAD, GOOD, OPEN, marker
from reports.figures.svg import INLINE, PAPER, Attributes, Theme, document, el, line, text, ticks, width
from reports.figures.svg import number as num

MINUS = "\u2212"
Place = Callable[[float], float]
_ROW, _TOP, _FOOT, _PLOT, _GAP = 24.0, 30.0, 34.0, 360.0, 14.0
_LABEL, _VALUE = (60.0, 270.0), 250.0


@dataclass(frozen=True)
class ForestRow:
    """One difference.

    Attributes:
        label: what was compared, e.g. "voicebench/sd-qa".
        delta: other minus baseline on the printed scale; None where nothing could be compared.
        ci: interval of `delta`; an end may be infinite (an arrow), None draws the point alone.
        margin: the largest loss that passes, as a size on the printed scale (1.0 and -1.0 mean the same); a
            dashed line on the side of losses. None: no line in this row.
        verdict: word to print after the numbers, as it is: "pass", "REGRESSION", "inconclusive", "p = 0.03" ...
        kind: decides marker and colour: "good", "bad", "open" or "" (neutral). Default: told from `verdict`.
        higher_is_better: False turns the row, so that better is on the right in every row; its numbers stay.
        width: of the printed scale (100 for %, 4 for ratings of 1-5). A row is drawn in hundredths of it, so that
            rows of several scales share one axis.
        decimals: of the numbers printed.
    """

    label: str
    delta: float | None
    ci: tuple[float, float] | None = None
    margin: float | None = None
    verdict: str = ""
    kind: str | None = None
    higher_is_better: bool = True
    width: float = 100.0
    decimals: int = 2

    @property
    def look(self) -> str:
        """ "good", "bad", "open" or ""."""
        if self.kind is not None:
            return self.kind
        word = self.verdict.strip().lower()
        known = {"pass": "good", "better": "good", "improved": "good", "regression": "bad", "fail": "bad"}
        known |= {"worse": "bad", "inconclusive": "open", "not comparable": "open"}
        return known.get(word, "")

    def place(self, value: float) -> float:
        """Where a difference stands on the shared axis: hundredths of the scale, better to the right."""
        if not math.isfinite(value):
            return value if self.higher_is_better else -value
        return (100.0 * value / self.width) * (1.0 if self.higher_is_better else -1.0) + 0.0


def signed(value: float, decimals: int) -> str:
    """ "+0.40", "\u22122.70", "0.00"; infinite ends in words of one sign."""
    if math.isinf(value):
        return "+\u221e" if value > 0 else f"{MINUS}\u221e"
    size = shown(abs(value), decimals)
    sign = "" if float(size) == 0 else "+" if value > 0 else MINUS
    return sign + size


def _numbers(row: ForestRow) -> str:
    if row.delta is None or not math.isfinite(row.delta):
        return "\u2013"
    if row.ci is None:
        return signed(row.delta, row.decimals)
    return f"{signed(row.delta, row.decimals)} [{signed(row.ci[0], row.decimals)}, {signed(row.ci[1], row.decimals)}]"


def _span(rows: Sequence[ForestRow]) -> list[float]:
    """Ticks of the axis: round, with every finite value, interval end, margin, and zero inside."""
    found = [0.0]
    for row in rows:
        ends = [row.delta, *(row.ci or ())] if row.delta is not None else []
        found += [row.place(v) for v in ends if v is not None and math.isfinite(v)]
        if row.margin is not None and math.isfinite(row.margin):
            found.append(-abs(100.0 * row.margin / row.width))
    lo, hi = min(found), max(found)
    if hi - lo < 1e-9:
        lo, hi = -1.0, 1.0
    pad = 0.04 * (hi - lo)
    return ticks(lo - pad if lo < 0 else lo, hi + pad if hi > 0 else hi, 6)


def _about(rows: Sequence[ForestRow]) -> str:
    """The picture in words, a sentence a row."""
    said = []
    for row in rows:
        margin = "" if row.margin is None else f", margin {shown(abs(row.margin), row.decimals)}"
        verdict = f", {row.verdict}" if row.verdict else ""
        said.append(f"{row.label}: {_numbers(row)}{margin}{verdict}")
    return "; ".join(said) or "No rows."


def forest_svg(
    rows: Sequence[ForestRow],
    *,
    title: str = "Differences with 95 % intervals",
    ident: str = "forest",
    axis: str = "",
    standalone: bool = False,
) -> str:
    """A forest plot as SVG: a row each with label, point, interval bar, numbers and verdict.

    Better is to the right. Needs no style sheet and no script, passes a strict Content-Security-Policy, takes the
    text colour of the page (currentColor); every text is escaped. Plain `str`: in a Jinja template pass
    `Markup(forest_svg(...))`.

    Args:
        rows: drawn from top to bottom in this order. A row without `delta` keeps its place and shows a dash.
        title: the picture's name for screen readers.
        ident: start of ids in it; give each picture of a page its own.
        axis: what stands under the axis; default: "points", or "hundredths of each scale" where scales differ.
        standalone: dark on white with its own fonts, for a file; default: for a page.
    """
    theme = PAPER if standalone else INLINE
    marks = _span(rows)
    first = min(_LABEL[1], max([_LABEL[0], *(width(r.label) for r in rows)]))
    said = [f"{_numbers(r)}  {r.verdict}".rstrip() for r in rows]
    last = min(_VALUE * 1.6, max([_VALUE / 3, *(width(s) for s in said)]))
    left = first + _GAP
    total = left + _PLOT + _GAP + last
    bottom = _TOP + _ROW * max(1, len(rows))

    def x(value: float) -> float:
        return left + _PLOT * (value - marks[0]) / (marks[-1] - marks[0])

    body = _axis(marks, x, bottom, theme, axis or _unit(rows))
    for k, row in enumerate(rows):
        y = _TOP + _ROW * (k + 0.5)
        middle = [*_margin(row, x, y), *_bar(row, x, y, theme, (left, left + _PLOT))]
        body.append(
            el(
                "g",
                text(first, y + 4, row.label, anchor="end", room=first),
                *middle,
                text(left + _PLOT + _GAP, y + 4, said[k], room=last),
            )
        )
    return document(
        (total, bottom + _FOOT),
        body,
        ident=ident,
        title=title,
        about=_about(rows),
        theme=theme,
        class_="forest",
    )


def _unit(rows: Sequence[ForestRow]) -> str:
    return "points" if len({r.width for r in rows}) <= 1 else "hundredths of each row's scale"


def _axis(marks: Sequence[float], x: Place, bottom: float, theme: Theme, unit: str) -> list[str]:
    """Grid, the zero line, numbers under it, and which side is better."""
    out = []
    step = marks[1] - marks[0]
    decimals = next((d for d in range(9) if abs(step * 10**d - round(step * 10**d)) < 1e-6), 9)
    for value in marks:
        zero = abs(value) < 1e-9
        out.append(
            line(
                x(value), _TOP, x(value), bottom, stroke=theme.ink, stroke_width=1.4 if zero else 1,
                stroke_opacity=None if zero else theme.line,
            )
        )  # fmt: skip
        label = "0" if zero else signed(value, decimals)
        out.append(text(x(value), bottom + 14, label, size=11, anchor="middle", fill_opacity=theme.soft))
    middle = (x(marks[0]) + x(marks[-1])) / 2
    out.append(text(middle, bottom + 29, unit, size=11, anchor="middle", fill_opacity=theme.soft))
    worse, better = "\u2190 worse", "better \u2192"
    if x(0) - x(marks[0]) > width(worse, 11):
        out.append(text(x(0) - 6, _TOP - 8, worse, size=11, anchor="end", fill_opacity=theme.soft))
    if x(marks[-1]) - x(0) > width(better, 11):
        out.append(text(x(0) + 6, _TOP - 8, better, size=11, fill_opacity=theme.soft))
    return out


def _margin(row: ForestRow, x: Place, y: float) -> list[str]:
    """The most that may be lost, as high as the row: equal margins of neighbours join to one line."""
    if row.margin is None or not math.isfinite(row.margin):
        return []
    at = x(-abs(100.0 * row.margin / row.width))
    return [
        line(at, y - _ROW / 2, at, y + _ROW / 2, stroke=BAD, stroke_width=1.4, stroke_dasharray="4 3",
             data_part="margin")
    ]  # fmt: skip


def _bar(row: ForestRow, x: Place, y: float, theme: Theme, ends: tuple[float, float]) -> list[str]:
    """The interval and the point. An infinite end runs to the edge as an arrow."""
    if row.delta is None or not math.isfinite(row.delta):
        return []
    name, colour = {
        "good": ("circle", GOOD), "bad": ("diamond", BAD), "open": ("square", OPEN),
    }.get(row.look, ("circle", theme.ink))  # fmt: skip
    out = []
    if row.ci is not None:
        lo, hi = sorted(row.place(v) for v in row.ci)
        at = [x(v) if math.isfinite(v) else ends[v > 0] for v in (lo, hi)]
        stroke: Attributes = {"stroke": colour, "stroke_width": 2.0}
        out.append(line(at[0], y, at[1], y, data_part="ci", **stroke))
        for value, place, turn in ((lo, at[0], 1), (hi, at[1], -1)):
            if math.isfinite(value):
                out.append(line(place, y - 5, place, y + 5, **stroke))
            else:
                back = num(place + 6 * turn)
                head = f"M{back},{num(y - 5)} L{num(place)},{num(y)} L{back},{num(y + 5)}"
                out.append(el("path", d=head, fill="none", **stroke))
    out.append(
        marker(
            name, x(row.place(row.delta)), y, 10, data_part="point", stroke=colour, stroke_width=1.8,
            fill=colour,
        )
    )  # fmt: skip
    return out
