"""A task's number as planning needs it: its scale, its size, what is printed of it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from evalkit.errors import UsageError
from evalkit.pairs import RunSegments, metric_of
from evalkit.published import PublishedRow, find
from evalkit.task import Cell, Task

FAMILY = "Fun-Audio-Chat"
"""Whose printed number stands in for that of a model that has none in a table."""


@dataclass(frozen=True)
class Number:
    """A number of a task, as a run's results or the catalogue describe it.

    Attributes:
        scale, lo, hi: factor to the printed value; range of one sample's value before it.
        pool: name of the pool; strata: does it weigh strata?
        expected: published number of samples, or None.
        cluster: what samples are clustered by, or "".
        cells: printed cells that it fills as a whole.
    """

    task: str
    title: str
    metric: str
    label: str
    unit: str
    scale: float
    lo: float
    hi: float
    pool: str
    expected: int | None
    higher_is_better: bool = True
    cluster: str = ""
    strata: bool = False
    cells: tuple[Cell, ...] = ()

    @property
    def span(self) -> float | None:
        """Length of the printed scale; None where it is open (WER)."""
        if not math.isfinite(self.hi):
            return None
        if self.unit == "%":
            return 100.0
        if ends := re.fullmatch(r"(\d+)-(\d+)", self.unit):
            return float(ends[2]) - float(ends[1])
        return (self.hi - self.lo) * self.scale

    @property
    def bottom(self) -> float:
        """Where the printed scale begins."""
        ends = re.fullmatch(r"(\d+)-(\d+)", self.unit)
        return float(ends[1]) if ends else self.lo * self.scale

    @property
    def is_share(self) -> bool:
        """Is it a mean of values between wrong and right?"""
        return (self.lo, self.hi) == (0.0, 1.0)

    @property
    def is_rating(self) -> bool:
        return self.span is not None and not self.is_share

    @property
    def plain(self) -> bool:
        """Is it the share of samples that are right, each counting alike?"""
        return self.is_share and self.pool == "mean" and not self.strata

    def printed(self, model: str) -> tuple[str, float] | None:
        """The number that the report prints of a model, else of one of its authors' models; with the model's name."""
        rows = [r for r in map(_row, self.cells) if r is not None]
        for row in rows:
            if (value := row.value(model)) is not None:
                return model, value
        size = model.rpartition("-")[2]
        kin = [
            (n, v) for r in rows for n in r.values if n.startswith(FAMILY) and (v := r.value(n)) is not None
        ]
        return min(kin, key=lambda found: found[0].rpartition("-")[2] != size, default=None)


def _row(cell: Cell) -> PublishedRow | None:
    section = find(cell.table, cell.section)
    return section.row(cell.row, cell.language, cell.printed) if section else None


def _cells(task: Task | None, metric: str, headline: bool) -> tuple[Cell, ...]:
    """The cells that a task's metric fills as a whole."""
    if task is None:
        return ()
    return tuple(
        c for c in task.cells if c.group is None and (c.metric == metric or (headline and c.metric is None))
    )


def number_of(task: Task, metric: str | None = None) -> Number:
    """A task's number under its default protocol; None: the headline. Raises UsageError for a metric it hasn't."""
    variant = task.variant(None)[1]
    headline = variant.headline.name
    found = next((m for m in variant.metrics if m.name == (metric or headline)), None)
    if found is None:
        known = ", ".join(m.name for m in variant.metrics)
        raise UsageError(f"{task.name} has no metric {metric!r}; it has: {known}.")
    return Number(
        task.name,
        task.title,
        found.name,
        found.label,
        found.unit,
        found.scale,
        found.lo,
        found.hi,
        found.pool.name,
        task.expected,
        found.higher_is_better,
        task.cluster,
        found.strata is not None,
        _cells(task, found.name, found.name == headline),
    )


def number_in(run: RunSegments, name: str, metric: str | None = None, declared: Task | None = None) -> Number:
    """A task's number as a run has it; None: the headline. Raises UsageError where it has no such."""
    entry = run.entry(name)
    headline = str(entry["headline"])
    called = metric or headline
    found = metric_of(entry, called)
    expected = entry.get("n_expected")
    return Number(
        name,
        str(entry.get("title") or name),
        called,
        str(found["label"]),
        str(found["unit"]),
        float(found.get("scale", 1.0)),
        float(found.get("lo", -math.inf)),
        float(found.get("hi", math.inf)),
        str(found["pool"]),
        int(expected) if expected else None,
        bool(found["higher_is_better"]),
        str(entry.get("cluster") or ""),
        bool(found.get("weights")),
        _cells(declared, called, called == headline),
    )
