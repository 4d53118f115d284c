"""The lines of a benchmark's overalls: the mean of its parts' differences, each over its own shared samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evalkit.inference import combined
from reports.comparison.lines import metric_line
from reports.comparison.model import OVERALLS, Line, Part, Side

if TYPE_CHECKING:
    from reports.comparison.settings import Settings


def overall_lines(
    a: Side, b: Side, benchmark: str, tasks: Sequence[Line], chosen: Settings
) -> Iterator[Line]:
    """A line per overall that both runs have. None where tasks or metrics were picked that leave out its parts.

    Args:
        tasks: the lines of the benchmark's tasks, from which the parts are taken.
    """
    assert a.view is not None and b.view is not None
    for name, one in a.view.overalls.items():
        two = b.view.overalls.get(name)
        if two is None or not one["parts"] or one["parts"][0].partition("/")[0] != benchmark:
            continue
        if one["value"] is None and two["value"] is None:
            continue  # nobody set out to have it
        if any(not chosen.wants(t) for t in one["parts"]) or not any(x.kind == "task" for x in tasks):
            continue
        yield _line(a, b, name, one, two, tasks, chosen)


def _line(
    a: Side,
    b: Side,
    name: str,
    one: Mapping[str, Any],
    two: Mapping[str, Any],
    tasks: Sequence[Line],
    chosen: Settings,
) -> Line:
    line = Line(
        a=a.key, b=b.key, kind="overall", task=name, benchmark=one["parts"][0].partition("/")[0],
        title=one["label"], metric="overall", label="Mean", unit="0-100", decimals=one["decimals"],
        higher_is_better=True, paired=True, whole_a=one["value"], whole_b=two["value"], family=OVERALLS,
    )  # fmt: skip
    for side, overall in ((a, one), (b, two)):
        if overall["missing"]:
            return replace(line, why=f"{side.label} has no value without {', '.join(overall['missing'])}")
    found = [(_part(a, b, term, tasks, chosen), float(term["factor"])) for term in one.get("terms") or ()]
    if refused := [x for x, _ in found if x is not None and x.refused]:
        parts = dict.fromkeys(p.name for x in refused for p in x.refused)
        said = tuple(Part(p, *_both(refused, p)) for p in parts)
        return replace(line, refused=said, why=f"{', '.join(x.task for x in refused)} can't be compared")
    if not found or any(x is None or x.difference is None for x, _ in found):
        lacking = [
            t for t, (x, _) in zip(one["parts"], found, strict=False) if x is None or x.difference is None
        ]
        return replace(line, why=f"no difference without {', '.join(lacking) or 'its parts'}")
    marks = dict.fromkeys(m for x, _ in found if x is not None for m in x.marks)
    terms = [(x.difference, factor) for x, factor in found if x is not None and x.difference is not None]
    allowed = {p.name: p for x, _ in found if x is not None for p in x.allowed}
    note = (
        "Over the shared samples of each part; parts are different samples, so that they vary independently."
    )
    return replace(
        line,
        difference=combined(terms, round_parts=one.get("round_parts")),
        marks=tuple(marks),
        allowed=tuple(allowed.values()),
        notes=(f"Formula: {one['formula']}.", note),
    )


def _part(a: Side, b: Side, term: Mapping[str, Any], tasks: Sequence[Line], chosen: Settings) -> Line | None:
    """The line of a part: among those of the tasks, or one of its own where the overall is of another metric."""
    task, metric = term["task"], term["metric"]
    for x in tasks:
        if x.group is None and (x.task, x.metric) == (task, metric):
            return x
    there = all(s.view is not None and task in s.view.tasks for s in (a, b))
    return metric_line(a, b, task, metric, chosen) if there and metric else None


def _both(lines: Sequence[Line], name: str) -> tuple[str, str]:
    """The values of a part where the lines agree, else words."""
    found = {(p.a, p.b) for x in lines for p in x.refused if p.name == name}
    return found.pop() if len(found) == 1 else ("see its tasks", "see its tasks")
