"""What of a run stands in a printed row: a task, one of its metrics or groups, or an overall."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from evalkit import published as paper
from reports.cells import Cell
from reports.makers import metric_cell, overall_cell
from reports.runs import RunView


@dataclass(frozen=True)
class Fill:
    """What fills a printed row in a run.

    Attributes:
        kind: "task" or "overall".
        metric: one of the task's metrics; None: its headline.
        group: (key, name) of one of the task's groups; None: the whole task.
    """

    kind: str
    name: str
    metric: str | None = None
    group: tuple[str, str] | None = None

    def settles(self, run: RunView) -> tuple[str, str] | None:
        """What needs no other row once this one stands: a task by its headline, one of its metrics, an overall."""
        if self.group is not None:
            return None
        if self.metric is None or self.metric == run.tasks[self.name]["headline"]:
            return self.kind, self.name
        return f"metric {self.metric}", self.name


def of_benchmark(run: RunView, benchmark: str) -> dict[str, Mapping[str, Any]]:
    """The run's tasks of a benchmark."""
    return {n: e for n, e in run.tasks.items() if e["benchmark"] == benchmark}


def overalls_of(run: RunView, benchmark: str) -> list[str]:
    """Names of the run's overalls of a benchmark."""
    return [n for n, o in run.overalls.items() if o["parts"] and o["parts"][0].split("/")[0] == benchmark]


def fill_of(
    run: RunView, row: paper.PublishedRow, benchmark: str | None = None, table: str | None = None
) -> Fill | None:
    """What fills a printed row in a run; with `benchmark` only of that, with `table` only what names that table."""
    tasks = run.tasks if benchmark is None else of_benchmark(run, benchmark)
    overalls = list(run.overalls) if benchmark is None else overalls_of(run, benchmark)
    kinds: Iterable[tuple[str, str, Mapping[str, Any]]] = [
        *(("task", n, e) for n, e in tasks.items()),
        *(("overall", n, run.overalls[n]) for n in overalls),
    ]
    for kind, name, entry in kinds:
        for c in entry.get("cells") or ():
            if (
                table in (None, str(c["table"]))
                and names_row(c, row)
                and (kind == "overall" or _holds(entry, c))
            ):
                group = c.get("group")
                return Fill(kind, name, c.get("metric"), (group[0], group[1]) if group else None)
    return None


def names_row(cell: Mapping[str, Any], row: paper.PublishedRow) -> bool:
    """Is it this row, in whichever table, that a task's cell names?"""
    return (
        cell["section"] == row.section
        and row.called(cell["row"])
        and cell.get("language") in (None, row.language)
        and cell.get("printed") in (None, row.metric)
    )


def _holds(entry: Mapping[str, Any], cell: Mapping[str, Any]) -> bool:
    """Has the run the metric and the group that this cell is filled by?"""
    if (metric := cell.get("metric")) and metric not in entry["metrics"]:
        return False
    key, name = cell.get("group") or (None, None)
    return key is None or name in (entry.get("groups") or {}).get(key, {})


def cell_of(run: RunView, fill: Fill) -> Cell:
    """The cell that a fill gives."""
    if fill.kind == "overall":
        return overall_cell(run, fill.name)
    entry = run.tasks[fill.name]
    return metric_cell(run, fill.name, entry, fill.metric or entry["headline"], fill.group)
