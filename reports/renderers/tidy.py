"""A table as tidy CSV and as JSON: one line or object per number, with all that a cell knows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from reports.cells import Cell, Column, Row, Section, Table
from reports.footnotes import noted
from reports.safe import guard, plain

COLUMNS = (
    *("table", "section", "row", "benchmark", "subset", "language", "metric", "unit", "higher_is_better"),
    *("model", "source", "value", "best", "second", "ci_low", "ci_high", "n", "n_scored", "n_errors"),
    *("n_unscored", "n_pending", "delta", "delta_to", "runs", "task", "metric_id", "protocol", "judging"),
    *("signature", "marks", "footnotes"),
)


def _compared_with(table: Table) -> dict[str, str]:
    """By column key, what differences of that column are to."""
    return {c.of: c.note for c in table.columns if c.kind == "delta"}


def _facts(table: Table, section: Section, row: Row, column: Column, cell: Cell) -> dict[str, Any]:
    ours = cell.n is not None
    # A number that stands over a model's columns is of the row's metric, not of the first column's.
    metric = column.sub if column.sub and cell.span == 1 else row.metric
    return {
        "table": table.number or table.key,
        "section": section.title,
        "row": row.label,
        "benchmark": row.benchmark,
        "subset": row.subset,
        "language": row.language,
        "metric": metric,
        "unit": row.unit,
        "higher_is_better": row.higher_is_better,
        "model": column.label,
        "source": column.kind,
        "value": cell.value,
        "text": cell.text,
        "best": cell.best,
        "second": cell.second,
        "ci_low": cell.ci[0] if cell.ci else None,
        "ci_high": cell.ci[1] if cell.ci else None,
        "n": cell.n,
        "n_scored": cell.n_scored,
        "n_errors": cell.n_errors if ours else None,
        "n_unscored": cell.n_unscored if ours else None,
        "n_pending": cell.n_pending if ours else None,
        "delta": cell.delta,
        "delta_to": _compared_with(table).get(column.key, "") if cell.delta is not None else "",
        "runs": list(cell.runs),
        "task": cell.task,
        "metric_id": cell.metric,
        "protocol": cell.protocol,
        "judging": cell.judging,
        "signature": cell.signature,
        "marks": list(cell.marks),
        "footnotes": list(dict.fromkeys((*column.notes, *cell.footnotes))),
    }


def facts(table: Table) -> Iterator[dict[str, Any]]:
    """One dict per cell that is shown, keys as in `COLUMNS`; dashes have no value."""
    for section in table.sections:
        for row in section.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                if cell.span and column.kind != "delta":
                    yield _facts(table, section, row, column, cell)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        value = " ".join(value)
    if value is None or isinstance(value, bool | int | float):
        return "" if value is None else value
    return guard(value)


def csv_text(table: Table) -> str:
    """Tidy CSV: numbers as numbers, text that no spreadsheet takes for a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for fact in facts(table):
        writer.writerow([_plain(fact[name]) for name in COLUMNS])
    return out.getvalue()


def json_object(table: Table) -> dict[str, Any]:
    """The table as JSON: columns, heads, sections of rows of cells, footnotes."""
    notes = noted(table)
    columns = [
        {
            "key": c.key,
            "label": c.label,
            "kind": c.kind,
            "sub": c.sub,
            "of": c.of,
            "runs": list(c.runs),
            "footnotes": list(notes.over(c)),
        }
        for c in table.columns
    ]
    return {
        "table": table.number or table.key,
        "title": table.title,
        "caption": table.caption,
        "columns": columns,
        "heads": [{"label": h.label, "texts": list(h.texts)} for h in table.heads],
        "sections": [
            {"title": s.title, "rows": [_row_object(table, s, r) for r in s.rows]} for s in table.sections
        ],
        "footnotes": dict(notes.notes),
        "notes": list(table.notes),
    }


def _row_object(table: Table, section: Section, row: Row) -> dict[str, Any]:
    about = ("metric", "unit", "higher_is_better", "benchmark", "subset", "language")
    cells = []
    for column, cell in zip(table.columns, row.cells, strict=True):
        if cell.span:
            fact = _facts(table, section, row, column, cell)
            kept = {
                k: v
                for k, v in fact.items()
                if k not in (*about, "table", "section", "row", "model", "source")
            }
            cells.append({"column": column.key, "span": cell.span, **kept})
    return {
        "label": row.label,
        **{k: getattr(row, k) for k in about},
        "decimals": row.decimals,
        "cells": cells,
    }


def json_text(table: Table) -> str:
    return json.dumps(plain(json_object(table)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
