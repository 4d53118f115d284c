"""What a ledger shows: per table and pair of models the printed rows, each with its latest line or "not run"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from evalkit import published
from evalkit.stats import round_half_up
from reports.cells import DASH, difference, number, pair
from reports.reproduction.lines import Line, printed_rows, row_name
from reports.reproduction.verdicts import NOT_RUN, VERDICTS


@dataclass(frozen=True)
class Entry:
    """A printed row: as print has it, and what is on record of it."""

    name: str
    metric: str
    printed: str
    line: Line | None = None

    @property
    def label(self) -> str:
        return f"{self.name}, {self.metric}" if self.metric else self.name

    @property
    def verdict(self) -> str:
        return self.line.verdict if self.line else NOT_RUN

    @property
    def ours(self) -> str:
        return number(self.line.ours, self.line.decimals) if self.line else DASH

    @property
    def delta(self) -> str:
        """Ours as shown less printed, as the tables of the report have it; the ledger holds the exact one."""
        if self.line is None or self.line.ours is None:
            return DASH
        decimals = self.line.decimals
        return difference(round_half_up(self.line.ours, decimals) - self.line.published, decimals)

    @property
    def interval(self) -> str:
        return pair(self.line.interval, self.line.decimals) if self.line else ""

    @property
    def coverage(self) -> str:
        """ "553", or "518/520" when some samples have no score."""
        if self.line is None:
            return ""
        n, scored = self.line.n, self.line.n_scored
        return f"{n:,}" if n == scored else f"{scored:,}/{n:,}"


@dataclass(frozen=True)
class Block:
    """The rows of one section."""

    section: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Sheet:
    """One table of the report, one of its models, one of ours."""

    table: str
    printed_model: str
    model: str
    blocks: tuple[Block, ...]

    @property
    def entries(self) -> list[Entry]:
        return [e for b in self.blocks for e in b.entries]

    @property
    def title(self) -> str:
        return f"Table {self.table}: {self.model} against {self.printed_model} as printed"

    @property
    def summary(self) -> str:
        """ "3 reproduced, 1 differs, 2 not comparable, 13 not run"."""
        counts = Counter(e.verdict for e in self.entries)
        words = {v: ("differ" if v == "differs" and counts[v] != 1 else v) for v in VERDICTS}
        return ", ".join(f"{counts[v]} {words[v]}" for v in VERDICTS if counts[v])

    @property
    def remarks(self) -> list[tuple[str, str]]:
        """What is to be said of rows: the rows ("VoiceBench SD-QA, MMSU"; a section for all that ran of it; "All"
        for all that ran), and what."""
        said: dict[str, dict[str, list[str]]] = {}
        ran: dict[str, int] = {}
        for block in self.blocks:
            name = block.section.partition(" (")[0]
            rows = Counter(e.name for e in block.entries)
            for e in block.entries:
                ran[name] = ran.get(name, 0) + (e.line is not None)
                row = e.name if rows[e.name] == 1 else f"{e.name} {e.metric}"
                for text in (*e.line.why, *e.line.footnotes, *e.line.notes) if e.line else ():
                    said.setdefault(text, {}).setdefault(name, []).append(row)
        total, several = sum(ran.values()), len(self.blocks) > 1

        def where(of: Mapping[str, Sequence[str]]) -> str:
            if total > 1 and sum(map(len, of.values())) == total:
                return "All"
            parts = (
                section
                if len(names) == ran[section] > 1
                else f"{section if several else ''} {', '.join(names)}"
                for section, names in of.items()
            )
            return "; ".join(p.strip() for p in parts)

        return [(where(of), text) for text, of in said.items()]

    @property
    def sources(self) -> list[tuple[str, str, str, str]]:
        """Distinct (date, run, command, "evalkit 0.1.0 at commit") of the lines shown, the first one first."""
        found = {
            (x.date, x.run, x.command, f"evalkit {x.evalkit}" + (f" at {x.git}" if x.git else "")): None
            for e in self.entries
            if (x := e.line) is not None
        }
        return sorted(found)


def sheets(lines: Sequence[Line], table: str | None = None) -> list[Sheet]:
    """What to show of these lines (`book.latest`), by table, then in order of appearance.

    Args:
        table: only this one.
    """
    wanted = [x for x in lines if table in (None, x.table)]
    keys = dict.fromkeys((x.table, x.printed_model, x.model) for x in wanted)
    return [
        _sheet(t, p, m, [x for x in wanted if (x.table, x.printed_model, x.model) == (t, p, m)])
        for t, p, m in sorted(keys, key=lambda k: k[0])
    ]


def _sheet(table: str, printed_model: str, model: str, lines: Sequence[Line]) -> Sheet:
    held = {x.address: x for x in lines}
    rows = [
        (section, Entry(*_label(section, row), row.values[printed_model], held.pop(address, None)))
        for section, row in printed_rows(table, printed_model)
        for address in [(table, section.name, row_name(section, row), row.language, row.metric)]
    ]
    blocks = [
        Block(name, tuple(e for _, e in group)) for name, group in groupby(rows, key=lambda r: r[0].name)
    ]
    # What the ledger holds of rows that this evalkit's tables don't have is shown all the same.
    strays = tuple(Entry(f"{x.section}: {x.row}", x.metric, x.printed, x) for x in held.values())
    return Sheet(table, printed_model, model, (*blocks, *([Block("Other", strays)] if strays else ())))


def _label(section: published.PublishedSection, row: published.PublishedRow) -> tuple[str, str]:
    """A row's name and metric, with its language where rows of the same name differ in it."""
    name = row_name(section, row)
    twins = [r for r in section.rows if r is not row and row_name(section, r) == name]
    language = f" ({row.language})" if any(t.language != row.language for t in twins) else ""
    return f"{name}{language}", published.METRICS.get(row.metric, row.metric)
