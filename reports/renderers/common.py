"""What renderers of a table share: heads over several columns, headings, stubs without repetition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reports.cells import Cell, Column, Row, Section, Table, pair


def heading(section: Section) -> str:
    """The section's title; "" where its rows are called the same."""
    return "" if all(r.label == section.title for r in section.rows) else section.title


def stubs(section: Section) -> list[tuple[str, ...]]:
    """What stands before each row; a first text that the row above has, too, is blank."""
    out: list[tuple[str, ...]] = []
    above = ""
    for row in section.rows:
        first, *rest = row.before
        out.append(("" if first == above and any(rest) else first, *rest))
        above = first
    return out


def head_groups(table: Table) -> list[tuple[Column, int]]:
    """The columns' heads: (first column, columns it stands over). More than one only where columns have a `sub`."""
    groups: list[list[Column]] = []
    for column in table.columns:
        last = groups[-1][-1] if groups else None
        if last is not None and column.sub and (last.kind, last.label) == (column.kind, column.label):
            groups[-1].append(column)
        else:
            groups.append([column])
    return [(g[0], len(g)) for g in groups]


def has_subs(table: Table) -> bool:
    return any(c.sub for c in table.columns)


def flat_head(column: Column) -> str:
    """One line for a column: "Moshi S2M-T"."""
    return f"{column.head} {column.sub}" if column.sub else column.head


def spans(row: Row, columns: Sequence[Column]) -> Iterator[tuple[int, Column, Cell]]:
    """(index, column, cell) of the cells that are shown, each over `cell.span` columns."""
    for i, (column, cell) in enumerate(zip(columns, row.cells, strict=True)):
        if cell.span:
            yield i, column, cell


def interval(table: Table, row: Row, cell: Cell) -> str:
    """ "[57.02, 65.10]" where the table shows intervals and the cell has one, else ""."""
    return pair(cell.ci, row.decimals) if table.intervals and cell.value is not None else ""


def second(table: Table, cell: Cell) -> bool:
    """Is the cell to be marked as second best?"""
    return table.second and cell.second and not cell.best
