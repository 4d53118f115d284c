"""From runs and printed numbers to the series of a figure: a point per axis, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalkit import published as paper
from reports.cells import Cell
from reports.figures.spec import Axis, FigureSpec
from reports.makers import metric_cell, overall_cell, printed_cell
from reports.runs import RunView

WORDS = {
    "demo": "embedded demo: no baseline of anything",
    "not-meaningful": "judged by a stand-in: says nothing about the model",
    "smoke": "smoke data: not the benchmark",
    "limited": "partial data",
    "count": "not the published number of samples",
    "own-data": "measured on data of one's own",
    "protocol": "another protocol than the report's",
    "misprint": "as printed, and in doubt (see the table's footnote)",
}
"""What a reader has to know beside a value, by the mark of its cell."""

NO_VALUE = "no value while samples have no score; dotted, between what it must lie"


@dataclass(frozen=True)
class Point:
    """One value of a series; places are 0 (worst of the scale) to 100.

    Attributes:
        text: the value as tables print it.
        at: its place; None is a gap.
        ci: places of the 95 % interval, the lower one first.
        bounds: for a gap: places between which the value must lie, where a run knows them.
        notes: what has to stand beside it; `detail` belongs to the last of them ("518 of 520").
    """

    text: str
    at: float | None
    ci: tuple[float, float] | None = None
    bounds: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    detail: str = ""


GAP = Point("\u2013", None)


@dataclass(frozen=True)
class Series:
    """A model: its points, a list per panel."""

    label: str
    ours: bool
    points: tuple[tuple[Point, ...], ...]

    @property
    def filled(self) -> int:
        return sum(p.at is not None for panel in self.points for p in panel)


@dataclass(frozen=True)
class Column:
    """Runs that make one series; several where one model's tasks lie in several runs."""

    label: str
    runs: tuple[RunView, ...]


def columns_of(runs: Sequence[RunView], *, merge: bool = True) -> list[Column]:
    """A column per run; runs of one model that share no task become one column.

    What one model is: the same label and the same runner with its settings, as the results say.
    """
    groups: dict[tuple[str, str, str], list[RunView]] = {}
    for run in runs:
        model = run.results.get("model") or {}
        key = (str(model.get("label") or run.label), str(model.get("runner")), repr(model.get("generation")))
        groups.setdefault(key if merge else (run.key, "", ""), []).append(run)
    columns = []
    for key, group in groups.items():
        tasks = [t for r in group for t in r.tasks]
        if len(group) > 1 and len(set(tasks)) == len(tasks):
            columns.append(Column(key[0], tuple(group)))
        else:
            columns += [Column(r.label, (r,)) for r in group]
    return columns


def _answers(entry: Mapping[str, Any], cell: Mapping[str, Any], row: paper.PublishedRow) -> bool:
    return bool(
        cell["section"] == row.section
        and row.called(cell["row"])
        and cell.get("language") in (None, "", row.language)
        and cell.get("printed") in (None, "", row.metric)
        and _holds(entry, cell)
    )


def _holds(entry: Mapping[str, Any], cell: Mapping[str, Any]) -> bool:
    if (metric := cell.get("metric")) and metric not in entry.get("metrics", {}):
        return False
    key, name = cell.get("group") or (None, None)
    return key is None or name in (entry.get("groups") or {}).get(key, {})


def _printed_row_cells(run: RunView, axis: Axis) -> list[Cell]:
    found = []
    for row in axis.rows[:1]:
        for name, entry in run.tasks.items():
            for c in entry.get("cells") or ():
                if _answers(entry, c, row):
                    group = c.get("group")
                    pair = (group[0], group[1]) if group else None
                    metric = c.get("metric") or entry["headline"]
                    found.append(metric_cell(run, name, entry, metric, pair))
        for name, o in run.overalls.items():
            if any(_answers(o, c, row) for c in o.get("cells") or ()):
                found.append(overall_cell(run, name))
    return found


def run_cell(runs: Sequence[RunView], axis: Axis) -> Cell | None:
    """What fills an axis in runs of one model: the first value, else the first cell without one, else None."""
    found: list[Cell] = []
    for run in runs:
        if axis.task:
            entry = run.tasks.get(axis.task)
            metric = axis.metric or (entry["headline"] if entry else "")
            if entry and metric in entry["metrics"]:
                found.append(metric_cell(run, axis.task, entry, metric))
        elif axis.overall:
            if axis.overall in run.overalls:
                found.append(overall_cell(run, axis.overall))
        else:
            found += _printed_row_cells(run, axis)
    return next((c for c in found if c.value is not None), found[0] if found else None)


def point_of(cell: Cell | None, axis: Axis) -> Point:
    """A cell on an axis. A cell without a value is a gap, never zero."""
    if cell is None:
        return GAP
    if cell.value is None:
        bounds = _places(cell.bounds, axis)
        if bounds is None or bounds[1] - bounds[0] > 99.9:  # they say nothing
            return GAP
        return Point(GAP.text, None, None, bounds, (NO_VALUE,), _scored(cell))
    notes = [WORDS[m] for m in cell.marks if m in WORDS]
    if axis.invert and cell.value > 100:
        notes.append("above 100: drawn at 0")
    if cell.coverage:
        notes.append("not every sample has a score")
    detail = _scored(cell) if cell.coverage else ""
    return Point(
        cell.text, axis.share(cell.value), _places(cell.ci, axis), None, tuple(dict.fromkeys(notes)), detail
    )


def _scored(cell: Cell) -> str:
    return "" if cell.n is None else f"{cell.n_scored:,} of {cell.n:,}"


def _places(pair: tuple[float, float] | None, axis: Axis) -> tuple[float, float] | None:
    if pair is None:
        return None
    a, b = sorted(axis.share(v) for v in pair)
    return a, b


def printed_point(model: str, axis: Axis) -> Point:
    """A printed value on an axis; a gap where the report prints none."""
    row = next((r for r in axis.rows if model in r.values), None)
    return GAP if row is None else point_of(printed_cell(row, model), axis)


def series_of(spec: FigureSpec, models: Sequence[str], columns: Sequence[Column]) -> list[Series]:
    """The series of a figure: printed models in the order given, then our runs."""
    out = [
        Series(m, False, tuple(tuple(printed_point(m, a) for a in p.axes) for p in spec.panels))
        for m in models
    ]
    for c in columns:
        points = tuple(tuple(point_of(run_cell(c.runs, a), a) for a in p.axes) for p in spec.panels)
        out.append(Series(c.label, True, points))
    labels = [s.label for s in out]
    return [replace(s, label=f"{s.label} (run)") if s.ours and labels.count(s.label) > 1 else s for s in out]
