"""From runs and printed numbers to tables in the shape of the report's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit import published as paper
from reports.cells import Cell, Column, Row, Section, Table, ranked
from reports.fills import Fill, cell_of, fill_of, of_benchmark, overalls_of
from reports.makers import compared, metric_cell, overall_cell, printed_cell
from reports.runs import RunView

BENCHMARK_TITLES = {
    "voicebench": "VoiceBench",
    "ultraeval-audio": "UltraEval-Audio",
    "openaudiobench": "OpenAudioBench",
    "mmau": "MMAU",
    "mmau-pro": "MMAU-Pro",
    "mmsu": "MMSU",
    "asr": "Speech recognition",
    "speech-fc": "Speech function calling",
    "vstyle": "VStyle",
    "speech-style": "Speech style",
    "custom": "Custom data",
}
EXTRA, OTHER = "Not in the report's table", "Other metrics"
_SCALES = {"%": (0.0, 100.0), "0-100": (0.0, 100.0), "1-5": (1.0, 5.0), "MOS": (1.0, 5.0)}


def benchmark_title(name: str) -> str:
    """ "VoiceBench" for "voicebench"; other names as they are."""
    return BENCHMARK_TITLES.get(name, name)


@dataclass(frozen=True)
class _Printed:
    """The printed side of a table: sections by title, each by table number, and the columns they give."""

    sections: Mapping[str, Mapping[str, paper.PublishedSection]]
    columns: tuple[tuple[str, str], ...]


def _addresses(runs: Sequence[RunView], benchmark: str) -> list[tuple[str, str]]:
    """(table, section) pairs that tasks and overalls of a benchmark fill, in order of appearance."""
    found: dict[tuple[str, str], None] = {}
    for run in runs:
        for entry in of_benchmark(run, benchmark).values():
            found.update({(str(c["table"]), c["section"]): None for c in entry.get("cells") or ()})
        for name in overalls_of(run, benchmark):
            found.update(
                {(str(c["table"]), c["section"]): None for c in run.overalls[name].get("cells") or ()}
            )
    return list(found)


def _printed(runs: Sequence[RunView], benchmark: str, wanted: Sequence[str] | None) -> _Printed:
    named = _addresses(runs, benchmark)
    out: dict[str, dict[str, paper.PublishedSection]] = {}
    order = {s.name: i for i, s in enumerate(paper.sections())}
    for section in sorted(dict.fromkeys(s for _, s in named), key=lambda s: order.get(s, len(order))):
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
    columns += [
        Column(r.key, r.label, "run", group="This report's runs", demo=r.demo, smoke=r.smoke) for r in runs
    ]
    return tuple(columns)


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
    found = [(row, [fill_of(r, row, benchmark) for r in runs]) for row in base.rows]
    spoken = {row.language for row, filled in found if any(filled)}
    several = len({row.language for row in base.rows}) > 1
    for given, filled in found:
        # Not shown: a row of another benchmark in the same section, or of a language nobody ran.
        if not any(filled) and (shared or (several and given.language not in spoken)):
            continue
        beside = {t: _same_row(s, given) for t, s in tables.items()}
        cells = [printed_cell(row, m) if (row := beside.get(t)) else Cell() for t, m in printed.columns]
        ours = [cell_of(r, f) if f else Cell() for r, f in zip(runs, filled, strict=True)]
        cells += compared(ours, [r.label for r in runs])
        placed.update(p for r, f in zip(runs, filled, strict=True) if f and (p := f.settles(r)))
        twins = [
            r
            for r in base.rows
            if r is not given and r.name == given.name and (not shared or r.benchmark == given.benchmark)
        ]
        rows.append(_row_of(given, filled, runs, cells, _row_name(given, twins, shared)))
    numbers = " and ".join(tables)
    return Section(f"Report, Table {numbers}: {title}", tuple(rows))


def _same_row(section: paper.PublishedSection, given: paper.PublishedRow) -> paper.PublishedRow | None:
    """The row of another table that says the same; "Single" alone names several in a section of five sets."""
    names = (f"{given.benchmark} {given.subset}", given.name)
    return next((r for n in names if (r := section.row(n, given.language, given.metric))), None)


def _row_name(given: paper.PublishedRow, twins: Sequence[paper.PublishedRow], shared: bool) -> str:
    """A printed row's name, with what tells it from rows of the same name: benchmark, language, metric."""
    alone = not shared or not given.subset or given.subset in paper.OVERALLS
    name = given.name if alone else f"{given.benchmark} {given.subset}"
    if any(t.language != given.language for t in twins):
        name += f" ({given.language})"
    if any(t.language == given.language and t.metric != given.metric for t in twins):
        name += f" ({given.metric})"
    return name


def _row_of(
    given: paper.PublishedRow,
    filled: Sequence[Fill | None],
    runs: Sequence[RunView],
    cells: Sequence[Cell],
    name: str,
) -> Row:
    ours = [(r.tasks[f.name], f) for r, f in zip(runs, filled, strict=True) if f and f.kind == "task"]
    first = ours[0][0]["metrics"][ours[0][1].metric or ours[0][0]["headline"]] if ours else None
    decimals = first["decimals"] if first else 2
    return Row(
        label=name,
        metric=first["label"] if first else paper.METRICS.get(given.metric, given.metric),
        unit=first["unit"]
        if first
        else ("1-5" if "1_5" in given.unit else "%" if given.unit == "%" else "0-100"),
        higher_is_better=given.higher_is_better,
        cells=ranked(cells, higher_is_better=given.higher_is_better, decimals=decimals),
        decimals=decimals,
        scale=given.range,
        overall=given.name in paper.OVERALLS,
        task=ours[0][1].name if ours else "",
    )


def _told_apart(entry: Mapping[str, Any], name: str) -> str:
    """A metric's label, with its name where two metrics of the task share the label (halves of a score)."""
    label = str(entry["metrics"][name]["label"])
    shared = sum(m["label"] == label for m in entry["metrics"].values()) > 1
    return f"{label} ({name})" if shared and name != entry["headline"] else label


def _own_row(runs: Sequence[RunView], blanks: int, task: str, name: str | None, label: str) -> Row:
    """A row without printed numbers: a metric (each run's headline if None) of a task over all runs."""
    having = [(r, r.tasks[task], name or r.tasks[task]["headline"]) for r in runs if task in r.tasks]
    having = [(r, e, metric) for r, e, metric in having if metric in e["metrics"]]
    _, entry, metric = having[0]
    m = entry["metrics"][metric]
    by_run = {r.key: metric_cell(r, task, e, k) for r, e, k in having}
    ours = compared([by_run.get(r.key, Cell()) for r in runs], [r.label for r in runs])
    cells = [*[Cell()] * blanks, *ours]
    return Row(
        label=label,
        metric=_told_apart(entry, metric) if name else m["label"],
        unit=m["unit"],
        higher_is_better=m["higher_is_better"],
        cells=ranked(cells, higher_is_better=m["higher_is_better"], decimals=m["decimals"]),
        decimals=m["decimals"],
        scale=_SCALES.get(m["unit"]) if m["higher_is_better"] else None,
        task=task,
    )


def _own_overall(runs: Sequence[RunView], blanks: int, name: str) -> Row:
    first = next(r.overalls[name] for r in runs if name in r.overalls)
    ours = [overall_cell(r, name) if name in r.overalls else Cell() for r in runs]
    cells = ranked([*[Cell()] * blanks, *ours], higher_is_better=True, decimals=first["decimals"])
    return Row(first["label"], "Mean", "0-100", True, cells, first["decimals"], (0.0, 100.0), overall=True)


def _extra_section(
    runs: Sequence[RunView], blanks: int, benchmark: str, placed: set[tuple[str, str]]
) -> Section:
    titles = {n: e["title"] for r in runs for n, e in of_benchmark(r, benchmark).items()}
    rows = [
        _own_row(runs, blanks, n, None, title) for n, title in titles.items() if ("task", n) not in placed
    ]
    overalls = dict.fromkeys(n for r in runs for n in overalls_of(r, benchmark))
    rows += [_own_overall(runs, blanks, n) for n in overalls if ("overall", n) not in placed]
    return Section(EXTRA if blanks else "Tasks", tuple(rows), ours_only=True)


def _other_section(
    runs: Sequence[RunView], blanks: int, benchmark: str, placed: set[tuple[str, str]]
) -> Section:
    rows = []
    entries = [(n, e) for r in runs for n, e in of_benchmark(r, benchmark).items()]
    for task in dict.fromkeys(n for n, _ in entries):
        entry = next(e for n, e in entries if n == task)
        headlines = {e["headline"] for n, e in entries if n == task}
        others = dict.fromkeys(m for n, e in entries if n == task for m in e["metrics"] if m not in headlines)
        names = [m for m in others if (f"metric {m}", task) not in placed]
        rows += [_own_row(runs, blanks, task, m, entry["title"]) for m in names]
    return Section(OTHER, tuple(rows), ours_only=True, aside=True)


def alike(table: Table) -> bool:
    """Have two sections rows of one name, so that a list of rows has to say which section they are of?"""
    names = [r.label for s in table.sections if not s.aside for r in s.rows]
    return len(set(names)) < len(names)


def short_title(section: Section) -> str:
    """ "Instruction" for "Report, Table 5: Instruction"; other titles as they are."""
    return section.title.partition(": ")[2] if section.title.startswith("Report, ") else section.title


def build_table(runs: Sequence[RunView], benchmark: str, published: Sequence[str] | None = None) -> Table:
    """The table of one benchmark: printed sections, then what the report doesn't have, then other metrics."""
    runs = [r for r in runs if of_benchmark(r, benchmark)]  # no column for a run that has nothing here
    printed = _printed(runs, benchmark, published)
    placed: set[tuple[str, str]] = set()
    sections = [_printed_section(t, s, printed, runs, benchmark, placed) for t, s in printed.sections.items()]
    blanks = len(printed.columns)
    sections += [f(runs, blanks, benchmark, placed) for f in (_extra_section, _other_section)]
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
