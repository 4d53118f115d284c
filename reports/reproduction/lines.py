"""A line of the reproduction ledger: one printed number, and what one run made of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from evalkit import published
from evalkit.published import PublishedRow, PublishedSection
from evalkit.records import JSON, digest_of
from reports.cells import Cell
from reports.makers import metric_cell, overall_cell
from reports.reproduction.verdicts import (
    against_overall,
    against_print,
    against_task,
    judged,
    terms,
    within,
)
from reports.runs import RunView

VERSION = 1


@dataclass(frozen=True)
class Made:
    """How a line came about.

    Attributes:
        date: when it was appended, UTC ("2026-11-25T22:30:00Z").
        command: as typed, quoted for a shell, without secrets.
        run: the run directory, relative to the ledger's folder.
    """

    date: str
    command: str
    run: str


@dataclass(frozen=True)
class Line:
    """One printed cell against one run. Field by field: docs/reproduce.md.

    Attributes:
        row, language, metric: the printed row; `row` has the benchmark's name where its section has several.
        printed, published: the number as printed, and as a number.
        within: does the printed number lie in our interval? None without an interval.
        partial: of less than the whole benchmark, or no score at all; such a line displaces no whole one.
        why: what stands against a comparison; empty for "reproduced" and "differs".
        footnotes: what is known of the printed number. notes: what else is to be known of ours.
        n: samples of the task (of an overall: of all its parts); n_expected: as published.
    """

    table: str
    section: str
    row: str
    language: str
    metric: str
    unit: str
    printed_model: str
    printed: str
    published: float
    model: str
    runner: str
    task: str
    our_metric: str
    group: str
    ours: float | None
    decimals: int
    higher_is_better: bool
    delta: float | None
    interval: tuple[float, float] | None
    ci_method: str
    bounds: tuple[float, float] | None
    n: int
    n_scored: int
    n_errors: int
    n_unscored: int
    n_pending: int
    n_expected: int | None
    within: bool | None
    verdict: str
    partial: bool
    why: tuple[str, ...]
    footnotes: tuple[str, ...]
    notes: tuple[str, ...]
    protocol: str
    judging: str
    signature: str
    evalkit: str
    git: str
    date: str = ""
    command: str = ""
    run: str = ""

    @property
    def cell(self) -> tuple[str, ...]:
        """What the line is about: the printed cell, and our model."""
        return (*self.address, self.printed_model, self.model)

    @property
    def address(self) -> tuple[str, str, str, str, str]:
        """The printed row."""
        return self.table, self.section, self.row, self.language, self.metric

    @property
    def digest(self) -> str:
        """16 hex digits that name the result: all but when, where from and by which command it was appended."""
        value = asdict(self)
        for name in ("date", "command", "run", "git"):
            del value[name]
        return digest_of(value)[:16]

    def to_json(self) -> dict[str, JSON]:
        return {"v": VERSION, "result": self.digest, **asdict(self)}

    @classmethod
    def from_json(cls, obj: Mapping[str, Any]) -> Line:
        """Raises ValueError for a line that is none, or of another version."""
        if obj.get("v") != VERSION:
            raise ValueError("another version")
        kept: dict[str, Any] = {}
        for field in fields(cls):
            kind = str(field.type)
            if field.name not in obj:
                raise ValueError(f"no {field.name}")
            kept[field.name] = _read(obj[field.name], kind, field.name)
        return cls(**kept)


def _read(value: Any, kind: str, name: str) -> Any:
    """A field's value, of its declared type. Raises ValueError."""
    if value is None and kind.endswith("| None"):
        return None
    kind = kind.removesuffix(" | None")
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind.startswith("tuple["):
        want = str if kind == "tuple[str, ...]" else int | float
        if isinstance(value, list) and all(isinstance(v, want) for v in value):
            if kind == "tuple[str, ...]":
                return tuple(value)
            if len(value) == 2 and all(map(math.isfinite, value)):
                return tuple(float(v) for v in value)
    elif (kind == "str" and isinstance(value, str)) or (kind == "bool" and isinstance(value, bool)):
        return value
    elif kind == "int" and number and value == int(value):
        return int(value)
    elif kind == "float" and number:
        return float(value)
    raise ValueError(f"{name} is not a {kind}")


def row_name(section: PublishedSection, row: PublishedRow) -> str:
    """What a printed row is called: with its benchmark where the section has several ("Speech-BFCL Single")."""
    shared = len({r.benchmark for r in section.rows}) > 1
    alone = not shared or not row.subset or row.subset in published.OVERALLS
    return row.name if alone else f"{row.benchmark} {row.subset}"


def printed_rows(table: str, model: str) -> Iterator[tuple[PublishedSection, PublishedRow]]:
    """The rows of a table in which a model has a printed number, in print order."""
    for section in published.sections(table):
        for row in section.rows:
            if model in row.values:
                yield section, row


def fillers(run: RunView, table: str) -> dict[str, list[Mapping[str, Any]]]:
    """The tasks and overalls of a run that fill cells of a table, with these cells; an overall's name has a "*"."""
    named = [(n, e) for n, e in run.tasks.items()] + [(f"*{n}", o) for n, o in run.overalls.items()]
    found = {n: [c for c in e.get("cells") or () if str(c["table"]) == table] for n, e in named}
    return {n: cells for n, cells in found.items() if cells}


def lines_of(run: RunView, table: str, model: str, made: Made) -> list[Line]:
    """A line for every printed number of a model in a table that the run has something to say of, in print order.

    Args:
        table: number of a table of the report ("2").
        model: a model the table prints.
    """
    there = fillers(run, table)
    out = []
    for section, row in printed_rows(table, model):
        for name, cells in there.items():
            cell = next((c for c in cells if _fills(run, name, c, row)), None)
            if cell is not None:
                out.append(_line(run, section, row, model, name, cell, made))
                break
    return out


def _fills(run: RunView, name: str, cell: Mapping[str, Any], row: PublishedRow) -> bool:
    if not (
        cell["section"] == row.section
        and row.called(cell["row"])
        and cell.get("language") in (None, row.language)
        and cell.get("printed") in (None, row.metric)
    ):
        return False
    if name.startswith("*"):  # of some parts only, nobody set out to run it
        return all(part in run.tasks for part in run.overalls[name[1:]]["parts"])
    entry = run.tasks[name]
    key, group = cell.get("group") or (None, None)
    has = key is None or group in (entry.get("groups") or {}).get(key, {})
    return has and (not cell.get("metric") or cell["metric"] in entry["metrics"])


def _line(
    run: RunView,
    section: PublishedSection,
    row: PublishedRow,
    model: str,
    name: str,
    cell: Mapping[str, Any],
    made: Made,
) -> Line:
    if name.startswith("*"):
        found = overall_cell(run, name[1:])
        of = list(terms(run, name[1:]))
        parts = [run.tasks[t] for t, _ in of]
        held = [run.tasks[t]["metrics"][m] for t, m in of]
        against = list(against_overall(run, name[1:]))
        task, metric, group = name[1:], "overall", ""
        ci_method = "bootstrap-percentile, every part on its own"
        decimals, expected = run.overalls[name[1:]]["decimals"], [e.get("n_expected") for e in parts]
        protocol = ", ".join(dict.fromkeys(e["protocol"] for e in parts))
    else:
        entry = run.tasks[name]
        metric = cell.get("metric") or entry["headline"]
        where = (cell["group"][0], cell["group"][1]) if cell.get("group") else None
        found = metric_cell(run, name, entry, metric, where)
        held = [entry["groups"][where[0]][where[1]][metric] if where else entry["metrics"][metric]]
        against = list(against_task(run, name, metric, where))
        task, group = name, "=".join(where) if where else ""
        ci_method, decimals = held[0]["ci_method"], held[0]["decimals"]
        expected, protocol = [None if where else entry.get("n_expected")], entry["protocol"]
    wrong, footnotes = against_print(row, model)
    printed = row.values[model]
    inside = within(printed, _pair(found.ci))
    why = tuple(dict.fromkeys((*wrong, *(text for text, _ in against))))
    known = [n for n in expected if n is not None]
    return Line(
        *(row.table, row.section, row_name(section, row), row.language, row.metric, row.unit),
        *(model, printed, float(printed)),
        model=run.label,
        runner=str((run.results.get("model") or {}).get("runner") or ""),
        task=task,
        our_metric=metric,
        group=group,
        ours=found.value,
        decimals=decimals,
        higher_is_better=row.higher_is_better,
        delta=None if found.value is None else round(found.value - float(printed), 6),
        interval=_pair(found.ci),
        ci_method=ci_method,
        bounds=_pair(found.bounds),
        n=sum(m["n"] for m in held),
        n_scored=sum(m["n_scored"] for m in held),
        n_errors=sum(m["n_errors"] for m in held),
        n_unscored=sum(m["n_unscored"] for m in held),
        n_pending=sum(m["n_pending"] for m in held),
        n_expected=sum(known) if known and len(known) == len(expected) else None,
        within=inside,
        verdict=judged(inside, why),
        partial=any(partial for _, partial in against),
        why=why,
        footnotes=tuple(footnotes),
        notes=tuple(_notes(run, task, found)),
        protocol=protocol,
        judging=found.judging,
        signature=found.signature,
        evalkit=str(run.results.get("evalkit") or ""),
        git=str(run.manifest.get("git") or ""),
        **asdict(made),
    )


def _pair(value: tuple[float, ...] | None) -> tuple[float, float] | None:
    return (float(value[0]), float(value[1])) if value else None


def _notes(run: RunView, task: str, cell: Cell) -> Iterator[str]:
    """What a reader of our number should know beside what forbids the comparison."""
    if cell.judging:
        yield f"Judged with: {cell.judging}. The report does not name the judge of its own numbers."
    kind = ((run.tasks.get(task) or {}).get("data") or {}).get("kind")
    if kind == "given":
        yield "The questions came with the predictions; that they are the benchmark's was not checked."
    yield from (note for note in cell.notes if "defect" in note)
