"""From runs and printed numbers to tables in the shape of the report's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit import published as paper
from reports.cells import Cell, Column, Row, Section, Table, number, ranked
from reports.runs import RunView, headline

BENCHMARK_TITLES = {
    "voicebench": "VoiceBench",
    "ultraeval-audio": "UltraEval-Audio",
    "openaudiobench": "OpenAudioBench",
}
METRIC_LABELS = {
    "geval": "G-Eval", "accuracy": "Accuracy", "refusal_rate": "Refusal rate", "mean": "Mean", "wer": "WER",
    "lalm_score": "LALM judge", "weighted_mean": "Weighted mean",
}  # fmt: skip
EXTRA, OTHER = "Not in the report's table", "Other metrics"
_SCALES = {"%": (0.0, 100.0), "0-100": (0.0, 100.0), "1-5": (1.0, 5.0), "MOS": (1.0, 5.0)}


def benchmark_title(name: str) -> str:
    """ "VoiceBench" for "voicebench"; other names as they are."""
    return BENCHMARK_TITLES.get(name, name)


def metric_cell(run: RunView, task: str, entry: Mapping[str, Any], name: str) -> Cell:
    """The cell of one metric of one task."""
    m = entry["metrics"][name]
    n, scored, decimals = m["n"], m["n_scored"], m["decimals"]
    marks, notes = _marks(run, entry, m)
    complete = scored == n
    bounds = tuple(m["bounds"]) if m["bounds"] else None
    floor = m["value"] if complete else (bounds[0 if m["higher_is_better"] else 1] if bounds else None)
    whole = not entry.get("limited") and not m["n_pending"] and entry.get("n_expected") in (None, n)
    return Cell(
        value=m["value"],
        text=number(m["value"], decimals),
        ci=tuple(m["ci"]) if m["ci"] else None,
        bounds=bounds,
        n=n,
        n_scored=scored,
        n_errors=m["n_errors"],
        n_unscored=m["n_unscored"],
        n_pending=m["n_pending"],
        coverage="" if complete else f"{scored}/{n}",
        protocol=entry["protocol"],
        signature=m["signature"],
        judges=tuple(m["judges"]),
        reasons=tuple(f"{r['n']} \u00d7 {r['example']}" for r in (m.get("reasons") or {}).values()),
        marks=marks,
        notes=notes,
        rivals=m["value"] is not None and not run.demo and m["meaningful"] and whole,
        floor=floor,
        link=f"{run.key}/{task}",
        task=task,
        metric=name,
    )


def _marks(
    run: RunView, entry: Mapping[str, Any], m: Mapping[str, Any]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found: list[tuple[str, str]] = []
    if run.demo:
        found.append(("demo", "Embedded demo: no baseline of anything."))
    if not m["meaningful"]:
        found.append(("not-meaningful", "The judge was a stand-in: this value says nothing about the model."))
    if m.get("withheld"):
        found.append(("withheld", "No value is given while samples are unscored, because being unscored depends "
                      "on the verdict; the bounds hold."))  # fmt: skip
    if entry.get("limited"):
        found.append(("limited", f"Partial data by request: {m['n']:,} samples."))
    elif entry.get("n_expected") not in (None, m["n"]):
        found.append(
            ("count", f"The published set has {entry['n_expected']:,} samples, this run {m['n']:,}.")
        )
    if entry["protocol"] != entry.get("default_protocol", entry["protocol"]):
        found.append(
            ("protocol", f"Protocol {entry['protocol']}, not the report's {entry['default_protocol']}.")
        )
    for code, n in (m.get("touched") or {}).items():
        found.append(("touched", f"{n:,} verdicts decided by the public scorer's defect {code}."))
    return tuple(dict.fromkeys(code for code, _ in found)), tuple(text for _, text in found)


def overall_cell(run: RunView, name: str) -> Cell:
    """The cell of a benchmark's overall."""
    o = run.overalls[name]
    notes = [f"Formula: {o['formula']}."]
    marks = ["demo"] if run.demo else []
    if o["missing"]:
        notes.append(f"No value without {', '.join(o['missing'])}.")
    if not o["meaningful"]:
        marks.append("not-meaningful")
        notes.append("At least one part was judged by a stand-in.")
    parts = [run.tasks[t] for t in o["parts"] if t in run.tasks]
    sound = not any(e.get("limited") or e.get("n_expected") not in (None, e["n"]) for e in parts)
    if not sound:
        marks.append("limited")
        notes.append("At least one part ran on partial data.")
    whole = bool(o["complete"]) and sound
    return Cell(
        value=o["value"],
        text=number(o["value"], o["decimals"]),
        ci=tuple(o["ci"]) if o["ci"] else None,
        coverage="" if o["complete"] else "incomplete",
        signature=f"overall {name}, from the signatures of its parts: {o['signature']}",
        marks=tuple(marks),
        notes=tuple(notes),
        rivals=o["value"] is not None and not run.demo and bool(o["meaningful"]) and whole,
        floor=o["value"],
        metric="overall",
    )


def printed_cell(row: paper.PublishedRow, model: str) -> Cell:
    """The cell of a printed number, with what is known against it."""
    text = row.values.get(model)
    if text is None:
        return Cell()
    notes = paper.footnotes(row.table, row.section, row.name, model)
    wrong = any(f.wrong for f in notes)
    return Cell(
        value=float(text),
        text=text,
        marks=("misprint",) if wrong else (("footnote",) if notes else ()),
        notes=(f"Report, Table {row.table}, as printed.", *(f.text for f in notes)),
        rivals=not wrong,
        floor=float(text),
        signature=f"arXiv 2512.20156, Table {row.table}, {row.section}, {row.name}, {model}",
    )


@dataclass(frozen=True)
class _Printed:
    """The printed side of a table: sections by title, each by table number, and the columns they give."""

    sections: Mapping[str, Mapping[str, paper.PublishedSection]]
    columns: tuple[tuple[str, str], ...]


def _addresses(runs: Sequence[RunView], benchmark: str) -> list[tuple[str, str]]:
    """(table, section) pairs that tasks and overalls of a benchmark fill, in order of appearance."""
    found: dict[tuple[str, str], None] = {}
    for run in runs:
        for entry in _of_benchmark(run, benchmark).values():
            found.update({(str(c["table"]), c["section"]): None for c in entry.get("cells") or ()})
        for name in _overalls_of(run, benchmark):
            found.update(
                {(str(c["table"]), c["section"]): None for c in run.overalls[name].get("cells") or ()}
            )
    return list(found)


def _of_benchmark(run: RunView, benchmark: str) -> dict[str, Mapping[str, Any]]:
    return {n: e for n, e in run.tasks.items() if e["benchmark"] == benchmark}


def _overalls_of(run: RunView, benchmark: str) -> list[str]:
    return [n for n, o in run.overalls.items() if o["parts"] and o["parts"][0].split("/")[0] == benchmark]


def _printed(runs: Sequence[RunView], benchmark: str, wanted: Sequence[str] | None) -> _Printed:
    named = _addresses(runs, benchmark)
    out: dict[str, dict[str, paper.PublishedSection]] = {}
    for section in dict.fromkeys(s for _, s in named):
        tables = [t for t, s in named if s == section]
        if wanted is not None:
            tables = list(wanted)
        elif "2" in tables:  # Tables 1 and 2 have the same rows; ours belongs beside the models of its size
            tables = [t for t in tables if t != "1"]
        there = {t: s for t in tables if (s := paper.find(t, section)) is not None}
        if there:
            out[section] = there
    columns = dict.fromkeys((t, m) for tables in out.values() for t, s in tables.items() for m in s.models)
    return _Printed(out, tuple(columns))


def _columns(printed: _Printed, runs: Sequence[RunView]) -> tuple[Column, ...]:
    known = paper.models()
    columns = [
        Column(
            f"t{t}:{m}", m, "published", group=f"Report, Table {t}", note=known[m].note if m in known else ""
        )
        for t, m in printed.columns
    ]
    columns += [Column(r.key, r.label, "run", group="This report's runs", demo=r.demo) for r in runs]
    return tuple(columns)


def _fills(run: RunView, benchmark: str, row: paper.PublishedRow) -> tuple[str, str] | None:
    """("task" or "overall", name) of what fills a printed row in a run."""
    kinds: Iterable[tuple[str, str, Mapping[str, Any]]] = [
        *(("task", n, e) for n, e in _of_benchmark(run, benchmark).items()),
        *(("overall", n, run.overalls[n]) for n in _overalls_of(run, benchmark)),
    ]
    for kind, name, entry in kinds:
        for c in entry.get("cells") or ():
            if (
                c["section"] == row.section
                and row.called(c["row"])
                and c.get("language") in (None, row.language)
            ):
                return kind, name
    return None


def _our_cell(run: RunView, kind: str, name: str) -> Cell:
    if kind == "overall":
        return overall_cell(run, name)
    return metric_cell(run, name, run.tasks[name], run.tasks[name]["headline"])


def _printed_section(
    title: str,
    tables: Mapping[str, paper.PublishedSection],
    printed: _Printed,
    runs: Sequence[RunView],
    benchmark: str,
    placed: set[tuple[str, str]],
) -> Section:
    rows = []
    base = next(iter(tables.values()))
    shared = len({r.benchmark for r in base.rows}) > 1
    for given in base.rows:
        filled = [_fills(r, benchmark, given) for r in runs]
        if shared and not any(filled):
            continue  # a row of another benchmark in the same printed section
        beside = {t: s.row(given.name, given.language) for t, s in tables.items()}
        cells = [printed_cell(row, m) if (row := beside.get(t)) else Cell() for t, m in printed.columns]
        cells += [_our_cell(r, *f) if f else Cell() for r, f in zip(runs, filled, strict=True)]
        placed.update(f for f in filled if f)
        rows.append(_row_of(given, filled, runs, cells, shared))
    numbers = " and ".join(tables)
    return Section(f"Report, Table {numbers}: {title}", tuple(rows))


def _row_of(
    given: paper.PublishedRow,
    filled: Sequence[tuple[str, str] | None],
    runs: Sequence[RunView],
    cells: Sequence[Cell],
    shared: bool,
) -> Row:
    name = given.name if not shared or not given.subset else f"{given.benchmark} {given.subset}"
    ours = [(r, f[1]) for r, f in zip(runs, filled, strict=True) if f and f[0] == "task"]
    first = headline(ours[0][0].tasks[ours[0][1]]) if ours else None
    decimals = first["decimals"] if first else 2
    return Row(
        label=name,
        metric=first["label"] if first else METRIC_LABELS.get(given.metric, given.metric),
        unit=first["unit"]
        if first
        else ("1-5" if "1_5" in given.unit else "%" if given.unit == "%" else "0-100"),
        higher_is_better=given.higher_is_better,
        cells=ranked(cells, higher_is_better=given.higher_is_better, decimals=decimals),
        decimals=decimals,
        scale=given.range,
        overall=given.name in paper.OVERALLS,
        task=ours[0][1] if ours else "",
    )


def _own_row(runs: Sequence[RunView], blanks: int, task: str, name: str | None, label: str) -> Row:
    """A row without printed numbers: the metric (the headline if None) of a task over all runs."""
    having = [r for r in runs if task in r.tasks]
    metric = name or having[0].tasks[task]["headline"]
    cells = [Cell()] * blanks
    m: Mapping[str, Any] | None = None
    for run in runs:
        entry = run.tasks.get(task)
        if entry is None or metric not in entry["metrics"]:
            cells.append(Cell())
            continue
        m = m or entry["metrics"][metric]
        cells.append(metric_cell(run, task, entry, metric))
    assert m is not None
    return Row(
        label=label,
        metric=m["label"],
        unit=m["unit"],
        higher_is_better=m["higher_is_better"],
        cells=ranked(cells, higher_is_better=m["higher_is_better"], decimals=m["decimals"]),
        decimals=m["decimals"],
        scale=_SCALES.get(m["unit"]) if m["higher_is_better"] else None,
        task=task,
    )


def _extra_section(
    runs: Sequence[RunView], blanks: int, benchmark: str, placed: set[tuple[str, str]]
) -> Section:
    names = dict.fromkeys(n for r in runs for n in _of_benchmark(r, benchmark) if ("task", n) not in placed)
    rows = [
        _own_row(runs, blanks, n, None, next(r.tasks[n]["title"] for r in runs if n in r.tasks))
        for n in names
    ]
    overalls = dict.fromkeys(
        n for r in runs for n in _overalls_of(r, benchmark) if ("overall", n) not in placed
    )
    for name in overalls:
        first = next(r.overalls[name] for r in runs if name in r.overalls)
        cells = [*[Cell()] * blanks, *(overall_cell(r, name) if name in r.overalls else Cell() for r in runs)]
        decimals = first["decimals"]
        rows.append(Row(first["label"], "Mean", "0-100", True, ranked(cells, higher_is_better=True, decimals=decimals),
                        decimals, (0.0, 100.0), overall=True))  # fmt: skip
    return Section(EXTRA, tuple(rows)) if blanks else Section("Tasks", tuple(rows))


def _other_section(runs: Sequence[RunView], blanks: int, benchmark: str) -> Section:
    rows = []
    for task in dict.fromkeys(n for r in runs for n in _of_benchmark(r, benchmark)):
        entry = next(r.tasks[task] for r in runs if task in r.tasks)
        names = dict.fromkeys(m for r in runs if task in r.tasks for m in r.tasks[task]["metrics"])
        rows += [_own_row(runs, blanks, task, m, entry["title"]) for m in names if m != entry["headline"]]
    return Section(
        OTHER, tuple(rows), note="Beside the headline: halves of a score, speech quality, alignment."
    )


def build_table(runs: Sequence[RunView], benchmark: str, published: Sequence[str] | None = None) -> Table:
    """The table of one benchmark: printed sections, then what the report doesn't have, then other metrics."""
    printed = _printed(runs, benchmark, published)
    placed: set[tuple[str, str]] = set()
    sections = [_printed_section(t, s, printed, runs, benchmark, placed) for t, s in printed.sections.items()]
    blanks = len(printed.columns)
    sections += [_extra_section(runs, blanks, benchmark, placed), _other_section(runs, blanks, benchmark)]
    shown = tuple(s for s in sections if s.rows)
    return Table(benchmark, benchmark_title(benchmark), _columns(printed, runs), shown)


def build_tables(runs: Sequence[RunView], published: Sequence[str] | None = None) -> list[Table]:
    """One table per benchmark of the runs, in the order the runs name them.

    Args:
        published: numbers of the report's tables whose columns stand beside ours ("1", "2"); None takes the
            one the tasks fill, and Table 2 rather than 1; an empty sequence gives our columns alone.
    """
    names = dict.fromkeys(e["benchmark"] for r in runs for e in r.tasks.values())
    return [build_table(runs, name, published) for name in names]
