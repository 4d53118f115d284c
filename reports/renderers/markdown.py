"""A table as GitHub's Markdown: one pipe table with its sections as bold lines, footnotes below it."""

from __future__ import annotations

import re

from reports.cells import Cell, Column, Row, Table
from reports.footnotes import Noted, noted
from reports.renderers.common import flat_head, heading, interval, second, spans, stubs
from reports.safe import visible

_SPECIAL = re.compile(r"([\\|*_`<>\[\]~#&$@!]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
_STARTS = re.compile(r"\s*(?:[-+=]|\d+(?=[.)]))")
"""What at the start of a paragraph would make it a list or an underline."""


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: nothing in it starts a cell, a mark, a link, HTML or a mention."""
    return _SPECIAL.sub(lambda m: "&#64;" if m[0] == "@" else "\\" + m[0], visible(text).replace("\n", " "))


def _paragraph(text: str) -> str:
    """Text that stands as a paragraph of its own."""
    text = escaped(text).strip()
    return (
        text
        if not (m := _STARTS.match(text))
        else (f"\\{text}" if not m[0][-1].isdigit() else f"{m[0]}\\{text[m.end() :]}")
    )


def _letters(letters: tuple[str, ...]) -> str:
    return f"<sup>{','.join(letters)}</sup>" if letters else ""


def _cell(table: Table, notes: Noted, row: Row, column: Column, cell: Cell) -> str:
    text = escaped(cell.text)
    if cell.best:
        text = f"**{text}**"
    elif second(table, cell):
        text = f"<ins>{text}</ins>"
    if shown := interval(table, row, cell):
        text += " " + escaped(shown)
    return text + _letters(notes.at(column, cell))


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def markdown(table: Table) -> str:
    """The table under a heading; ends with a line feed."""
    notes, width = noted(table), len(table.columns)
    heads = [escaped(flat_head(c)) + _letters(notes.over(c)) for c in table.columns]
    lines = [_line([*map(escaped, table.stub), *heads]), "|" + "---|" * len(table.stub) + "---:|" * width]
    blanks = [""] * (len(table.stub) - 1)
    lines += [_line([escaped(h.label), *blanks, *map(escaped, h.texts)]) for h in table.heads]
    for section in table.sections:
        if title := heading(section):
            lines.append(_line([f"**{escaped(title)}**", *blanks, *[""] * width]))
        for row, before in zip(section.rows, stubs(section), strict=True):
            shown = {
                i: _cell(table, notes, row, column, cell) for i, column, cell in spans(row, table.columns)
            }
            lines.append(_line([*map(escaped, before), *(shown.get(i, "") for i in range(width))]))
    parts = [f"### {escaped(table.name)}", _paragraph(table.caption), "\n".join(lines)]
    below = [f"<sup>{mark}</sup> {escaped(text)}" for mark, text in notes.notes.items()]
    parts.append("  \n".join([*map(escaped, table.notes), *below]))
    return "\n\n".join(p for p in parts if p) + "\n"
