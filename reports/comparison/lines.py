"""The lines of one task in two runs: its metrics and its groups, refused or compared on the shared samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from evalkit.errors import UsageError
from evalkit.inference import NothingToCompare, compare
from evalkit.inference.units import gaps
from evalkit.pairs import Group, Paired, RunSegments, incomparable, metric_of, pairs_of
from evalkit.signature import differences, parse
from evalkit.store import Run
from evalkit.truncation import compared
from reports.comparison.model import GROUPS, HEADLINES, OTHERS, Coverage, Kind, Line, Pairs, Part, Side
from reports.comparison.settings import wanted_metrics
from reports.runs import own_data, smoke

if TYPE_CHECKING:
    from evalkit.segmentfile import TaskSegments
    from reports.comparison.settings import Settings

NAMED = 3
"""Sample ids named in a sentence."""


@dataclass(frozen=True)
class _Both:
    """A task in two runs, read once for all of its lines."""

    a: Side
    b: Side
    task: str
    one: Mapping[str, Any]
    two: Mapping[str, Any]
    first: RunSegments
    second: RunSegments

    @property
    def segments(self) -> tuple[TaskSegments, TaskSegments]:
        return self.first.segments(self.task), self.second.segments(self.task)


def task_lines(a: Side, b: Side, task: str, chosen: Settings) -> Iterator[Line]:
    """The lines of a task that both runs have: the wanted metrics, then their groups.

    Raises:
        UsageError: a run's segments aren't there, or aren't those of its results.
    """
    both = _both(a, b, task)
    one, two = both.one, both.two
    names = wanted_metrics(one, chosen)
    others = [m for m in wanted_metrics(two, chosen) if m not in one["metrics"] and m != two["headline"]]
    for metric in (*names, *others):
        head = metric == one["headline"]
        line = _line(both, metric, None, "task" if head else "metric", HEADLINES if head else OTHERS, chosen)
        yield line
        if chosen.groups and not line.refused and metric in one["metrics"] and metric in two["metrics"]:
            yield from _group_lines(both, metric, chosen)


def metric_line(a: Side, b: Side, task: str, metric: str, chosen: Settings) -> Line:
    """The line of one metric of a task that both runs have, whatever metrics were wanted. Raises as `task_lines`."""
    return _line(_both(a, b, task), metric, None, "metric", OTHERS, chosen)


def _both(a: Side, b: Side, task: str) -> _Both:
    assert a.view is not None and b.view is not None
    first, second = (RunSegments(Run(s.view.root), s.view.results) for s in (a, b) if s.view is not None)
    return _Both(a, b, task, a.view.tasks[task], b.view.tasks[task], first, second)


def _group_lines(both: _Both, metric: str, chosen: Settings) -> Iterator[Line]:
    """A line per subset; a key whose one subset is the whole task needs none."""
    left, right = (e.get("groups") or {} for e in (both.one, both.two))
    for key in left:
        names = [*left[key], *(g for g in right.get(key, {}) if g not in left[key])]
        if len(names) == 1:
            continue
        for name in names:
            if name in left[key] and name in right.get(key, {}):
                yield _line(both, metric, (key, name), "group", GROUPS, chosen)
            else:
                side = both.a if name in left[key] else both.b
                why = f"only {side.label} has samples of {key} {name}"
                yield replace(_empty(both, metric, (key, name), "group", GROUPS), why=why)


def _empty(both: _Both, metric: str, group: Group | None, kind: Kind, family: str) -> Line:
    """What is measured, with nothing compared yet."""
    entry = both.one if metric in both.one["metrics"] else both.two
    m = entry["metrics"][metric]
    return Line(
        a=both.a.key, b=both.b.key, kind=kind, task=both.task, benchmark=both.one["benchmark"],
        title=both.one["title"], metric=metric, label=told_apart(entry, metric), unit=m["unit"],
        decimals=m["decimals"], higher_is_better=m["higher_is_better"], group=group, family=family,
    )  # fmt: skip


def _line(both: _Both, metric: str, group: Group | None, kind: Kind, family: str, chosen: Settings) -> Line:
    line = _empty(both, metric, group, kind, family)
    if metric not in both.one["metrics"] or metric not in both.two["metrics"]:
        return _lacking(both, line, chosen)
    one, two = metric_of(both.one, metric, group), metric_of(both.two, metric, group)
    parts = [Part(k, *v) for k, v in incomparable(both.one, both.two, metric, group).items()]
    free = _free(chosen)
    line = replace(
        line,
        coverage_a=_coverage(one),
        coverage_b=_coverage(two),
        whole_a=one["value"],
        whole_b=two["value"],
        refused=tuple(parts) if any(p.name not in free for p in parts) else (),
        allowed=tuple(parts) if all(p.name in free for p in parts) else (),
    )
    marked = _marked(both, line, one, two)
    return marked if line.refused else _compared(both, marked, one, two, chosen)


def told_apart(entry: Mapping[str, Any], metric: str) -> str:
    """A metric's label, with its name where another metric of the task has the same one (halves of a score)."""
    label = str(entry["metrics"][metric]["label"])
    shared = sum(m["label"] == label for m in entry["metrics"].values()) > 1
    return f"{label} ({metric})" if shared and metric != entry["headline"] else label


def _lacking(both: _Both, line: Line, chosen: Settings) -> Line:
    """One run doesn't measure this: another protocol, which is refused, or an option of scoring."""
    first, second = (str(e["metrics"][e["headline"]]["signature"]) for e in (both.one, both.two))
    left, right = parse(first), parse(second)
    parts = tuple(Part(k, left.get(k, ""), right.get(k, "")) for k in differences(first, second))
    side, entry = (both.b, both.two) if line.metric in both.one["metrics"] else (both.a, both.one)
    one, two = (e["metrics"].get(line.metric, {}).get("value") for e in (both.one, both.two))
    why = f"{side.label} has no {line.metric}; it has: {', '.join(entry['metrics'])}"
    line = replace(line, whole_a=one, whole_b=two, why=why)
    return replace(line, refused=parts) if any(p.name not in _free(chosen) for p in parts) else line


def _free(chosen: Settings) -> tuple[str, ...]:
    """Parts of signatures that may differ: other data have another n."""
    return (*chosen.allow, "n") if "data" in chosen.allow else chosen.allow


def _coverage(m: Mapping[str, Any]) -> Coverage:
    return Coverage(m["n"], m["n_scored"], m["n_unscored"], m["n_errors"], m["n_pending"])


def _marked(both: _Both, line: Line, one: Mapping[str, Any], two: Mapping[str, Any]) -> Line:
    """The line with what limits trust in it."""
    marks: list[str] = []
    notes: list[str] = []
    if line.refused:
        return line
    sides = ((both.a, both.one, one), (both.b, both.two, two))
    if any(s.view is not None and s.view.demo for s, _, _ in sides):
        marks.append("demo")
        notes.append("The embedded demo is no baseline of anything.")
    if not all(m["meaningful"] for _, _, m in sides):
        marks.append("not-meaningful")
        notes.append("A stand-in judge gave these verdicts: the difference says nothing about the models.")
    if any(smoke(e) for _, e, _ in sides):
        marks.append("smoke")
        notes.append("Smoke data: our own few questions in the benchmark's layout, not the benchmark.")
    elif any(e.get("limited") for _, e, _ in sides):
        marks.append("limited")
        notes.append("Partial data by request (--limit).")
    if any(own_data(e) for _, e, _ in sides):
        marks.append("own-data")
    if (gen := [parse(str(m["signature"])).get("gen", "") for _, _, m in sides])[0] != gen[1]:
        marks.append("decoding")
        notes.append(f"Decoding differs: {gen[0]} against {gen[1]}.")
    # A group has no count of its own.
    if line.group is None and (said := compared({both.a.key: both.one, both.b.key: both.two})):
        marks.append("truncated")
        notes.append(f"{said[0].upper()}{said[1:]}.")
    for part in line.allowed:
        notes.append(
            f"Compared by leave: {part.name} differs, {part.a or 'none'} against {part.b or 'none'}."
        )
    return replace(line, marks=tuple(marks), notes=tuple(notes))


def _compared(
    both: _Both, line: Line, one: Mapping[str, Any], two: Mapping[str, Any], chosen: Settings
) -> Line:
    segments = both.segments  # says so loudly when they aren't there
    for side, m in ((both.a, one), (both.b, two)):
        if m.get("withheld"):
            why = f"{side.label} withholds its value: being unscored depends on the verdict, so what is left is unfair"
            return replace(line, why=why, marks=(*line.marks, "withheld"), bound=_bound(line, one, two))
        if m["value"] is None and m["n_scored"]:
            why = f"{side.label} has no value: a defect of the public scorer spoils it"
            return replace(line, why=why)
    try:
        paired = pairs_of(both.first, both.second, both.task, line.metric, line.group)
    except UsageError as exc:
        return replace(line, why=str(exc).removeprefix(f"{both.task}: ").rstrip("."))
    line = _covered(line, paired, segments)
    if not paired.ids:
        return replace(line, why=_nothing(both, paired), bound=_bound(line, one, two))
    names = (line.task, line.metric, *(line.group or ()))
    try:
        found = compare(paired.rows, seed=chosen.seed_of(*names), draws=chosen.draws, level=chosen.level)
    except NothingToCompare as exc:
        return replace(line, why=str(exc).rstrip("."))
    partly, changed = [*_partly(paired)], [*_changed(both, line, paired)]
    return replace(
        line,
        difference=found,
        clustered=paired.cluster if paired.rows.clusters is not None else "",
        bound=_bound(line, one, two),
        marks=(*line.marks, *("changed" for _ in changed), *("partial" for _ in partly)),
        notes=(*line.notes, *filter(None, [found.note]), *partly, *changed),
        pairs=_pairs(paired, segments),
    )


def _covered(line: Line, paired: Paired, segments: tuple[TaskSegments, TaskSegments]) -> Line:
    """The line with what either run has that the other lacks."""
    out = []
    halves = (
        (line.coverage_a, segments[0], paired.only_a, paired.missing_b),
        (line.coverage_b, segments[1], paired.only_b, paired.missing_a),
    )
    for coverage, mine, only, lacking in halves:
        assert coverage is not None
        rows = mine.rows.get(line.metric, {})
        unpaired = sum(i in rows for i in (*only, *lacking))
        out.append(replace(coverage, only=len(only), unpaired=unpaired))
    return replace(line, coverage_a=out[0], coverage_b=out[1])


def _nothing(both: _Both, paired: Paired) -> str:
    """Why no sample is left to compare."""
    shared = {*paired.missing_a, *paired.missing_b}
    if shared:
        return f"none of the {len(shared):,} shared samples has a score in both runs"
    named = [", ".join(ids[:NAMED]) or "none" for ids in (paired.only_a, paired.only_b)]
    return f"no sample id is in both runs: {both.a.label} has {named[0]}, ..., {both.b.label} has {named[1]}, ..."


def _bound(line: Line, one: Mapping[str, Any], two: Mapping[str, Any]) -> tuple[float, float] | None:
    """What the missing could make of the difference, where both runs are of the same samples."""
    lacking = any(m["n_scored"] < m["n"] for m in (one, two))
    if not lacking or any(p.name in ("data", "n") for p in line.allowed):
        return None
    if not one["bounds"] or not two["bounds"] or None in (*one["bounds"], *two["bounds"]):
        return None
    return two["bounds"][0] - one["bounds"][1], two["bounds"][1] - one["bounds"][0]


def _partly(paired: Paired) -> Iterator[str]:
    """Of how many samples a judge's verdict on one run alone is left out."""
    if paired.partial:
        yield f"Of {paired.partial:,} samples a judge's verdict is left out, because only one run has it."


def _changed(both: _Both, line: Line, paired: Paired) -> Iterator[str]:
    """Where data may differ: how many of the shared samples have another question or another target."""
    if not any(p.name == "data" for p in line.allowed):
        return
    one, two = (s.run.task(both.task).marks() for s in (both.first, both.second))
    other = sum((one[i].question, one[i].judged) != (two[i].question, two[i].judged) for i in paired.ids)
    if other:
        yield f"{other:,} of the {len(paired.ids):,} shared samples have another question or target in the other run."


def _pairs(paired: Paired, segments: tuple[TaskSegments, TaskSegments]) -> Pairs:
    """The samples one by one; what is a win is what counts as one in the test."""
    import numpy as np

    rows = paired.rows
    a, b = (rows.pool.formula(x) for x in (rows.a, rows.b))
    outcome = np.sign(gaps(rows)).astype(np.int8)
    ids = sorted({*paired.missing_a, *paired.missing_b, *paired.only_a, *paired.only_b})
    missing = [(i, *(_status(s, paired.metric, i) for s in segments)) for i in ids]
    return Pairs(paired.ids, a, b, outcome, [(i, x, y) for i, x, y in missing])


def _status(segments: TaskSegments, metric: str, sample: str) -> str:
    if sample not in segments.failed:
        return "absent"
    if sample in segments.rows.get(metric, {}):
        return "scored"
    return "errored" if segments.failed[sample] else "unscored"
