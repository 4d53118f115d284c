"""Tidy CSV: one row per number, and one row per sample. For spreadsheets and pandas without options.

Numbers are written as numbers. Text that came from a model or a data set is made harmless first: no cell
starts a formula, no control character survives unseen.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.records import Score
from reports.audits import csv_tables
from reports.cells import Cell, Row, Table
from reports.costs import COLUMNS as COST_COLUMNS
from reports.costs import csv_rows
from reports.runs import RunView
from reports.safe import as_text, guard, slug
from reports.samples import read_samples

RESULT_COLUMNS = (
    "benchmark",
    "section",
    "row",
    "task",
    "metric",
    "metric_id",
    "unit",
    "higher_is_better",
    "model",
    "source",
    "value",
    "ci_low",
    "ci_high",
    "bound_low",
    "bound_high",
    "n",
    "n_scored",
    "n_errors",
    "n_unscored",
    "n_pending",
    "demo",
    "meaningful",
    "protocol",
    "judging",
    "signature",
    "notes",
)


CELL_LIMIT = 32_000
"""Characters of a cell: spreadsheets hold 32,767."""


def _cell(value: Any) -> Any:
    """A value for the csv module: numbers and booleans untouched, text guarded, None empty."""
    if value is None or isinstance(value, bool | int | float):
        return "" if value is None else value
    text = as_text(value)
    if len(text) > CELL_LIMIT:
        text = f"{text[:CELL_LIMIT]} [cut: {len(text)} characters, all of them in responses.jsonl]"
    return guard(text)


def _write(path: Path, header: Sequence[str], rows: Iterator[Sequence[Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([_cell(h) for h in header])
        writer.writerows([_cell(v) for v in row] for row in rows)
    return path


def _result_row(table: Table, section: str, row: Row, cell: Cell, index: int) -> list[Any]:
    column = table.columns[index]
    ci, bounds = cell.ci or (None, None), cell.bounds or (None, None)
    ours = column.kind == "run"
    return [
        table.key,
        section,
        row.label,
        cell.task or row.task,
        row.metric,
        cell.metric or None,
        row.unit,
        row.higher_is_better,
        column.label,
        column.kind,
        cell.value,
        *ci,
        *bounds,
        cell.n,
        cell.n_scored,
        *((cell.n_errors, cell.n_unscored, cell.n_pending) if cell.n is not None else (None, None, None)),
        column.demo if ours else None,
        "not-meaningful" not in cell.marks if ours else None,
        cell.protocol,
        cell.judging,
        cell.signature,
        " ".join(cell.notes),
    ]


def write_results(table: Table, path: Path) -> Path:
    """One row per task, metric and model of a benchmark, printed numbers included."""

    def rows() -> Iterator[list[Any]]:
        for section in table.sections:
            for row in section.rows:
                for index, cell in enumerate(row.cells):
                    if cell.value is not None or cell.signature:
                        yield _result_row(table, section.title, row, cell, index)

    return _write(path, RESULT_COLUMNS, rows())


_EXTRAS: Mapping[str, Callable[[Score], Any]] = {
    "error_type": lambda s: s.detail.get("error_type"),
    "touched": lambda s: s.touched,
}
"""Columns that a metric gets when one of its verdicts has such a thing: a checker's code, a scorer's defect."""


def write_samples(runs: Sequence[RunView], task: str, path: Path) -> Path:
    """One row per sample (and run) of a task, with every verdict and why there is none."""
    having = [r for r in runs if task in r.tasks]
    views = [(run, v) for run in having for v in read_samples(run, task)]
    metrics = list(dict.fromkeys(m for r in having for m in _verdict_columns(r, task)))
    held = {(s.metric, name) for _, v in views for s in v.scores for name, get in _EXTRAS.items() if get(s)}
    extras = [(m, name) for m in metrics for name in _EXTRAS if (m, name) in held]
    header = ["run", "model", "sample_id", "status", "question", "target", "text", "transcript", "value"]
    header += [*metrics, *(f"{m}_reason" for m in metrics), *(f"{m}_{name}" for m, name in extras)]
    header += ["error", "sent_seconds", "response"]

    def rows() -> Iterator[list[Any]]:
        for run, v in views:
            found = {s.metric: s for s in v.scores}
            error = v.line.get("error")
            sent = v.line.get("sent") or []
            yield [
                run.root.name,
                run.label,
                v.id,
                v.status,
                v.asked.get("question"),
                v.asked.get("target"),
                v.line.get("text"),
                v.transcript.text if v.transcript else None,
                v.value,
                *(found[m].value if m in found else None for m in metrics),
                *(found[m].reason if m in found else None for m in metrics),
                *(_EXTRAS[name](found[m]) if m in found else None for m, name in extras),
                f"{error.get('kind')}: {error.get('message')}" if error else None,
                sum(float(s.get("seconds") or 0.0) for s in sent) if sent else None,
                v.line.get("response"),
            ]

    return _write(path, header, rows())


def _verdict_columns(run: RunView, task: str) -> Iterator[str]:
    """Names of the verdicts that the task's metrics pool."""
    for name, metric in run.tasks[task]["metrics"].items():
        yield from metric.get("reads") or [name]


def write_csv(
    runs: Sequence[RunView], tables: Sequence[Table], out: Path, *, samples: bool = True
) -> list[Path]:
    """`results_<benchmark>.csv`, `costs.csv` where something was asked, and, with `samples`, `samples_<task>.csv`."""
    written = [write_results(t, out / f"results_{slug(t.key)}.csv") for t in tables]
    if costs := list(csv_rows(runs)):
        written.append(_write(out / "costs.csv", COST_COLUMNS, iter(costs)))
    written += [_write(out / name, header, iter(rows)) for name, header, rows in csv_tables(runs)]
    for task in dict.fromkeys(t for r in runs for t in r.tasks) if samples else ():
        written.append(write_samples(runs, task, out / f"samples_{slug(task)}.csv"))
    return written
