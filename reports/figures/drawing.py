"""A figure as one SVG: its panels side by side, a legend, and what has to stand under it."""

from __future__ import annotations

from collections.abc import Sequence

from reports.figures import bars, radar
from reports.figures.palette import Style, marker, painted, pattern, style
from reports.figures.points import Column, Point, Series, columns_of, series_of, settled
from reports.figures.spec import FigureSpec, Kind, Panel, chosen_models, figure_1
from reports.figures.svg import (
    INLINE,
    PAPER,
    Attributes,
    Theme,
    cut,
    document,
    el,
    escape,
    line,
    text,
    width,
    wrap,
)
from reports.figures.svg import number as num
from reports.runs import RunView

SIGNS = ("*", "\u2020", "\u2021", "\u00a7", "\u00b6", "#")
_EDGE, _BETWEEN, _HIGH = 16.0, 34.0, 430.0
_ACROSS = 1500.0
"""Panels that would reach farther stand below the others."""
_NAME = 320.0
"""Room of a series' name; the whole stands in its title."""
_RADAR, _BARS = 544.0, (320.0, 400.0)


def sign(i: int) -> str:
    """The footnote sign of note `i`: the six of print, then them doubled, trebled ..."""
    return SIGNS[i % len(SIGNS)] * (1 + i // len(SIGNS))


def panel_size(panel: Panel, series: int) -> tuple[float, float]:
    """Width and height of a panel; bars take more room the more there are."""
    if panel.kind == "radar":
        return _RADAR, _HIGH
    wide = 34.0 + len(panel.axes) * max(96.0, (38.0 if series <= 4 else 22.0) * series / 0.84)
    return max(_BARS[len(panel.axes) > 2], wide), _HIGH


def draw_figure(
    spec: FigureSpec,
    series: Sequence[Series],
    *,
    ident: str = "figure",
    standalone: bool = True,
) -> str:
    """A figure as SVG.

    Args:
        ident: start of ids in it; give each picture of a page its own.
        standalone: dark on white with its own fonts, for a file; else for a page: in the page's text colour
            (currentColor), light or dark, with nothing that a strict Content-Security-Policy forbids.
    """
    theme = PAPER if standalone else INLINE
    looks = _looks(series)
    hatches = [f"{ident}-hatch-{i}" for i in range(len(series))]
    notes = _notes(series)

    def symbols(points: Sequence[Point]) -> str:
        return "".join(sign(i) for i, n in enumerate(notes) if any(n in p.notes for p in points))

    sizes = [panel_size(p, len(series)) for p in spec.panels]
    spots = _spots(sizes)
    total = max(x + w for (x, _), (w, _) in zip(spots, sizes, strict=True)) + _EDGE
    body = [el("defs", *(pattern(h, look) for h, look in zip(hatches, looks, strict=True)))]
    for k, (panel, size, (x, y)) in enumerate(zip(spec.panels, sizes, spots, strict=True)):
        if panel.kind == "bars":
            drawn = bars.draw(panel.axes, series, k, looks, hatches, theme, size, symbols)
        else:
            drawn = radar.draw(panel.axes, series, k, looks, theme, size)
        name = text(0, 16, panel.title, size=14, font_weight="600", room=size[0])
        body.append(el("g", name, *drawn, transform=f"translate({num(x)} {num(y)})", data_part=panel.kind))
    y = max(y for _, y in spots) + _HIGH + 18
    legend, y = _legend(spec, series, looks, hatches, theme, total, y, symbols)
    body += legend
    for words in [w for n in _remarks(spec, series, notes) for w in wrap(n, total - 2 * _EDGE, 11, 99)]:
        body.append(text(_EDGE, y, words, size=11, fill_opacity=theme.soft))
        y += 15
    return document(
        (total, y + 2),
        body,
        ident=ident,
        title=spec.title,
        about=_about(spec, series),
        theme=theme,
        class_="picture",
    )


def _spots(sizes: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Where panels stand: side by side as far as there is room, else below."""
    out = []
    x, y = _EDGE, _EDGE
    for wide, _ in sizes:
        if x > _EDGE and x + wide > _ACROSS:
            x, y = _EDGE, y + _HIGH + _BETWEEN
        out.append((x, y))
        x += wide + _BETWEEN
    return out


def _looks(series: Sequence[Series]) -> list[Style]:
    """A style each; ours take the first ones (a full blue with a solid line), whoever stands beside them."""
    order = sorted(range(len(series)), key=lambda i: not series[i].ours)
    return [style(order.index(i)) for i in range(len(series))]


def _notes(series: Sequence[Series]) -> list[str]:
    """Every note of the figure once, in the order in which they appear."""
    return list(dict.fromkeys(n for s in series for panel in s.points for p in panel for n in p.notes))


def _legend(
    spec: FigureSpec,
    series: Sequence[Series],
    looks: Sequence[Style],
    hatches: Sequence[str],
    theme: Theme,
    total: float,
    y: float,
    symbols: bars.Symbols,
) -> tuple[list[str], float]:
    """A swatch, a line with its marker and a name for each series; and where the next thing may stand."""
    kinds = {p.kind for p in spec.panels}
    axes = len(spec.axes)
    out = []
    x = _EDGE
    for s, look, hatch in zip(series, looks, hatches, strict=True):
        signs = symbols([p for panel in s.points for p in panel])
        some = "" if s.filled == axes else f" ({s.filled} of {axes})"
        label = cut(s.label, _NAME, 12) + signs + some
        swatch = 64.0 if len(kinds) > 1 else 34.0
        room = width(label, 12)
        if x > _EDGE and x + swatch + room > total - _EDGE:
            x, y = _EDGE, y + 22
        parts = _swatch(x, y, s.ours, look, hatch, kinds, theme)
        parts.append(text(x + swatch, y, label, font_weight="600" if s.ours else None))
        out.append(el("g", el("title", escape(s.label)), *parts))
        x += swatch + room + 26
    return out, y + 26


def _swatch(
    x: float, y: float, ours: bool, look: Style, hatch: str, kinds: set[Kind], theme: Theme
) -> list[str]:
    """A piece of bar, a piece of line with its marker, or both."""
    parts = []
    if "bars" in kinds:
        edge, thick = (theme.ink, 1.6) if ours else (look.stroke, 1.0)
        parts.append(painted(hatch, look, x, y - 10, 24, 13, stroke=edge, stroke_width=thick))
        x += 30
    if "radar" in kinds:
        y -= 3.5
        stroke: Attributes = {"stroke": look.stroke}
        thick = 2.6 if ours else 1.7
        parts.append(line(x, y, x + 26, y, stroke_width=thick, stroke_dasharray=look.dash or None, **stroke))
        parts.append(marker(look.marker, x + 13, y, 9, fill=look.fill, stroke_width=1.6, **stroke))
    return parts


def _remarks(spec: FigureSpec, series: Sequence[Series], notes: Sequence[str]) -> list[str]:
    """The lines under the figure: how values were placed, what is left out, the footnotes."""
    said = []
    odd = {a.scale for a in spec.axes if not a.invert and a.scale not in (None, (0.0, 100.0))}
    if odd:
        how = "; ".join(
            f"{lo:g}\u2013{hi:g} as 100 (x \u2212 {lo:g}) / {hi - lo:g}"
            for lo, hi in sorted(s for s in odd if s)
        )
        said.append(f"All axes run from 0 (worst of the scale) to 100 (best): {how}.")
    if any(a.invert for a in spec.axes):
        names = ", ".join(a.label for a in spec.axes if a.invert)
        said.append(f"Inverted, 100 \u2212 value, so that longer is better: {names}.")
    elif spec == figure_1():
        said.append("Word error rates are left out.")
    ours = any(s.ours for s in series)
    if ours:
        said.append("Bold: our runs, with 95 % intervals as whiskers.")
    if any(not s.ours for s in series):
        whose = "The others" if ours else "All values"
        said.append(f"{whose} are as printed in arXiv 2512.20156, which gives no intervals.")
    if any(p.at is None for s in series for panel in s.points for p in panel):
        said.append(
            "A dash, and a broken line: no value; (k of n) beside a name: how many of the n axes have one."
        )
    lines = [" ".join(said)] if said else []
    if notes:
        lines.append(" ".join(f"{sign(i)} {n}{_where(spec, series, n)}." for i, n in enumerate(notes)))
    return lines


def _where(spec: FigureSpec, series: Sequence[Series], note: str) -> str:
    """What a note is about, where its points say more than the note ("MMAU 3 of 4")."""
    found = [
        f"{cut(s.label, _NAME, 12)}, {axis.label} {point.detail}"
        for s in series
        for panel, points in zip(spec.panels, s.points, strict=True)
        for axis, point in zip(panel.axes, points, strict=True)
        if point.detail and note in point.notes and note == point.notes[-1]
    ]
    return f" ({'; '.join(found)})" if found else ""


def _about(spec: FigureSpec, series: Sequence[Series]) -> str:
    """Every number of the figure in words, for those who don't see it."""
    said = []
    for k, panel in enumerate(spec.panels):
        said.append(f"{panel.title}." if panel.title else "")
        for j, axis in enumerate(panel.axes):
            values = ", ".join(
                f"{s.label} {s.points[k][j].text if s.points[k][j].at is not None else 'no value'}"
                for s in series
            )
            said.append(f"{axis.label}: {values}.")
    return " ".join(s for s in said if s)


def figure_svg(
    views: Sequence[RunView] | Sequence[Column],
    *,
    spec: FigureSpec | None = None,
    models: str | None = None,
    merge: bool = True,
    ident: str = "figure-1",
    standalone: bool = False,
) -> str:
    """Figure 1, or another, for runs and printed models: safe markup for a page (default) or a file.

    Plain `str`: in a Jinja template pass `Markup(figure_svg(...))`. On narrow screens let it scroll.

    Args:
        views: our runs, or columns that were put together of them; may be empty.
        models: printed models, "A,B", "8B", "large", "all", "none"; default: the figure's own, or 8B.
        merge: runs of one model that share no task become one series.

    Raises:
        UsageError: a model that the report doesn't print.
    """
    spec = spec or figure_1()
    spec, series = composed(views, spec, models, merge=merge)
    return draw_figure(spec, series, ident=ident, standalone=standalone)


def composed(
    views: Sequence[RunView] | Sequence[Column],
    spec: FigureSpec,
    models: str | None = None,
    *,
    merge: bool = True,
) -> tuple[FigureSpec, list[Series]]:
    """What `figure_svg` draws, with the same arguments: the figure with its scales known, and its series."""
    runs = [v for v in views if isinstance(v, RunView)]
    columns = [v for v in views if isinstance(v, Column)] + columns_of(runs, merge=merge)
    spec = settled(spec, columns)
    return spec, series_of(spec, chosen_models(models, spec), columns)


def inline_figure(views: Sequence[RunView]) -> str:
    """Figure 1 for a page on these runs; "" where no model of theirs fills 3 axes."""
    return figure_svg(views) if axes_filled(views) >= 3 else ""


def axes_filled(views: Sequence[RunView], spec: FigureSpec | None = None) -> int:
    """The most axes that one model's runs fill: a page shows the picture from 3 on."""
    spec = spec or figure_1()
    return max((s.filled for s in series_of(spec, (), columns_of(views))), default=0)
