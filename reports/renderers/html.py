"""A table as one small page: no script, no request, light and dark, ready to print."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from reports.cells import Cell, Column, Row, Table
from reports.footnotes import noted
from reports.renderers.common import has_subs, head_groups, heading, interval, second, spans, stubs
from reports.templating import templates

if TYPE_CHECKING:
    from jinja2 import Template


@cache
def _template() -> Template:
    return templates().get_template("papertable.html.j2")


def _about(column: Column, row: Row, cell: Cell) -> str:
    """What a reader may ask of a number: how many samples, which runs, how it was made."""
    if column.kind == "delta":
        return f"{row.label}: difference to {column.note}" if cell.value is not None else ""
    parts = []
    if cell.n is not None:
        parts.append(f"n = {cell.n:,}" + (f", {cell.coverage} scored" if cell.coverage else ""))
    if cell.ci:
        parts.append(f"95 % interval {cell.ci[0]:.{row.decimals}f} to {cell.ci[1]:.{row.decimals}f}")
    if cell.runs:
        parts.append(f"run {', '.join(cell.runs)}")
    if cell.signature:
        parts.append(cell.signature)
    return "\n".join(parts)


def _sections(table: Table) -> list[dict[str, Any]]:
    notes, out = noted(table), []
    for section in table.sections:
        rows = []
        for row, before in zip(section.rows, stubs(section), strict=True):
            cells = [
                {
                    "kind": column.kind,
                    "span": cell.span,
                    "text": cell.text,
                    "best": cell.best,
                    "second": second(table, cell),
                    "ci": interval(table, row, cell),
                    "letters": notes.at(column, cell),
                    "about": _about(column, row, cell),
                }
                for _, column, cell in spans(row, table.columns)
            ]
            rows.append({"label": row.label, "before": before, "overall": row.overall, "cells": cells})
        out.append({"title": heading(section), "rows": rows})
    return out


def html(table: Table) -> str:
    """The page. Its policy allows the style sheet in it, by its hash, and nothing else."""
    style = "\n" + resources.files("reports").joinpath("static", "papertable.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    notes = noted(table)
    return _template().render(
        table=table,
        style=_Markup(style),
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        subs=has_subs(table),
        heads=[(c, width, notes.over(c)) for c, width in head_groups(table)],
        sections=_sections(table),
        footnotes=notes.notes,
        width=len(table.stub) + len(table.columns),
    )


class _Markup(str):
    """The packaged style sheet, which needs no escaping."""

    def __html__(self) -> str:
        return str(self)
