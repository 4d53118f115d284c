"""The table on the console: aligned, plain when not a terminal, readable in any encoding."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from reports.cells import Cell, Row, Table, number, pair
from reports.runs import RunView
from reports.safe import visible
from reports.tables import alike, build_tables, short_title

METRIC, REMARK = 1, 7
STAND_IN = "judge not meaningful"
SHORT, SHORTEST = 24, 12
"""Columns that a metric's name may be cut to before printed numbers are left out, and after that."""
MANY = 60
"""Rows beyond which a terminal shows the headline metrics alone."""
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
        "not-meaningful": STAND_IN,
        "withheld": "withheld",
        "smoke": "smoke data",
        "limited": "partial data",
        "count": "count differs",
        "own-data": "data of your own",
        "protocol": cell.protocol,
        "geval": "weighted ratings",
    }
    # An overall marked for its parts' protocols has no protocol of its own to name.
    return ", ".join(parts + [names[m] for m in cell.marks if names.get(m)])


def _line(row: Row, cell: Cell, printed: Cell | None, again: bool) -> tuple[str, ...]:
    bounds = pair(cell.bounds, row.decimals) if cell.coverage and cell.bounds else ""
    count = f"{cell.n_scored}/{cell.n}" if cell.n is not None else ""
    named = row.overall or row.label.endswith(f"({row.metric})")
    return (
        "" if again else "  " + visible(row.label),
        "" if named else visible(row.metric),
        number(cell.value, row.decimals),
        pair(cell.ci, row.decimals),
        count,
        bounds,
        printed.text if printed is not None and printed.value is not None else "",
        visible(_remarks(cell)),
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


def cut(text: str, columns: int) -> str:
    """The text in at most `columns` columns of a terminal, with a mark where something was left out."""
    if width(text) <= columns:
        return text
    taken = kept = 0
    for character in text:
        taken += width(character)
        if taken > columns - 1:
            break
        kept += 1
    return text[:kept].rstrip() + "\u2026"


def _fitted(lines: Sequence[tuple[str, ...]], columns: int | None) -> tuple[list[tuple[str, ...]], set[int]]:
    """The lines of a block, and the columns it does without, to fit into `columns`, short remarks included.

    Bounds go first, because the count says that something is missing; then long names of metrics are cut, then
    the printed numbers go. The score, its interval and its count always stay.
    """
    if columns is None:
        return list(lines), set()
    widths = [max(width(line[i]) for line in lines) for i in range(REMARK)]

    def over(out: set[int], metric: int, remark: int = 12) -> bool:
        held = [min(w, metric) if i == METRIC else w for i, w in enumerate(widths) if i not in out]
        return sum(w + 2 for w in held) + remark > columns

    whole = widths[METRIC]
    first = set[int]() if any(line[5] for line in lines[1:]) else {5}
    for out, metric in ((first, whole), ({5}, whole), ({5}, SHORT), ({5, 6}, whole), ({5, 6}, SHORT)):
        if not over(out, metric):
            break
    else:
        metric = next((m for m in range(whole, SHORTEST, -1) if not over(out, m, 0)), SHORTEST)
    return [(line[0], cut(line[METRIC], metric), *line[2:]) for line in lines], out


def _starred(lines: Sequence[tuple[str, ...]], columns: int | None, out: set[int]) -> list[tuple[str, ...]]:
    """The lines, with a star for the remark that a stand-in judged, if those remarks don't fit beside them."""
    widths = [max(width(line[i]) for line in lines) for i in range(REMARK)]
    room = (columns or 0) - sum(w + 2 for i, w in enumerate(widths) if i not in out)
    if columns is None or not any(STAND_IN in x[REMARK] and width(x[REMARK]) > room for x in lines):
        return list(lines)
    found = []
    for line in lines:
        told = [r for r in line[REMARK].split(", ") if r]
        star = "*" if STAND_IN in told else " "
        rest = ", ".join(r for r in told if r != STAND_IN)
        found.append((*line[:2], line[2] + star, *line[3:REMARK], rest))
    return found


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
    tables = build_tables([run], published)
    brief = columns is not None and sum(len(t.rows()) for t in tables) > MANY
    said = ", ".join(["embedded demo: no baseline"] * run.demo + ["smoke data"] * run.smoke)
    blocks = [_DIM * colour + said + _OFF * colour] if said and columns is not None else []
    starred = False
    for table in tables:
        lines = _lines(run, table, reference, brief)
        fitted, out = _fitted(lines, columns)
        found = _starred(fitted, columns, out)
        starred |= any("*" in line[2] for line in found)
        aligned = _align(found)
        if said and columns is None:
            aligned[0][REMARK] = said
        blocks.append("\n".join(_paint(c, i == 0, colour, out, columns) for i, c in enumerate(aligned)))
    if starred:
        blocks.append(f"* {STAND_IN}: a stand-in gave these verdicts")
    if brief and (left := sum(len(s.rows) for t in tables for s in t.sections if s.aside)):
        blocks.append(
            f"{left} other metrics: in the report, in --json, and here when not printed to a terminal"
        )
    return "\n\n".join(blocks)


def _lines(run: RunView, table: Table, reference: str, brief: bool) -> list[tuple[str, ...]]:
    """A block: its head, and a line for each row that the run fills."""
    ours = next(i for i, c in enumerate(table.columns) if c.kind == "run")
    theirs = next(
        (i for i, c in enumerate(table.columns) if c.label == reference and c.kind == "published"), None
    )
    shown = f"published ({reference.rpartition('-')[2]})" if theirs is not None else ""
    lines: list[tuple[str, ...]] = [(visible(table.key), "", "score", "95% CI", "n", "bounds", shown, "")]
    before = ""
    apart = alike(table)
    for section in table.sections:
        if section.aside and brief:
            continue
        titled = apart and not section.aside and not all(row.overall for row in section.rows)
        for row in section.rows:
            cell = row.cells[ours]
            if cell.n is None and not cell.signature:
                continue
            if titled:
                lines.append((f"  {short_title(section)}", *[""] * REMARK))
                titled = False
            if run.smoke:  # told once, at the top
                cell = replace(cell, marks=tuple(m for m in cell.marks if m != "smoke"))
            again = section.aside and row.task == before
            line = _line(row, cell, row.cells[theirs] if theirs is not None else None, again)
            inside = apart and not section.aside and not row.overall
            lines.append(("  " + line[0], *line[1:]) if inside else line)
            before = row.task
    return lines


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
