"""A table as Markdown and as CSV text, for the copy buttons and for pull requests."""

from __future__ import annotations

import csv
import io

from reports.cells import Cell, Column, Row, Table, pair
from reports.safe import guard, visible


def _pipe(text: str) -> str:
    shown = visible(text).replace("\n", " ")
    for character in ("\\", "|", "*", "_", "`", "<", "["):
        shown = shown.replace(character, "\\" + character)
    return shown


def _head(column: Column) -> str:
    return f"{column.label} ({', '.join(column.tags)})" if column.tags else column.label


def _label(row: Row) -> str:
    return f"{row.label} ({row.metric})"


def _markdown_cell(cell: Cell, decimals: int) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text
    if cell.ci:
        text += " " + pair(cell.ci, decimals).replace("[", "\\[")
    if cell.coverage:
        text += f" ({cell.coverage})"
    if "not-meaningful" in cell.marks:
        text += " (not meaningful)"
    return text


def markdown(table: Table) -> str:
    """One Markdown table per section."""
    head = "| | " + " | ".join(_pipe(_head(c)) for c in table.columns) + " |"
    rule = "|---|" + "---:|" * len(table.columns)
    blocks = [f"### {_pipe(table.title)}"]
    for section in table.sections:
        lines = [f"**{_pipe(section.title)}**", "", head, rule]
        for row in section.rows:
            cells = " | ".join(_markdown_cell(c, row.decimals) for c in row.cells)
            lines.append(f"| {_pipe(_label(row))} | {cells} |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def csv_text(table: Table) -> str:
    """The table as it looks: one line per row, one column per model, values only."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["section", "row", "metric", *(guard(_head(c)) for c in table.columns)])
    for section in table.sections:
        for row in section.rows:
            values = ["" if c.value is None else c.text for c in row.cells]
            writer.writerow([guard(section.title), guard(row.label), guard(row.metric), *values])
    return out.getvalue()
