"""Tidy CSV: one row per comparison, and one row per sample and comparison, with both answers."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TextIO

from evalkit.records import JSON
from evalkit.stats import json_number
from reports.comparison.jsonout import line_json
from reports.comparison.model import Comparison, Line, Side
from reports.safe import as_text, guard, shorten
from reports.samples import SampleView, read_samples

COLUMNS = (
    *(
        "a",
        "b",
        "label_a",
        "label_b",
        "kind",
        "benchmark",
        "task",
        "metric",
        "label",
        "unit",
        "group_key",
        "group",
    ),
    *(
        "higher_is_better",
        "paired",
        "verdict",
        "value_a",
        "value_b",
        "delta",
        "ci_low",
        "ci_high",
        "ci_method",
    ),
    *(
        "p",
        "p_holm",
        "family",
        "test",
        "n",
        "clusters",
        "clustered_by",
        "printed_n",
        "wins",
        "losses",
        "ties",
        "effect",
    ),
    *("effect_name", "se", "whole_a", "whole_b", "bound_low", "bound_high", "n_a", "scored_a", "unscored_a"),
    *("errored_a", "pending_a", "only_a", "unpaired_a", "n_b", "scored_b", "unscored_b", "errored_b"),
    *("pending_b", "only_b", "unpaired_b", "refused", "allowed", "marks", "why"),
)
PAIR_COLUMNS = (
    *("a", "b", "task", "metric", "sample_id", "outcome", "status_a", "status_b", "value_a", "value_b"),
    *("question", "target", "text_a", "text_b", "transcript_a", "transcript_b"),
)
CELL_LIMIT = 32_000
"""Characters of a cell: spreadsheets hold 32,767."""


def _cell(value: Any) -> Any:
    """Numbers and booleans untouched, text guarded, None empty."""
    if value is None or isinstance(value, bool | int | float):
        return "" if value is None else value
    return guard(shorten(as_text(value), CELL_LIMIT))


def _write(file: TextIO, header: Sequence[str], rows: Iterator[Sequence[Any]]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(v) for v in row] for row in rows)


def write_lines(c: Comparison, file: TextIO) -> None:
    """One row per line of the comparison."""
    _write(file, COLUMNS, line_rows(c))


def _row(line: Line, c: Comparison) -> list[Any]:
    held: dict[str, Any] = dict(line_json(line, c, samples=False))
    held |= {"label_a": c.by_key[line.a].label, "label_b": c.by_key[line.b].label}
    held["group_key"], held["group"] = line.group or (None, None)
    for name, key in (("ci", "ci"), ("bound", "bound")):
        held[f"{name}_low"], held[f"{name}_high"] = held[key] or (None, None)
    for side in "ab":
        found: Mapping[str, JSON] = held[f"coverage_{side}"] or {}
        held |= {f"{k}_{side}": v for k, v in found.items()}
    for name in ("refused", "allowed"):
        held[name] = ",".join(p["part"] for p in held[name])
    held["marks"] = ",".join(held["marks"])
    return [held.get(k) for k in COLUMNS]


def write_pairs(c: Comparison, file: TextIO) -> None:
    """One row per sample of each task and metric compared; samples without a pair have the outcome "unpaired"."""
    _write(file, PAIR_COLUMNS, pair_rows(c))


def line_rows(c: Comparison) -> Iterator[list[Any]]:
    """Rows of `COLUMNS`, one per line."""
    yield from (_row(x, c) for x in c.lines)


def pair_rows(c: Comparison) -> Iterator[list[Any]]:
    """Rows of `PAIR_COLUMNS`, texts as they are; a task's texts are read when its rows are asked for."""
    having = [x for x in c.lines if x.pairs is not None and x.kind in ("task", "metric")]
    for (a, b, task), lines in groupby(having, key=lambda x: (x.a, x.b, x.task)):
        one, two = _said(c.by_key[a], task), _said(c.by_key[b], task)
        for line in lines:
            yield from _rows_of(line, one, two)


Said = Mapping[str, tuple[str, str, str, str]]
"""By sample: question, target, text and transcript."""


def _said(side: Side, task: str) -> Said:
    if side.view is None:
        return {}
    return {v.id: _texts(v) for v in read_samples(side.view, task)}


def _texts(view: SampleView) -> tuple[str, str, str, str]:
    return (
        as_text(view.asked.get("question")),
        as_text(view.asked.get("target")),
        as_text(view.line.get("text")) if not view.line.get("error") else "",
        view.transcript.text if view.transcript else "",
    )


def _rows_of(line: Line, one: Said, two: Said) -> Iterator[list[Any]]:
    assert line.pairs is not None
    names = {1: "win", -1: "loss", 0: "tie"}
    nothing = ("", "", "", "")

    def row(i: str, outcome: str, statuses: tuple[str, str], values: tuple[Any, Any]) -> list[Any]:
        x, y = one.get(i, nothing), two.get(i, nothing)
        texts = [x[0] or y[0], x[1] or y[1], x[2], y[2], x[3], y[3]]
        return [line.a, line.b, line.task, line.metric, i, outcome, *statuses, *values, *texts]

    for k, i in enumerate(line.pairs.ids):
        values = json_number(float(line.pairs.a[k])), json_number(float(line.pairs.b[k]))
        yield row(i, names[int(line.pairs.outcome[k])], ("scored", "scored"), values)
    for i, a, b in line.pairs.missing:
        yield row(i, "unpaired", (a, b), (None, None))
