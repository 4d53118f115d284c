"""From runs and printed numbers to the series of a figure: a point per axis, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evalkit.errors import UsageError
from reports.cells import Cell
from reports.figures.spec import Axis, FigureSpec
from reports.fills import Fill, cell_of, fill_of
from reports.makers import printed_cell
from reports.papertables.assemble import united
from reports.papertables.models import plain_label, shared_tasks
from reports.runs import RunView

WORDS = {
    "demo": "embedded demo: no baseline of anything",
    "not-meaningful": "judged by a stand-in: says nothing about the model",
    "smoke": "smoke data: not the benchmark",
    "limited": "partial data",
    "count": "not the published number of samples",
    "own-data": "measured on data of one's own",
    "protocol": "another protocol than the report's",
    "strata": "not all categories of its data",
    "unfit": "too many verdicts decided by a scorer's defect",
    "prompt": "another prompt than the report's",
}
"""What a reader has to know beside a value, by the mark of its cell."""

SCALES = {"1-5": (1.0, 5.0), "MOS": (1.0, 5.0)}
"""Scales by unit, where they don't run from 0 to 100."""

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
    """A column per run; runs whose model has the same label, and that share no task, become one, as in tables."""
    families: dict[str, list[RunView]] = {}
    for run in runs:
        families.setdefault(plain_label(run) if merge else run.key, []).append(run)
    columns = []
    for label, members in families.items():
        if len(members) > 1 and not shared_tasks(members):
            columns.append(Column(label, tuple(members)))
        else:
            columns += [Column(r.label, (r,)) for r in members]
    return columns


def run_cell(runs: Sequence[RunView], axis: Axis) -> Cell | None:
    """What fills an axis in runs of one model: a number if one of them has it; None where nothing fills it."""
    found = [(run, fill) for run in runs if (fill := _fill(run, axis))]
    cells = [cell_of(run, fill) for run, fill in found]
    valued = next((c for c in cells if c.value is not None), None)
    if valued is None and len(runs) > 1 and found and found[0][1].kind == "overall":
        valued = united(runs, found[0][1].name)  # its parts lie in several runs
    return valued or (cells[0] if cells else None)


def _fill(run: RunView, axis: Axis) -> Fill | None:
    if axis.rows:
        return fill_of(run, axis.rows[0])
    if axis.overall:
        return Fill("overall", axis.overall) if axis.overall in run.overalls else None
    entry = run.tasks.get(axis.task)
    there = entry is not None and (axis.metric or entry["headline"]) in entry["metrics"]
    return Fill("task", axis.task, axis.metric or None) if there else None


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
    if "misprint" in cell.marks:
        notes += [n.rstrip(".") for n in cell.footnotes]
    if axis.beyond(cell.value):
        notes.append("off its axis: drawn at the end")
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


def settled(spec: FigureSpec, columns: Sequence[Column]) -> FigureSpec:
    """The figure with the scale of every axis known: that of a task is its metric's, as the runs have it.

    Raises:
        UsageError: a task where lower is better, on an axis that is not inverted.
    """
    panels = tuple(replace(p, axes=tuple(_settled(a, columns) for a in p.axes)) for p in spec.panels)
    return replace(spec, panels=panels)


def _settled(axis: Axis, columns: Sequence[Column]) -> Axis:
    if not axis.task or axis.invert:
        return axis
    entries = [r.tasks[axis.task] for c in columns for r in c.runs if axis.task in r.tasks]
    metrics = [e["metrics"].get(axis.metric or e["headline"]) for e in entries]
    metric = next((m for m in metrics if m), None)
    if metric is None:
        return axis
    if not metric["higher_is_better"]:
        raise UsageError(f"lower is better in {axis.task}: give its axis `invert: true` to draw 100 - value.")
    return replace(axis, scale=axis.scale or SCALES.get(metric["unit"], (0.0, 100.0)))


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
