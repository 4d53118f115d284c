"""The lines of a benchmark's overalls: the mean of its parts' differences, each over its own shared samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from evalkit.inference import Difference
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
    found = [_part(term, tasks) for term in one.get("terms") or ()]
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
    note = "Over the shared samples of each part; parts are different samples, so their variances add up."
    return replace(
        line,
        difference=combined(terms, level=chosen.level),
        marks=tuple(marks),
        allowed=tuple(allowed.values()),
        notes=(f"Formula: {one['formula']}.", note),
    )


def _part(term: Mapping[str, Any], tasks: Sequence[Line]) -> tuple[Line | None, float]:
    for x in tasks:
        if x.group is None and (x.task, x.metric) == (term["task"], term["metric"]):
            return x, float(term["factor"])
    return None, float(term["factor"])


def _both(lines: Sequence[Line], name: str) -> tuple[str, str]:
    """The values of a part where the lines agree, else words."""
    found = {(p.a, p.b) for x in lines for p in x.refused if p.name == name}
    return found.pop() if len(found) == 1 else ("see its tasks", "see its tasks")


def combined(terms: Sequence[tuple[Difference, float]], *, level: float) -> Difference:
    """The mean of differences, each by its factor; parts are independent, so that variances add up (normal)."""
    k, z = len(terms), NormalDist().inv_cdf(0.5 + level / 2)
    a, b = (sum(f * v for v, f in ((getattr(d, side), f) for d, f in terms)) / k for side in "ab")
    variance = sum((f * (_se(d) or 0.0)) ** 2 for d, f in terms)
    se, delta = math.sqrt(variance) / k, b - a
    p = 2 * NormalDist().cdf(-abs(delta) / se) if se > 0 else (1.0 if delta == 0 else 0.0)
    n, clusters, wins, losses, ties = (
        sum(getattr(d, name) for d, _ in terms) for name in ("n", "clusters", "wins", "losses", "ties")
    )
    return Difference(
        a, b, delta, (delta - z * se, delta + z * se), "normal(parts)", p, "z(parts)", n, clusters, wins, losses,
        ties, True, level, se,
    )  # fmt: skip


def _se(d: Difference) -> float | None:
    """Where the method has none: half the interval by the normal quantile."""
    if d.se is not None or d.ci is None:
        return d.se
    return (d.ci[1] - d.ci[0]) / 2 / NormalDist().inv_cdf(0.5 + d.level / 2)
