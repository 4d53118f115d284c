"""The table on the console: aligned, plain when not a terminal, readable in any encoding."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from reports.cells import Cell, Row, number, pair
from reports.runs import RunView
from reports.safe import visible
from reports.tables import build_tables

REMARK = 7
REFERENCE = "Fun-Audio-Chat-8B"
_BOLD, _DIM, _AMBER, _OFF = "\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[0m"
_ASCII = {"\u2013": "-", "\u2026": "...", "\u00d7": "x", "\u2212": "-"}


def width(text: str) -> int:
    """Columns a text takes in a terminal."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def use_colour(stream: TextIO) -> bool:
    """True for a terminal, unless NO_COLOR says otherwise."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _remarks(cell: Cell) -> str:
    parts = []
    if cell.n_errors:
        parts.append(f"{cell.n_errors} errored")
    if cell.n_unscored:
        parts.append(f"{cell.n_unscored} unscored")
    if cell.n_pending:
        parts.append(f"{cell.n_pending} not run yet")
    if cell.coverage == "incomplete":  # an overall without one of its parts
        parts.append("incomplete")
    names = {
        "not-meaningful": "judge not meaningful",
        "withheld": "withheld",
        "smoke": "smoke data",
        "limited": "partial data",
        "count": "count differs",
        "protocol": cell.protocol,
    }
    return ", ".join(parts + [names[m] for m in cell.marks if m in names])


def _line(row: Row, cell: Cell, printed: Cell | None, again: bool) -> tuple[str, ...]:
    bounds = pair(cell.bounds, row.decimals) if cell.coverage and cell.bounds else ""
    count = f"{cell.n_scored}/{cell.n}" if cell.n is not None else ""
    return (
        "" if again else "  " + visible(row.label),
        "" if row.overall else visible(row.metric),
        number(cell.value, row.decimals),
        pair(cell.ci, row.decimals),
        count,
        bounds,
        printed.text if printed is not None and printed.value is not None else "",
        _remarks(cell),
    )


def _align(lines: Sequence[tuple[str, ...]]) -> list[list[str]]:
    """Pad every column but the last; numbers to the right, words to the left."""
    left = {0, 1, 3, 5, 7}
    widths = [max(width(line[i]) for line in lines) for i in range(len(lines[0]))]
    out = []
    for line in lines:
        cells = []
        for i, text in enumerate(line):
            pad = " " * (widths[i] - width(text))
            cells.append(text + pad if i in left else pad + text)
        out.append(cells)
    return out


def _left_out(lines: Sequence[tuple[str, ...]], columns: int | None) -> set[int]:
    """The columns a block does without to fit into `columns`, short remarks included.

    Bounds go first, because the count says that something is missing; then the printed numbers. The score, its
    interval and its count always stay.
    """
    widths = [max(width(line[i]) for line in lines) for i in range(REMARK)]
    for out in (set[int](), {5}):
        if columns is None or sum(w + 2 for i, w in enumerate(widths) if i not in out) + 12 <= columns:
            return out
    return {5, 6}


def _paint(cells: list[str], head: bool, colour: bool, out: set[int], columns: int | None) -> str:
    """One row; a remark that doesn't fit beside it stands below it."""
    plain = "  ".join(c for i, c in enumerate(cells) if i not in out).rstrip()
    remark = cells[REMARK].rstrip()
    below = bool(remark) and columns is not None and width(plain) > columns
    painted = list(cells)
    if colour and head:
        painted = [_BOLD + cells[0] + _OFF, *(_DIM + c + _OFF for c in cells[1:])]
    elif colour:
        painted[2] = _BOLD + cells[2] + _OFF
        painted[3], painted[5] = _DIM + cells[3] + _OFF, _DIM + cells[5] + _OFF
        if remark:
            painted[REMARK] = _AMBER + remark + _OFF
    kept = [c for i, c in enumerate(painted) if i not in out and not (below and i == REMARK)]
    text = "  ".join(kept).rstrip()
    return f"{text}\n    {painted[REMARK]}".rstrip() if below else text


def console_table(
    results: Mapping[str, Any],
    published: Sequence[str] | None = None,
    *,
    reference: str = REFERENCE,
    colour: bool = False,
    columns: int | None = None,
) -> str:
    """The results of one run, a block per benchmark, beside the printed numbers of one model.

    A task with several metrics beside its headline is named once.

    Args:
        results: the content of results.json.
        published: which of the report's tables to look the reference up in; None takes those the tasks fill.
        reference: the model whose printed numbers stand in the last column.
        colour: ANSI emphasis; decide with `use_colour`.
        columns: width of the terminal; what doesn't fit is left out, see `_left_out`. None: no limit.
    """
    label = str((results.get("model") or {}).get("label") or "run")
    run = RunView(Path(), "r1", label, results, {})
    blocks = []
    for table in build_tables([run], published):
        ours = next(i for i, c in enumerate(table.columns) if c.kind == "run")
        theirs = next(
            (i for i, c in enumerate(table.columns) if c.label == reference and c.kind == "published"), None
        )
        shown = f"published ({reference.rpartition('-')[2]})" if theirs is not None else ""
        lines: list[tuple[str, ...]] = [(table.key, "", "score", "95% CI", "n", "bounds", shown, "")]
        for section in table.sections:
            before = ""
            for row in section.rows:
                cell = row.cells[ours]
                if cell.n is None and not cell.signature:
                    continue
                if run.smoke:  # told once, at the top
                    cell = replace(cell, marks=tuple(m for m in cell.marks if m != "smoke"))
                again = section.aside and row.task == before
                lines.append(_line(row, cell, row.cells[theirs] if theirs is not None else None, again))
                before = row.task
        out = _left_out(lines, columns)
        aligned = _align(lines)
        if run.demo or run.smoke:
            aligned[0][REMARK] = ", ".join(
                ["embedded demo: no baseline"] * run.demo + ["smoke data"] * run.smoke
            )
        blocks.append("\n".join(_paint(c, i == 0, colour, out, columns) for i, c in enumerate(aligned)))
    return "\n\n".join(blocks)


def printable(text: str, encoding: str | None) -> str:
    """The text with what `encoding` can't write replaced, so that printing it never fails."""
    name = encoding or "ascii"
    try:
        text.encode(name)
    except UnicodeEncodeError:
        for character, plain in _ASCII.items():
            text = text.replace(character, plain)
        return text.encode(name, "replace").decode(name)
    return text


def print_table(results: Mapping[str, Any], stream: TextIO, *, reference: str = REFERENCE) -> None:
    """Write the console table to a stream, in colour and cut to its width if it is a terminal."""
    columns = shutil.get_terminal_size().columns if stream.isatty() else None
    text = console_table(results, reference=reference, colour=use_colour(stream), columns=columns)
    stream.write(printable(text, getattr(stream, "encoding", None)) + "\n")
