"""A table as an Excel workbook: numbers as numbers, text as text, footnotes below (extra `xlsx`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from reports.cells import Cell, Column, Row, Table
from reports.footnotes import Noted, noted
from reports.renderers.common import has_subs, head_groups, heading, second, spans, stubs
from reports.safe import visible

_LIMIT = 32_000  # characters of a cell; Excel holds 32,767


def _text(value: str) -> str:
    shown = visible(value)
    return shown if len(shown) <= _LIMIT else shown[:_LIMIT] + "\u2026"


def library() -> Any:
    """XlsxWriter. Raises UsageError where it isn't installed."""
    try:
        import xlsxwriter
    except ImportError:
        raise UsageError(
            "the format xlsx needs XlsxWriter: pip install 'evalkit[xlsx]' (or pip install XlsxWriter)."
        ) from None
    return xlsxwriter


@dataclass
class _Sheet:
    """One table on its way into a worksheet; formats are made once per look."""

    book: Any
    sheet: Any
    table: Table
    notes: Noted
    formats: dict[tuple[tuple[str, Any], ...], Any] = field(default_factory=dict)

    def look(self, **props: Any) -> Any:
        key = tuple(sorted(props.items()))
        if key not in self.formats:
            self.formats[key] = self.book.add_format(props)
        return self.formats[key]

    @property
    def places(self) -> list[int]:
        """The first sheet column of each column; one that shows intervals takes three."""
        out, at = [], len(self.table.stub)
        for column in self.table.columns:
            out.append(at)
            at += 3 if self.shows_interval(column) else 1
        return [*out, at]

    def shows_interval(self, column: Column) -> bool:
        return self.table.intervals and column.kind == "run"

    def string(self, row: int, column: int, text: str, **props: Any) -> None:
        # write_string and no other: a text never becomes a formula, a link or a number.
        self.sheet.write_string(row, column, _text(text), self.look(**props))


def _heads(s: _Sheet) -> int:
    """Title, caption and the heads; the first free line."""
    s.string(0, 0, s.table.name, bold=True, font_size=13)
    line = 2
    if s.table.caption:
        s.string(1, 0, s.table.caption, font_color="#59636e")
        line = 3
    head = {"bold": True, "text_wrap": True, "valign": "bottom", "align": "right"}
    for i, text in enumerate(s.table.stub):
        s.string(line, i, text, **{**head, "align": "left", "top": 2})
    places, at = s.places, 0
    for column, width in head_groups(s.table):
        letters = s.notes.over(column)
        text = column.head + (f" ({','.join(letters)})" if letters else "")
        first, last = places[at], places[at + width] - 1
        if last > first:
            look = s.look(**{**head, "align": "center", "top": 2})
            s.sheet.merge_range(line, first, line, last, "", look)
            s.sheet.write_string(line, first, _text(text), look)
        else:
            s.string(line, first, text, **head, top=2)
        at += width
    line += 1
    if has_subs(s.table) or any(map(s.shows_interval, s.table.columns)):
        for i, column in enumerate(s.table.columns):
            s.string(line, places[i], column.sub, **head)
            if s.shows_interval(column):
                s.string(line, places[i] + 1, "95 % low", **head)
                s.string(line, places[i] + 2, "95 % high", **head)
        line += 1
    for about in s.table.heads:
        s.string(line, 0, about.label)
        for i, text in enumerate(about.texts):
            s.string(line, places[i], text, align="right")
        line += 1
    return line


def _number_format(decimals: int, letters: Sequence[str], signed: bool) -> str:
    digits = "0" + ("." + "0" * decimals if decimals else "")
    # The letters stand in the format, so that the cell keeps its number.
    after = f'" ({",".join(letters)})"' if letters else ""
    return f"+{digits}{after};\u2212{digits}{after};{digits}{after}" if signed else digits + after


def _decimals(row: Row, cell: Cell) -> int:
    """A printed number keeps its own decimals ("100", "7.4")."""
    return len(cell.text.partition(".")[2]) if not cell.runs and cell.delta is None else row.decimals


def _cell(s: _Sheet, line: int, at: int, row: Row, column: Column, cell: Cell, last: int) -> None:
    letters = s.notes.at(column, cell)
    props: dict[str, Any] = {"align": "center" if last > at else "right"}
    if cell.value is None:
        text = cell.text + (f" ({','.join(letters)})" if letters else "")
        _merged(s, line, at, last, props)
        s.string(line, at, text, **props)
        return
    props |= {"bold": True} if cell.best else {"underline": 1} if second(s.table, cell) else {}
    props["num_format"] = _number_format(_decimals(row, cell), letters, column.kind == "delta")
    _merged(s, line, at, last, props)
    s.sheet.write_number(line, at, _rounded(row, cell), s.look(**props))
    if s.shows_interval(column) and cell.ci and cell.span == 1:
        for i, end in enumerate(cell.ci, start=1):
            plain = _number_format(row.decimals, (), False)
            s.sheet.write_number(line, at + i, end, s.look(num_format=plain, font_color="#59636e"))
    if cell.signature:
        s.sheet.write_comment(line, at, _text(cell.signature)[:2000], {"x_scale": 3})


def _rounded(row: Row, cell: Cell) -> float:
    """The number as shown (half-up), so that the sheet shows what the other formats do; all digits are in the CSV."""
    from evalkit.stats import round_half_up

    assert cell.value is not None
    return round_half_up(cell.value, _decimals(row, cell))


def _merged(s: _Sheet, line: int, at: int, last: int, props: dict[str, Any]) -> None:
    if last > at:
        s.sheet.merge_range(line, at, line, last, "", s.look(**props))


def _fill(s: _Sheet) -> None:
    line = _heads(s)
    s.sheet.freeze_panes(line, len(s.table.stub))
    places = s.places
    for section in s.table.sections:
        if title := heading(section):
            s.string(line, 0, title, italic=True, top=1)
            for i in range(1, places[-1]):
                s.sheet.write_blank(line, i, None, s.look(top=1))
            line += 1
        for row, before in zip(section.rows, stubs(section), strict=True):
            for i, text in enumerate(before):
                s.string(line, i, text)
            for i, column, cell in spans(row, s.table.columns):
                last = places[i + cell.span] - 1 if cell.span > 1 else places[i]
                _cell(s, line, places[i], row, column, cell, last)
            line += 1
    line += 1
    for text in [*s.table.notes, *(f"({mark}) {text}" for mark, text in s.notes.notes.items())]:
        s.string(line, 0, text, font_color="#59636e")
        line += 1
    s.sheet.set_column(0, 0, 30)
    s.sheet.set_column(1, max(1, len(s.table.stub) - 1), 22)
    s.sheet.set_column(len(s.table.stub), places[-1] - 1, 13)
    s.sheet.set_landscape()
    s.sheet.fit_to_pages(1, 0)


def _sheet_name(table: Table, taken: set[str]) -> str:
    base = "".join("-" if c in "[]:*?/\\'" else c for c in visible(table.key))[:28] or "table"
    name, i = base, 2
    while name.casefold() in taken or name.casefold() == "history":
        name, i = f"{base[:25]} {i}", i + 1
    taken.add(name.casefold())
    return name


def xlsx(tables: Sequence[Table], path: Path) -> Path:
    """Write a workbook with a sheet per table; the same tables give the same bytes.

    Raises:
        UsageError: XlsxWriter is not installed.
    """
    import datetime
    import io

    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    made = io.BytesIO()  # whole, before the file is begun: on a full disk zipfile would leave a traceback
    book = library().Workbook(made, options)
    book.set_properties({"created": datetime.datetime(2000, 1, 1), "comments": "evalkit"})
    taken: set[str] = set()
    try:
        for table in tables:
            sheet = book.add_worksheet(_sheet_name(table, taken))
            _fill(_Sheet(book, sheet, table, noted(table)))
    finally:
        book.close()
    path.write_bytes(made.getvalue())
    return path
