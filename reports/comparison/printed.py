"""Lines against printed numbers: no samples there, so an unpaired test from n, where n is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from evalkit import published as paper
from evalkit.errors import UsageError
from evalkit.inference import OneRun, OneValue, unpaired
from evalkit.pairs import RunSegments, pairs_of
from evalkit.registry import suggestion
from evalkit.store import Run
from evalkit.truncation import told
from reports.comparison.model import GROUPS, HEADLINES, OTHERS, OVERALLS, Coverage, Kind, Line, Part, Side
from reports.runs import own_data, smoke

if TYPE_CHECKING:
    from reports.comparison.settings import Settings

AS_PRINTED = "as the report has it"


@dataclass(frozen=True)
class _Print:
    """A printed number of a model: its row of the report, and what of a run is held against it."""

    row: paper.PublishedRow
    value: float
    text: str
    metric: str
    group: tuple[str, str] | None

    @property
    def decimals(self) -> int:
        """Decimals it is printed with."""
        return len(self.text.partition(".")[2])


def printed_sides(models: Sequence[str], first: int, key: Callable[[int], str]) -> list[Side]:
    """The printed models as sides. Raises UsageError for a model that the report doesn't have."""
    known = {m: m for s in paper.sections() for m in s.models}
    folded = {m.casefold(): m for m in known}
    out = []
    for i, given in enumerate(models):
        name = folded.get(given.casefold())
        if name is None:
            raise UsageError(
                f"the report prints nothing of {given!r}.{suggestion(given, list(known))} "
                f"Its models: {', '.join(known)}. Check --published."
            )
        out.append(Side(key(first + i), name, "published"))
    return out


def printed_lines(model: Side, run: Side, chosen: Settings) -> Iterator[Line]:
    """A line per number of the run that the report prints for the model; overalls after their benchmark's tasks."""
    assert run.view is not None
    tasks = {t: e for t, e in run.view.tasks.items() if chosen.wants(t)}
    for benchmark in dict.fromkeys(e["benchmark"] for e in tasks.values()):
        for task, entry in tasks.items():
            if entry["benchmark"] == benchmark:
                for found in _prints(entry, entry["headline"], model.label):
                    yield _line(model, run, task, entry, found, chosen)
        for name, overall in run.view.overalls.items():
            if (
                overall["value"] is not None
                and overall["parts"]
                and overall["parts"][0].partition("/")[0] == benchmark
            ):
                for found in _prints(overall, "overall", model.label)[:1]:
                    yield _overall(model, run, name, overall, found, chosen)


def _prints(entry: Mapping[str, Any], headline: str, model: str) -> list[_Print]:
    """The model's printed numbers that an entry of results.json fills, each number of the entry once."""
    out: dict[tuple[str, Any], _Print] = {}
    for cell in entry.get("cells") or ():
        section = paper.find(str(cell["table"]), cell["section"])
        row = (
            section.row(cell["row"], cell.get("language") or "", cell.get("printed") or "")
            if section
            else None
        )
        value = row.value(model) if row is not None else None
        if row is None or value is None:
            continue
        metric, group = cell.get("metric") or headline, cell.get("group")
        at = (group[0], group[1]) if group else None
        out.setdefault((metric, at), _Print(row, value, row.values[model], metric, at))
    return list(out.values())


def _held(entry: Mapping[str, Any], found: _Print) -> Mapping[str, Any] | None:
    """The run's number; None where it has no such metric or group."""
    at = entry["metrics"]
    if found.group is not None:
        at = (entry.get("groups") or {}).get(found.group[0], {}).get(found.group[1], {})
    held: Mapping[str, Any] | None = at.get(found.metric)
    return held


def _line(
    model: Side, run: Side, task: str, entry: Mapping[str, Any], found: _Print, chosen: Settings
) -> Line:
    m = _held(entry, found)
    shown = m or entry["metrics"][entry["headline"]]
    head = found.group is None and found.metric == entry["headline"]
    kind: Kind = "task" if head else "group" if found.group else "metric"
    line = Line(
        a=model.key, b=run.key, kind=kind, task=task, benchmark=entry["benchmark"], title=entry["title"],
        metric=found.metric, label=shown["label"], unit=shown["unit"], decimals=shown["decimals"],
        higher_is_better=shown["higher_is_better"], group=found.group, paired=False, whole_a=found.value,
        family=HEADLINES if head else GROUPS if found.group else OTHERS,
    )  # fmt: skip
    parts = tuple(_differing(task, entry))
    if m is not None:
        coverage = Coverage(m["n"], m["n_scored"], m["n_unscored"], m["n_errors"], m["n_pending"])
        line = replace(line, whole_b=m["value"], coverage_b=coverage)
    line = _permitted(line, parts, chosen)
    if line.refused:
        return line
    if m is None:
        where = f"{found.group[0]} {found.group[1]}" if found.group else found.metric
        return replace(line, why=f"{run.label} has no {where} here")
    # Of a group, n is known where the run has all that was published.
    n = expected(task, entry) if found.group is None else m["n"] if not parts else None
    return _tested(_marked(line, run, entry, m, found, model), run, m, found, n, chosen)


def _permitted(line: Line, parts: tuple[Part, ...], chosen: Settings) -> Line:
    """The line with what differs: refused, or compared by leave."""
    free = (*chosen.allow, "n") if "data" in chosen.allow else chosen.allow
    if any(p.name not in free for p in parts):
        return replace(line, refused=parts)
    return replace(line, allowed=parts)


def _differing(task: str, entry: Mapping[str, Any]) -> Iterator[Part]:
    """In what the run's task was done in another way than the printed one, as far as the report says."""
    if entry["protocol"] != entry.get("default_protocol", entry["protocol"]):
        yield Part("protocol", entry["default_protocol"], entry["protocol"])
    n, cut = expected(task, entry), ", by --limit" if entry.get("limited") else ""
    if smoke(entry):
        yield Part("data", AS_PRINTED, "the smoke data")
    elif own_data(entry):
        yield Part("data", AS_PRINTED, "data of your own")
    elif n not in (None, entry["n"]):
        yield Part("n", f"{n:,} samples", f"{entry['n']:,} samples{cut}")
    elif cut:
        yield Part("data", AS_PRINTED, f"{entry['n']:,} samples{cut}")


def expected(task: str, entry: Mapping[str, Any]) -> int | None:
    """Samples of a task as published; None where that isn't known."""
    if entry.get("n_expected") is not None:
        return int(entry["n_expected"])
    from evalkit.registry import catalogue

    known = catalogue().tasks.get(task)
    return known.expected if known is not None else None


def _marked(
    line: Line, run: Side, entry: Mapping[str, Any], m: Mapping[str, Any], found: _Print, model: Side
) -> Line:
    assert run.view is not None
    row = found.row
    marks, notes = (
        [],
        [f"Printed: arXiv 2512.20156, Table {row.table}, {row.section}. Unpaired: its samples aren't known."],
    )
    for mark, holds, said in (
        ("demo", run.view.demo, "The embedded demo is no baseline of anything."),
        ("not-meaningful", not m["meaningful"], "A stand-in judge gave the run's verdicts."),
        ("truncated", found.group is None and bool(told(entry)), f"{told(entry)}."),
        ("smoke", smoke(entry), "Smoke data: our own few questions, not the benchmark."),
        ("own-data", own_data(entry), "Data of your own, not the set of the printed number."),
    ):
        if holds:
            marks.append(mark)
            notes.append(said)
    for footnote in paper.footnotes(row.table, row.section, row.name, model.label):
        marks.append("misprint" if footnote.wrong else "footnote")
        notes.append(footnote.text)
    notes += [f"Compared by leave: {p.name}: {p.a} against {p.b}." for p in line.allowed]
    return replace(line, marks=tuple(dict.fromkeys(marks)), notes=tuple(notes))


def _tested(
    line: Line, run: Side, m: Mapping[str, Any], found: _Print, n: int | None, chosen: Settings
) -> Line:
    if m["value"] is None:
        why = "the value is withheld while samples are unscored" if m.get("withheld") else "nothing is scored"
        return replace(line, why=why)
    ours = _ours(line, run, m)
    d = unpaired(ours, found.value, n, decimals=found.decimals, level=chosen.level)
    return replace(line, difference=d, printed_n=n, notes=(*line.notes, *filter(None, [d.note])))


def _ours(line: Line, run: Side, m: Mapping[str, Any]) -> OneRun | OneValue:
    """The run's samples; its number alone where they aren't on record (a run of an older evalkit)."""
    assert run.view is not None
    up = bool(m["higher_is_better"])
    held = RunSegments(Run(run.view.root), run.view.results)
    try:
        rows = pairs_of(held, held, line.task, line.metric, line.group).rows
    except UsageError:
        return OneValue(
            m["value"], m["n_scored"], m["ci_method"] == "wilson", float(m.get("scale", 100.0)), up
        )
    return OneRun(rows.a, rows.pool, rows.scale, rows.clusters, rows.lo, rows.hi, up)


def _overall(
    model: Side, run: Side, name: str, overall: Mapping[str, Any], found: _Print, chosen: Settings
) -> Line:
    assert run.view is not None
    line = Line(
        a=model.key, b=run.key, kind="overall", task=name, benchmark=overall["parts"][0].partition("/")[0],
        title=overall["label"], metric="overall", label="Mean", unit="0-100", decimals=overall["decimals"],
        higher_is_better=True, paired=False, whole_a=found.value, whole_b=overall["value"], family=OVERALLS,
    )  # fmt: skip
    parts: dict[str, Part] = {}
    for task in overall["parts"]:
        parts |= {p.name: p for p in _differing(task, run.view.tasks[task]) if p.name not in parts}
    line = _permitted(line, tuple(parts.values()), chosen)
    if line.refused:
        return line
    d = unpaired(OneValue(overall["value"], None, proportion=False), found.value, None)
    return replace(line, difference=d, notes=("No test: an overall has no n of its own.",))
