"""The cells of a table: from a metric, from an overall, from a printed number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalkit import published as paper
from evalkit.registry import catalogue
from evalkit.signature import differences, parse
from reports.cells import Cell, number
from reports.judging import judging
from reports.judging import marks as judging_marks
from reports.runs import RunView, own_data, smoke

_ITS_OWN = frozenset({"strata", "unfit", "prompt"})
"""Marks of a number that isn't measured as the printed ones are, for a reason that only it has."""


def whole_data(entry: Mapping[str, Any]) -> bool:
    """True when the run set out to answer all that was published."""
    if own_data(entry):
        return False
    return not entry.get("limited") and not smoke(entry) and entry.get("n_expected") in (None, entry["n"])


def metric_cell(
    run: RunView, task: str, entry: Mapping[str, Any], name: str, group: tuple[str, str] | None = None
) -> Cell:
    """The cell of one metric of one task, or of one of its groups."""
    m = entry["groups"][group[0]][group[1]][name] if group else entry["metrics"][name]
    n, scored, decimals = m["n"], m["n_scored"], m["decimals"]
    marks, notes = _marks(run, task, entry, m)
    complete = scored == n
    bounds = tuple(m["bounds"]) if m["bounds"] else None
    floor = m["value"] if complete else (bounds[0 if m["higher_is_better"] else 1] if bounds else None)
    whole = whole_data(entry) and not m["n_pending"] and not _ITS_OWN.intersection(marks)
    missing = () if complete else (_missing(m),)
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
        signature=m.get("signature", ""),
        judges=tuple(m["judges"]),
        judging=judging(m["judges"]),
        reasons=tuple(f"{r['n']} \u00d7 {r['example']}" for r in (m.get("reasons") or {}).values()),
        marks=marks,
        notes=notes,
        rivals=m["value"] is not None and not run.demo and m["meaningful"] and whole,
        floor=floor,
        link=f"{run.key}/{task}",
        task=task,
        metric=name,
        footnotes=(*notes, *missing),
        runs=(run.root.name,),
    )


def _missing(m: Mapping[str, Any]) -> str:
    """ "518 of 520 samples scored: 2 errored." """
    kinds = (("n_errors", "errored"), ("n_unscored", "unscored"), ("n_pending", "not reached"))
    why = ", ".join(f"{m[k]:,} {word}" for k, word in kinds if m[k])
    return f"{m['n_scored']:,} of {m['n']:,} samples scored{f': {why}' if why else ''}."


def _marks(
    run: RunView, task: str, entry: Mapping[str, Any], m: Mapping[str, Any]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found: list[tuple[str, str]] = []
    if run.demo:
        found.append(("demo", "Embedded demo: no baseline of anything."))
    if not m["meaningful"]:
        found.append(("not-meaningful", "The judge was a stand-in: this value says nothing about the model."))
    if m.get("withheld"):
        found.append(
            (
                "withheld",
                "No value is given while samples are unscored, because being unscored depends "
                "on the verdict or on the kind of sample; the bounds hold.",
            )
        )
    if own_data(entry):
        found.append(("own-data", "Measured on data of your own, not on the set of the printed numbers."))
    if smoke(entry):
        found.append(
            ("smoke", "Smoke data: our own few questions in the benchmark's layout, not the benchmark.")
        )
    elif entry.get("limited"):
        found.append(("limited", f"Partial data by request: {m['n']:,} samples."))
    elif entry.get("n_expected") not in (
        None,
        entry["n"],
    ):  # of the task: a group, or a metric, may have fewer
        found.append(
            ("count", f"The published set has {entry['n_expected']:,} samples, this run {entry['n']:,}.")
        )
    found += _strata(entry, m)
    if entry["protocol"] != entry.get("default_protocol", entry["protocol"]):
        found.append(
            ("protocol", f"Protocol {entry['protocol']}, not the report's {entry['default_protocol']}.")
        )
    known = catalogue().tasks.get(task)
    if known is not None and entry.get("prompt") not in (None, "", known.prompt):
        found.append(("prompt", f"Asked with the prompt {entry['prompt']}, not the report's {known.prompt}."))
    found += judging_marks(judging(m["judges"]))
    if m.get("warning"):
        found.append(("footnote", f"{m['label']}: {m['warning']}."))
    for code, n in (m.get("touched") or {}).items():
        found.append(("touched", f"{n:,} verdicts decided by the public scorer's defect {code}."))
    if m.get("too_many"):
        found.append(("unfit", f"That is more of {listed(m['too_many'])} than this score can bear."))
    return tuple(dict.fromkeys(code for code, _ in found)), tuple(text for _, text in found)


def _strata(entry: Mapping[str, Any], m: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a mean over weighted categories lacks, of data that are no choice of the caller's."""
    lacking = m.get("strata_missing")
    if lacking is None or smoke(entry):
        return []
    found = []
    if lacking and m["n_scored"]:
        found.append(("strata", f"The mean of the other categories: no score in {listed(lacking)}."))
    if m.get("primary") and (outside := entry["n"] - m["n"]) > 0:
        text = f"{outside:,} of {entry['n']:,} samples belong to no category that has a weight."
        found.append(("strata", text))
    return found


def listed(names: Sequence[str], most: int = 4) -> str:
    """ "a, b, c and 3 more" """
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"


def overall_cell(run: RunView, name: str) -> Cell:
    """The cell of a benchmark's overall."""
    o = run.overalls[name]
    notes: list[str] = []
    marks = ["demo"] if run.demo else []
    if o["missing"]:
        notes.append(f"No value without {listed(o['missing'])}.")
    if not o["meaningful"]:
        marks.append("not-meaningful")
        notes.append("At least one part was judged by a stand-in.")
    parts = [run.tasks[t] for t in o["parts"] if t in run.tasks]
    sound = all(whole_data(e) for e in parts)
    protocols = [
        (str(e["protocol"]), str(other))
        for e in parts
        if (other := e.get("default_protocol", e["protocol"])) != e["protocol"]
    ]
    if protocols:
        marks.append("protocol")
        whole_of = "Protocol" if len(protocols) == len(o["parts"]) else "At least one part: protocol"
        notes += [f"{whole_of} {mine}, not the report's {other}." for mine, other in dict.fromkeys(protocols)]
    if not sound:
        marks.append("smoke" if any(smoke(e) for e in parts) else "limited")
        notes.append("At least one part ran on partial data, or on the smoke data.")
    own = [
        mark
        for task in o["parts"]
        if (e := run.tasks.get(task))
        for mark in _marks(run, task, e, e["metrics"][e["headline"]])[0]
        if mark in _ITS_OWN
    ]
    if own:
        marks += dict.fromkeys(own)
        notes.append("At least one part is marked itself: see its own footnote.")
    whole = bool(o["complete"]) and sound and not own
    said = judging(j for e in parts for j in e["metrics"][e["headline"]]["judges"])
    for mark, note in judging_marks(said):
        marks.append(mark)
        notes.append(note)
    if not o["complete"] and not o["missing"]:
        notes.append("At least one part has samples without a score.")
    return Cell(
        value=o["value"],
        text=number(o["value"], o["decimals"]),
        ci=tuple(o["ci"]) if o["ci"] else None,
        coverage="" if o["complete"] else "incomplete",
        judging=said,
        signature=f"overall {name}, from the signatures of its parts: {o['signature']}",
        marks=tuple(marks),
        notes=(f"Formula: {o['formula']}.", *notes),
        footnotes=(*("Embedded demo: no baseline of anything." for _ in range(run.demo)), *notes),
        runs=(run.root.name,),
        rivals=o["value"] is not None and not run.demo and bool(o["meaningful"]) and whole,
        floor=o["value"],
        metric="overall",
        parts=part_signatures(run, o),
    )


def part_signatures(run: RunView, overall: Mapping[str, Any]) -> tuple[str, ...]:
    """The signatures of the numbers of this run that an overall is made of."""
    terms = overall.get("terms") or [{"task": t} for t in overall["parts"]]
    found = []
    for term in terms:
        entry = run.tasks.get(term["task"])
        metric = entry["metrics"].get(term.get("metric") or entry["headline"]) if entry else None
        found.append((metric or {}).get("signature"))
    return tuple(s for s in found if s)


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
        footnotes=tuple(f.text for f in notes),
        rivals=not wrong,
        floor=float(text),
        signature=f"arXiv 2512.20156, Table {row.table}, {row.section}, {row.name}, {model}",
    )


def compared(cells: Sequence[Cell], labels: Sequence[str]) -> list[Cell]:
    """Cells of runs, those made in another way than the first one saying in what; `labels` name the runs."""
    out = list(cells)
    given = [(i, c) for i, c in enumerate(cells) if c.parts or "|" in c.signature]
    for i, cell in given[1:]:
        first = given[0]
        if parts := _differ(first[1], cell):
            note = f"Made in another way than {labels[first[0]]}: differs in {', '.join(parts)}."
            more = (*cell.footnotes, note)
            out[i] = replace(cell, marks=(*cell.marks, "differs"), notes=(*cell.notes, note), footnotes=more)
    return out


def _differ(a: Cell, b: Cell) -> list[str]:
    """Names of the parts of their signatures in which two numbers differ; of overalls, task by task."""
    if not (a.parts and b.parts):
        return differences(a.signature, b.signature) if not (a.parts or b.parts) else []
    theirs = {parse(s)["task"]: s for s in b.parts}
    pairs = [(s, theirs[t]) for s in a.parts if (t := parse(s)["task"]) in theirs]
    return list(dict.fromkeys(name for one, other in pairs for name in differences(one, other)))
