"""The footnotes of a table: which letter stands at which number and column, and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.cells import Cell, Column, Table


@dataclass(frozen=True)
class Noted:
    """Footnotes in the order of their letters.

    Attributes:
        notes: letter to sentence.
        shared: by column key, the sentences that stand at the column's head because all of its numbers have them.
    """

    notes: Mapping[str, str]
    shared: Mapping[str, tuple[str, ...]]

    def _letters(self, sentences: Sequence[str]) -> tuple[str, ...]:
        by_text = {text: letter for letter, text in self.notes.items()}
        return tuple(sorted((by_text[s] for s in dict.fromkeys(sentences)), key=lambda x: (len(x), x)))

    def at(self, column: Column, cell: Cell) -> tuple[str, ...]:
        """The letters at a number."""
        if column.kind == "delta":
            return ()
        head = self.shared.get(column.key, ())
        return self._letters([s for s in cell.footnotes if s not in head])

    def over(self, column: Column) -> tuple[str, ...]:
        """The letters at a column's head."""
        return () if column.kind == "delta" else self._letters(self.shared.get(column.key, ()))


def letter(index: int) -> str:
    """ "a" for 0, "z" for 25, "aa" for 26."""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("a") + rest) + name
    return name


def _shared(table: Table, label: str) -> tuple[str, ...]:
    """Sentences of all numbers (two or more) under one label, in their order."""
    places = [
        i for i, c in enumerate(table.columns) if c.label == label and c.kind not in ("delta", "published")
    ]
    cells = [r.cells[i] for r in table.rows() for i in places if r.cells[i].value is not None]
    if len(cells) < 2:
        return ()
    return tuple(s for s in cells[0].footnotes if all(s in c.footnotes for c in cells))


def noted(table: Table) -> Noted:
    """The table's footnotes: those of column heads first, then row by row."""
    shared = {
        c.key: tuple(dict.fromkeys((*c.notes, *_shared(table, c.label))))
        for c in table.columns
        if c.kind != "delta"
    }
    seen: dict[str, None] = dict.fromkeys(s for c in table.columns for s in shared.get(c.key, ()))
    for row in table.rows():
        for column, cell in zip(table.columns, row.cells, strict=True):
            if column.kind != "delta":
                seen.update(dict.fromkeys(s for s in cell.footnotes if s not in shared[column.key]))
    return Noted({letter(i): text for i, text in enumerate(seen)}, shared)
