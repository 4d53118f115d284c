"""The table object: sections, rows, columns, cells. Every format is made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from evalkit.stats import round_half_up

DASH = "\u2013"
Kind = Literal["published", "run", "typed", "delta"]


@dataclass(frozen=True)
class Column:
    """A model: printed in the report, one of our runs (or several), typed in; or differences to one of these.

    Attributes:
        sub: what tells columns of one model apart ("S2M-T"), which then stand under one head.
        of: of a column of differences, the key of the column whose cells are compared.
        notes: sentences that have to stand under the table wherever this column does.
        runs: folders' names of the runs that it is made of.
    """

    key: str
    label: str
    kind: Kind
    group: str = ""
    demo: bool = False
    smoke: bool = False
    note: str = ""
    sub: str = ""
    of: str = ""
    notes: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()

    @property
    def tags(self) -> tuple[str, ...]:
        """What has to stand beside the model's name wherever it stands."""
        return ("embedded demo",) * self.demo + ("smoke data",) * self.smoke

    @property
    def head(self) -> str:
        """The label with its tags: "my-model (smoke data)"."""
        return f"{self.label} ({', '.join(self.tags)})" if self.tags else self.label


@dataclass(frozen=True)
class Cell:
    """One number, or why there is none, with everything a reader may ask about it.

    Attributes:
        value: the number on the row's scale; None when there is none to print.
        text: what the table shows.
        ci, bounds: 95 % interval; what the value would be if missing samples were all bad, or all good.
        coverage: "518/520" when some samples have no score, else "".
        marks: short codes: "demo", "not-meaningful", "withheld", "smoke", "limited", "count", "protocol",
            "differs", "touched", "misprint", "footnote", "own-data", "geval", "as-json", "user-wording",
            "official-wording", "strata" (categories without a score), "unfit" (too many verdicts by a scorer's
            defect), "prompt" (asked in another way than the report's).
        judging: whose wording the judges were asked in and how their replies were weighed ("" where no model judges).
        notes: sentences for the reader.
        footnotes: those of them without which the number would mislead: they follow it into every format.
        runs: folders' names of the runs it comes from; () for a printed number.
        delta: the number less the one it is compared with, both as shown.
        parts: of an overall, the signatures of the numbers it is made of.
        span: columns it stands over; 0 for one that another cell stands over.
        rivals: True when the cell may be called best.
        floor: the value a best mark is decided by: the worse bound when coverage isn't complete.
        link: task page inside the HTML report ("r1/voicebench/sd-qa").
    """

    value: float | None = None
    text: str = DASH
    ci: tuple[float, float] | None = None
    bounds: tuple[float, float] | None = None
    n: int | None = None
    n_scored: int | None = None
    n_errors: int = 0
    n_unscored: int = 0
    n_pending: int = 0
    coverage: str = ""
    protocol: str = ""
    signature: str = ""
    judges: tuple[str, ...] = ()
    judging: str = ""
    reasons: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    rivals: bool = False
    floor: float | None = None
    link: str = ""
    task: str = ""
    metric: str = ""
    best: bool = False
    second: bool = False
    footnotes: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    delta: float | None = None
    parts: tuple[str, ...] = ()
    span: int = 1


@dataclass(frozen=True)
class Row:
    """One row: what is measured, and a cell per column of the table.

    Attributes:
        stub: what stands before the cells, one text per `Table.stub`; () for label and metric.
        benchmark, subset, language: address in the packaged numbers, where the row has printed ones.
    """

    label: str
    metric: str
    unit: str
    higher_is_better: bool
    cells: tuple[Cell, ...]
    decimals: int = 2
    scale: tuple[float, float] | None = None
    overall: bool = False
    task: str = ""
    stub: tuple[str, ...] = ()
    benchmark: str = ""
    subset: str = ""
    language: str = ""

    @property
    def before(self) -> tuple[str, ...]:
        """What stands before the cells."""
        return self.stub or (self.label, self.metric)


@dataclass(frozen=True)
class Section:
    """Rows under one heading.

    Attributes:
        ours_only: no row has a printed number.
        aside: beside the headline numbers; shown apart where there is room for it.
    """

    title: str
    rows: tuple[Row, ...]
    ours_only: bool = False
    aside: bool = False


@dataclass(frozen=True)
class Head:
    """A line above the rows that says something of each column ("LLM Size"); a text per column."""

    label: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table. Every row has one cell per column.

    Attributes:
        key: what files of it are called ("table-2"), or the benchmark's name.
        number: of the report's table it has the layout of; "" for others.
        caption: what is measured and how, in a sentence or two.
        stub: heads of what stands before the cells.
        heads: lines above the rows.
        notes: sentences under the table that belong to no single cell.
        second, intervals: show the second best; show intervals beside numbers.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    sections: tuple[Section, ...] = field(default=())
    number: str = ""
    caption: str = ""
    stub: tuple[str, ...] = ("", "Metric")
    heads: tuple[Head, ...] = ()
    notes: tuple[str, ...] = ()
    second: bool = False
    intervals: bool = False

    def rows(self) -> list[Row]:
        return [r for s in self.sections for r in s.rows]

    @property
    def name(self) -> str:
        """ "Table 2: Speech question answering"; the title where it has no number."""
        return f"Table {self.number}: {self.title}" if self.number else self.title


def number(value: float | None, decimals: int) -> str:
    """Decimal half-up, fixed decimals; a dash for None."""
    return DASH if value is None else f"{round_half_up(value, decimals):.{decimals}f}"


def difference(value: float | None, decimals: int) -> str:
    """ "+1.20", "\u22120.35", "0.00"; a dash for None."""
    if value is None:
        return DASH
    rounded = round_half_up(value, decimals)
    sign = "+" if rounded > 0 else "\u2212" if rounded < 0 else ""
    return f"{sign}{abs(rounded):.{decimals}f}"


def pair(value: Sequence[float] | None, decimals: int) -> str:
    """ "[4.66, 4.76]", or "" for None."""
    return f"[{number(value[0], decimals)}, {number(value[1], decimals)}]" if value else ""


def ranked(cells: Sequence[Cell], *, higher_is_better: bool, decimals: int) -> tuple[Cell, ...]:
    """The cells with their best and second flags; ties share a flag, a lone rival gets none."""
    from dataclasses import replace

    def key(cell: Cell) -> float | None:
        return None if not cell.rivals or cell.floor is None else round_half_up(cell.floor, decimals)

    keys = [key(c) for c in cells]
    order = sorted({k for k in keys if k is not None}, reverse=higher_is_better)
    if sum(k is not None for k in keys) < 2:
        return tuple(cells)
    first, second = order[0], order[1] if len(order) > 1 else None
    return tuple(
        replace(c, best=k is not None and k == first, second=k is not None and k == second)
        for c, k in zip(cells, keys, strict=True)
    )
