"""What stands beside every number: how many samples were scored, and what became of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.cells import Cell, Table
from reports.runs import RunView, headline

WORDS = (("unscored", "unscored"), ("errors", "errored"), ("pending", "not run"))


@dataclass(frozen=True)
class Coverage:
    """Samples of one number, by what became of them."""

    n: int
    scored: int
    unscored: int = 0
    errors: int = 0
    pending: int = 0

    @property
    def complete(self) -> bool:
        return self.scored == self.n

    @property
    def short(self) -> str:
        """ "553/553"."""
        return f"{self.scored:,}/{self.n:,}"

    @property
    def lost(self) -> str:
        """ "2 errored, 1 unscored"; "" when nothing is missing."""
        return ", ".join(f"{getattr(self, key):,} {word}" for key, word in WORDS if getattr(self, key))

    @property
    def told(self) -> str:
        """ "551 scored, 0 unscored, 2 errored": all three, also where they are none."""
        told = f"{self.scored:,} scored, {self.unscored:,} unscored, {self.errors:,} errored"
        return told + (f", {self.pending:,} not run" if self.pending else "")


def of_metric(m: Mapping[str, Any]) -> Coverage:
    """Of a metric of results.json."""
    return Coverage(m["n"], m["n_scored"], m["n_unscored"], m["n_errors"], m["n_pending"])


def of_overall(run: RunView, overall: Mapping[str, Any]) -> Coverage | None:
    """The samples of all parts together, by each part's headline; None where no part is known."""
    names = [str(p) for p in overall.get("parts") or ()]
    found = [of_metric(headline(run.tasks[n])) for n in dict.fromkeys(names) if n in run.tasks]
    if not found:
        return None
    fields = ("n", "scored", "unscored", "errors", "pending")
    return Coverage(*(sum(getattr(c, f) for c in found) for f in fields))


def of_cells(tables: Sequence[Table], runs: Sequence[RunView]) -> dict[int, Coverage]:
    """By the identity of each cell that is ours and has samples; an overall's are those of its parts."""
    by_key = {r.key: r for r in runs}
    out: dict[int, Coverage] = {}
    for table in tables:
        for row in table.rows():
            for column, cell in zip(table.columns, row.cells, strict=True):
                found = _of_cell(cell, by_key.get(column.key))
                if found is not None:
                    out[id(cell)] = found
    return out


def _of_cell(cell: Cell, run: RunView | None) -> Coverage | None:
    if cell.n is not None and cell.n_scored is not None:
        return Coverage(cell.n, cell.n_scored, cell.n_unscored, cell.n_errors, cell.n_pending)
    if run is None or cell.metric != "overall":
        return None
    name = cell.signature.removeprefix("overall ").partition(",")[0]
    return of_overall(run, run.overalls[name]) if name in run.overalls else None
