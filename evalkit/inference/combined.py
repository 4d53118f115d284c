"""The difference of an overall: the mean of several tasks' differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from evalkit.inference.intervals import normal_quantile
from evalkit.inference.rows import Difference
from evalkit.stats import round_half_up, square_and_add


def combined(parts: Sequence[tuple[Difference, float]], *, round_parts: int | None = None) -> Difference:
    """The mean of differences, each by its factor, with an interval from the parts' own.

    Parts are different samples, so that they vary independently. Each side of the interval adds up the squared
    distances of the parts' own ends (square-and-add: Zou & Donner 2008), which keeps what Tango's and the
    bootstrap's intervals know of skewness; for symmetric parts it is the normal interval of added variances. p is
    the level at which a normal interval of that reach would just touch 0, so that interval and p always agree.

    Args:
        parts: (difference, factor on its printed values), as `evalkit.task.Overall` has them.
        round_parts: decimals that the parts' values are rounded to before they are averaged, as the overall does it.

    Returns:
        ci and p are None where a part has no interval.

    Raises:
        ValueError: no parts, or parts with intervals of different levels.
    """
    if not parts:
        raise ValueError("an overall of no parts")
    level = parts[0][0].level
    if any(d.level != level for d, _ in parts):
        raise ValueError("the parts of an overall have intervals of different levels")
    k = len(parts)

    def mean(values: Sequence[float]) -> float:
        settled = values if round_parts is None else [round_half_up(v, round_parts) for v in values]
        return sum(f * v for v, (_, f) in zip(settled, parts, strict=True)) / k

    a, b = mean([d.a for d, _ in parts]), mean([d.b for d, _ in parts])
    delta = b - a
    found = square_and_add([(d.delta, d.ci, f) for d, f in parts])
    known, (low, high) = found is not None, found or (0.0, 0.0)
    variance = sum((f * (d.se or 0.0)) ** 2 for d, f in parts)
    reach = low if delta > 0 else high
    p: float | None = None
    if known and delta == 0:
        p = 1.0
    elif known:
        p = 2 * NormalDist().cdf(-abs(delta) / reach * normal_quantile(level)) if reach > 0 else 0.0
    return Difference(
        a=a,
        b=b,
        delta=delta,
        ci=(delta - low, delta + high) if known else None,
        ci_method="square-and-add" if known else "none",
        p=p,
        test="combined-z" if known else "none",
        n=sum(d.n for d, _ in parts),
        clusters=sum(d.clusters for d, _ in parts),
        wins=sum(d.wins for d, _ in parts),
        losses=sum(d.losses for d, _ in parts),
        ties=sum(d.ties for d, _ in parts),
        higher_is_better=parts[0][0].higher_is_better,
        level=level,
        se=math.sqrt(variance) / k if known else None,
    )
