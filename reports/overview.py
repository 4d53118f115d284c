"""The first screen: one sentence of verdict, a few figures, and a strip per task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reports.cells import Cell, Row, Table, number
from reports.runs import RunView, headline
from reports.tables import alike, short_title

_APART = {"not-meaningful", "smoke", "limited", "count", "own-data"}
"""Marks of values that no sentence sets beside a printed one."""


@dataclass(frozen=True)
class Dot:
    """A printed value on a strip, at `x` percent of its width."""

    x: float
    text: str


@dataclass(frozen=True)
class Mark:
    """One of our values on a strip: place, interval (both in percent), and what stands beside it."""

    x: float
    lo: float
    hi: float
    cell: Cell
    run: int
    label: str


@dataclass(frozen=True)
class Strip:
    """A row of the overview: what is measured, the printed values, ours.

    `where` names the row's section in a table that has rows of the same name in others.
    """

    row: Row
    dots: tuple[Dot, ...]
    marks: tuple[Mark, ...]
    cells: tuple[tuple[int, Cell], ...]
    link: str
    where: str = ""


@dataclass(frozen=True)
class Figure:
    """A large number with a caption and a smaller remark."""

    value: str
    caption: str
    remark: str = ""


def span(row: Row) -> tuple[float, float]:
    """The ends of a row's scale; an open one runs from 0 to a little above the largest value."""
    if row.scale is not None:
        return row.scale
    values = [v for c in row.cells for v in (c.value, *(c.ci or ())) if v is not None]
    return 0.0, max([1e-9, *values]) * 1.08


def place(value: float, row: Row) -> float:
    """Where a value stands on its row's scale, in percent."""
    lo, hi = span(row)
    return round(100 * min(1.0, max(0.0, (value - lo) / ((hi - lo) or 1.0))), 2)


def _strip(table: Table, row: Row) -> Strip | None:
    ours = [(i, c) for i, c in enumerate(row.cells) if table.columns[i].kind == "run"]
    ours = [(i, c) for i, c in ours if c.n is not None or c.signature]
    if not ours:
        return None
    dots = tuple(
        Dot(place(c.value, row), f"{table.columns[i].label} {c.text}")
        for i, c in enumerate(row.cells)
        if table.columns[i].kind == "published" and c.value is not None
    )
    place_of = {i: int(table.columns[i].key.removeprefix("r")) - 1 for i, _ in ours}
    marks = tuple(
        Mark(
            place(c.value, row),
            place(c.ci[0] if c.ci else c.value, row),
            place(c.ci[1] if c.ci else c.value, row),
            c,
            place_of[i],
            table.columns[i].label,
        )
        for i, c in ours
        if c.value is not None
    )
    return Strip(
        row,
        dots,
        marks,
        tuple((place_of[i], c) for i, c in ours),
        next((c.link for _, c in ours if c.link), ""),
    )


def strips(table: Table) -> list[Strip]:
    """The rows of a table that our runs fill, headline metrics only."""
    told = alike(table)
    found = []
    for section in table.sections:
        for row in section.rows if not section.aside else ():
            if (strip := _strip(table, row)) is not None:
                where = short_title(section) if told and not row.overall else ""
                found.append(replace(strip, where=where))
    return found


def _signed(gap: float, decimals: int) -> str:
    text = number(abs(gap), decimals)
    return f"{text} above" if gap > 0 else f"{text} below" if gap < 0 else "equal to"


def _compare(table: Table, column: int, reference: str) -> tuple[list[str], list[int]]:
    """Sentences on overalls, and [above, below, outside the interval] over the other rows."""
    theirs = next(
        (i for i, c in enumerate(table.columns) if c.kind == "published" and c.label == reference), None
    )
    sentences: list[str] = []
    counts = [0, 0, 0]
    for row in table.rows():
        ours = row.cells[column]
        printed = row.cells[theirs] if theirs is not None else None
        if ours.value is None or _APART & set(ours.marks):
            continue
        if row.overall and (printed is None or printed.value is None):
            sentences.append(f"{table.title} overall {ours.text}")
        if printed is None or printed.value is None:
            continue
        gap = float(number(ours.value, row.decimals)) - printed.value
        if row.overall:
            where = _signed(gap, row.decimals)
            join = "" if gap == 0 else ","
            name = f"{table.title} overall {ours.text}{' (incomplete)' if ours.coverage else ''}"
            sentences.append(f"{name}{join} {where} the printed {printed.text}")
            continue
        better = (gap > 0) == row.higher_is_better
        counts[0 if better else 1] += gap != 0
        counts[2] += ours.ci is not None and not ours.ci[0] <= printed.value <= ours.ci[1]
    return sentences, counts


def verdict(run: RunView, tables: Sequence[Table], reference: str) -> str:
    """One sentence on a run: where it stands against one printed model, or why it stands nowhere."""
    if run.demo:
        shown = f"{run.label} is the embedded demo: it shows the pipeline from end to end"
        return f"{shown}, and its numbers compare with nothing."
    if run.smoke:
        return f"{run.label} ran on the smoke data: this shows that the pipeline works, and measures nothing."
    sentences: list[str] = []
    better = worse = outside = 0
    for table in tables:
        column = next((i for i, c in enumerate(table.columns) if c.key == run.key), None)
        if column is None:
            continue
        found, counts = _compare(table, column, reference)
        sentences += found
        better, worse, outside = better + counts[0], worse + counts[1], outside + counts[2]
    if better + worse:
        rows = f"better than {reference} as printed in {better} of {better + worse} rows"
        verb = "reach" if outside > 1 else "reaches"
        clear = f"{outside or 'none'} of the gaps {verb} beyond the 95\u00a0% interval"
        sentences.append(f"{rows}, and {clear}")
    if not sentences:
        tasks = len(run.tasks)
        scored = f"{run.label}: {tasks} task{'' if tasks == 1 else 's'} scored"
        return f"{scored}; none of the numbers can stand beside a printed one."
    text = "; ".join(sentences)
    return f"{text[0].upper()}{text[1:]}."


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
    )


def figures(run: RunView) -> list[Figure]:
    """Tasks, samples, what is missing, time and cost where the manifest knows them."""
    heads: list[Mapping[str, Any]] = [headline(e) for e in run.tasks.values()]
    total, scored = sum(m["n"] for m in heads), sum(m["n_scored"] for m in heads)
    valued = sum(m["value"] is not None for m in heads)
    lost = [
        f"{sum(m[key] for m in heads):,} {word}"
        for key, word in (("n_unscored", "unscored"), ("n_errors", "errored"), ("n_pending", "not run"))
        if sum(m[key] for m in heads)
    ]
    out = [
        Figure(
            f"{valued}",
            "task with a score" if valued == 1 else "tasks with a score",
            f"of {len(heads)}" if valued != len(heads) else "",
        ),
        Figure(f"{scored:,}", "samples scored", f"of {total:,}" if scored != total else "all of them"),
        Figure(f"{total - scored:,}", "without a score", ", ".join(lost)),
    ]
    if run.seconds is not None:
        sessions = len(run.sessions)
        out.append(
            Figure(_duration(run.seconds), "wall time", f"in {sessions} sessions" if sessions > 1 else "")
        )
    from reports.costs import spent

    if (cost := spent(run)) is not None:
        out.append(Figure(*cost))
    return out
