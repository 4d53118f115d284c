"""From the cells of a row to the row as it is shown: who may be best, what differs, differences to one column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalkit.stats import round_half_up, square_and_add
from reports.cells import Cell, Column, difference, number, ranked
from reports.fills import Fill, cell_of
from reports.makers import compared, listed, metric_cell
from reports.papertables.models import Ours
from reports.runs import RunView

NEVER_BEST = frozenset(
    {
        *("demo", "smoke", "limited", "own-data", "count", "protocol", "not-meaningful", "withheld"),
        *("misprint", "strata", "unfit", "prompt"),
    }
)
"""Marks of numbers that are not measured as the printed ones are, or not on all of the data."""
_OTHER_DATA = frozenset({"demo", "smoke", "limited", "count"})
"""Marks that already say that a number was made in another way than its neighbours."""
NO_DELTA = frozenset({"demo", "smoke", "own-data", "not-meaningful"})
"""Marks of numbers whose difference to a printed one says nothing."""


@dataclass(frozen=True)
class Wishes:
    """What a table shows beside its numbers.

    Attributes:
        baselines: printed models, by name; None: all of the table's; (): none.
        delta: the model or run that differences are to; "" for no differences.
        tables: all tables asked for, so that a model that only another of them has is passed over.
    """

    baselines: tuple[str, ...] | None = None
    second: bool = False
    intervals: bool = False
    delta: str = ""
    tables: tuple[str, ...] = ()


def ours_cell(column: Ours, fills: Sequence[Fill | None], decimals: int | None) -> Cell:
    """The cell of one of our columns: of the run that has the number, or of parts that lie in several runs.

    Args:
        fills: what fills the row, per run of the column.
        decimals: of the row; None for the metric's own.
    """
    found = [(r, f, cell_of(r, f)) for r, f in zip(column.runs, fills, strict=True) if f]
    cell = next((c for _, _, c in found if c.value is not None), found[0][2] if found else Cell())
    if cell.value is None and len(column.runs) > 1 and found and found[0][1].kind == "overall":
        cell = united(column.runs, found[0][1].name) or cell
    return cell if decimals is None else replace(cell, text=number(cell.value, decimals))


def united(runs: Sequence[RunView], name: str) -> Cell | None:
    """An overall whose parts lie in several runs; None when its runs don't say what it is made of.

    The value needs all parts; the interval comes from theirs, as that of an overall in one run does.
    """
    entry = next((r.overalls[name] for r in runs if r.overalls.get(name, {}).get("terms")), None)
    if entry is None:
        return None
    holders = {t["task"]: next((r for r in runs if t["task"] in r.tasks), None) for t in entry["terms"]}
    # A run whose protocol is another than the overall's has tasks of it, but not the overall.
    holders = {t: r if r is not None and name in r.overalls else None for t, r in holders.items()}
    cells, missing = [], []
    for term in entry["terms"]:
        run = holders[term["task"]]
        if run is None:
            missing.append(term["task"])
            continue
        task = run.tasks[term["task"]]
        cell = metric_cell(run, term["task"], task, term["metric"] or task["headline"])
        cells.append((term, cell))
        if cell.value is None:
            missing.append(term["task"])
    if missing:
        note = f"No value without {listed(missing)}."
        return Cell(notes=(f"Formula: {entry['formula']}.", note), footnotes=(note,), metric="overall")
    return _mean(entry, cells, runs)


def _mean(entry: Mapping[str, Any], parts: Sequence[tuple[Mapping[str, Any], Cell]], runs: Any) -> Cell:
    total = 0.0
    for term, cell in parts:
        assert cell.value is not None
        digits = entry.get("round_parts")
        total += (cell.value if digits is None else round_half_up(cell.value, digits)) * term["factor"]
    cells = [c for _, c in parts]
    marks = tuple(dict.fromkeys(m for c in cells for m in c.marks if m in NEVER_BEST))
    notes = [f"From parts in {len(runs)} runs: {listed([r.root.name for r in runs])}."]
    notes += ["At least one part is marked itself: see its own footnote."] * bool(marks)
    notes += ["At least one part has samples without a score."] * any(c.coverage for c in cells)
    value = total / len(parts)
    reach = square_and_add([(c.value or 0.0, c.ci, term["factor"]) for term, c in parts])
    return Cell(
        value=value,
        ci=(value - reach[0], value + reach[1]) if reach else None,
        text=number(value, entry["decimals"]),
        coverage="incomplete" if any(c.coverage for c in cells) else "",
        marks=marks,
        notes=(f"Formula: {entry['formula']}.", *notes),
        footnotes=tuple(notes),
        runs=tuple(r.root.name for r in runs),
        rivals=all(c.rivals for c in cells),
        floor=value,
        signature="overall of: " + "; ".join(c.signature for c in cells),
        metric="overall",
        parts=tuple(c.signature for c in cells),
    )


def _may_be_best(cell: Cell) -> bool:
    return cell.rivals and not NEVER_BEST.intersection(cell.marks) and not cell.coverage


def finished(
    columns: Sequence[Column],
    cells: Sequence[Cell],
    *,
    higher_is_better: bool,
    decimals: int,
    reference: Mapping[str, tuple[str, Cell]] | None = None,
) -> tuple[Cell, ...]:
    """The row's cells, one per column: compared, ranked per `sub`, with differences.

    Args:
        columns: all columns, those of differences included.
        cells: one per column that is none of differences.
        reference: by `sub`, the key of the column that differences are to, and its cell (of a hidden one, too).
    """
    shown = [c for c in columns if c.kind != "delta"]
    out = [replace(c, rivals=_may_be_best(c)) for c in cells]
    for sub in dict.fromkeys(c.sub for c in shown):
        places = [i for i, c in enumerate(shown) if c.sub == sub]
        runs = [i for i in places if shown[i].kind == "run" and not _OTHER_DATA.intersection(out[i].marks)]
        for i, cell in zip(
            runs, compared([out[i] for i in runs], [shown[i].label for i in runs]), strict=True
        ):
            out[i] = cell
        marked = ranked([out[i] for i in places], higher_is_better=higher_is_better, decimals=decimals)
        for i, cell in zip(places, marked, strict=True):
            out[i] = cell
    if not reference:
        return tuple(out)
    by_key = {c.key: cell for c, cell in zip(shown, out, strict=True)}
    deltas = {c.of: _delta(by_key[c.of], *reference[c.sub], decimals) for c in columns if c.kind == "delta"}
    return tuple(
        _difference_cell(deltas[c.of], by_key[c.of], decimals)
        if c.kind == "delta"
        else replace(by_key[c.key], delta=deltas.get(c.key))
        for c in columns
    )


def _delta(cell: Cell, key: str, other: Cell, decimals: int) -> float | None:
    """The difference as a reader of the table finds it, between the numbers as shown; None where it says nothing."""
    if cell.value is None or other.value is None:
        return None
    if NO_DELTA.intersection(set(cell.marks) ^ set(other.marks)) or "not-meaningful" in other.marks:
        return None
    gap = round_half_up(cell.value, decimals) - round_half_up(other.value, decimals)
    return round_half_up(gap, decimals)


def _difference_cell(delta: float | None, of: Cell, decimals: int) -> Cell:
    return Cell(value=delta, text=difference(delta, decimals), delta=delta, runs=of.runs, span=of.span)
