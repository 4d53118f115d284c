"""`report --figure`: Figure 1, or one of yours, as SVG and PNG."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import UsageError

if TYPE_CHECKING:
    from reports.figures.points import Column, Series
    from reports.figures.spec import FigureSpec

FORMATS = ("svg", "png")
OTHERS = (".pdf", ".eps", ".ps", ".jpg", ".jpeg", ".gif", ".webp", ".tif", ".tiff", ".html")
"""Names of files that a figure is not written as, and that nobody gives a folder."""


def write(args: argparse.Namespace) -> int:
    """Write the figures and say where they are; with --json print what they show."""
    from evalkit.cli.report_formats import formats_of
    from reports.figures.drawing import composed, draw_figure
    from reports.figures.specfile import load_figure

    if odd := next((o for o in ("second", "intervals", "delta") if getattr(args, o)), None):
        raise UsageError(f"--{odd} belongs to --table: a figure always shows intervals, and no differences.")
    named = Path(args.out or "").suffix.lower().removeprefix(".")
    formats = formats_of(args, named if named in FORMATS else "svg", FORMATS)
    specs = [load_figure(name) for name in args.figure]
    if twice := next((s.name for s in specs if [x.name for x in specs].count(s.name) > 1), None):
        raise UsageError(f"two figures would be written to {twice}.svg: rename one of the files.")
    columns = _columns(args)
    models = args.models if args.models is not None else args.baselines
    drawn = [composed(columns, s, models) for s in specs]
    for spec, series in drawn:
        if not any(s.filled for s in series):
            raise UsageError(
                f"nothing to draw in {spec.name}: neither the runs nor the models chosen have a value on its axes."
            )
    if args.json:
        found = [_told(spec, series) for spec, series in drawn]
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return 0
    made: dict[Path, bytes] = {}  # all of them, or none: a missing extra leaves no half of a call's files
    for spec, series in drawn:
        svg = draw_figure(spec, series, ident=spec.name)
        for form in formats:
            made[_path(args, spec, form)] = svg.encode() if form == "svg" else _png(svg)
    if args.stdout or args.out == "-":
        if formats != ["svg"]:
            raise UsageError("only SVG can be printed: --format svg.")
        for content in made.values():
            print(content.decode())
        return 0
    for path, content in made.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as exc:
            raise UsageError(
                f"{path} can't be written ({exc.strerror}); name another place with --out."
            ) from None
        print(path)
    return 0


def _png(svg: str) -> bytes:
    from reports.figures.png import to_png

    return to_png(svg)


def _columns(args: argparse.Namespace) -> list[Column]:
    """The runs as columns, as in tables: those of one model that share no task are one."""
    from reports.figures.points import Column
    from reports.papertables.models import grouped

    named = []
    for text in args.column or ():
        label, found, paths = text.partition("=")
        runs = [p for p in paths.split(",") if p]
        if not found or not label or not runs:
            raise UsageError(f"--column {text!r} is not LABEL=RUN[,RUN].")
        named.append((label, runs))
    columns, told = grouped([Path(r) for r in args.runs], named, merge=not args.no_merge)
    for sentence in [*told, *(n for c in columns for n in c.notes)]:
        print(f"note: {sentence}", file=sys.stderr)
    return [Column(c.label, c.runs) for c in columns]


def _path(args: argparse.Namespace, spec: FigureSpec, form: str) -> Path:
    """Where a figure goes: --out, else the first run, else here."""
    ending = Path(args.out).suffix.lower() if args.out else ""
    if ending in OTHERS and not Path(args.out).is_dir():
        raise UsageError(
            f"--out {args.out}: a figure is written as .svg or .png (docs/figures.md: turning them into others)."
        )
    if ending in (".svg", ".png"):
        if len(args.figure) > 1:
            raise UsageError("--out names one file, and there are several figures: name a folder.")
        return Path(args.out).with_suffix(f".{form}")
    folder = Path(args.out) if args.out else Path(args.runs[0]) if args.runs else Path()
    return folder / f"{spec.name}.{form}"


def _told(spec: FigureSpec, series: list[Series]) -> dict[str, Any]:
    """A figure's content for machines: values as printed, places 0 (worst of the scale) to 100."""
    return {
        "figure": spec.name,
        "title": spec.title,
        "panels": [
            {
                "kind": panel.kind,
                "title": panel.title,
                "axes": [
                    {
                        "label": axis.label,
                        "scale": None if axis.invert else axis.scale,
                        "inverted": axis.invert,
                        "values": [
                            {
                                "model": s.label,
                                "run": s.ours,
                                "text": (p := s.points[k][j]).text if s.points[k][j].at is not None else None,
                                "place": p.at,
                                "ci": p.ci,
                                "bounds": p.bounds,
                                "notes": [*p.notes, *([p.detail] if p.detail else [])],
                            }
                            for s in series
                        ],
                    }
                    for j, axis in enumerate(panel.axes)
                ],
            }
            for k, panel in enumerate(spec.panels)
        ],
    }
