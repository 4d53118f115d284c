"""The difference of a benchmark's overall, from the paired differences of its parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Any

from evalkit.errors import UsageError
from evalkit.inference import Difference
from evalkit.task import Overall

Compared = Callable[[str, str], Difference]
"""(task, metric) to the paired difference; raises UsageError where there is none."""


def declared(name: str) -> Overall | None:
    """The overall of this name among the installed benchmarks; results.json doesn't hold the factors."""
    from evalkit.registry import catalogue

    return catalogue().overalls.get(name)


def combined(
    overall: Overall,
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    headline: Callable[[str], str],
    compared: Compared,
    level: float,
) -> Difference:
    """The difference of two overalls: the mean of the parts' differences, each by its factor.

    The parts are different samples, so that their variances add up: standard error sqrt(sum(f^2 se^2)) / k, normal
    interval and test. The difference is that of the shared samples; the printed overalls, whose parts may be
    rounded first, are `a` and `b`.

    Args:
        a, b: the overalls in the two results.json, both with a value.

    Raises:
        UsageError: a part has no difference.
    """
    delta = variance = 0.0
    n = clusters = wins = losses = ties = 0
    for part in overall.parts:
        found = compared(part.task, part.metric or headline(part.task))
        se = standard_error(found)
        if se is None:
            raise UsageError(f"{part.task} has too few samples for an interval")
        delta += part.factor * found.delta
        variance += (part.factor * se) ** 2
        n, clusters = n + found.n, clusters + found.clusters
        wins, losses, ties = wins + found.wins, losses + found.losses, ties + found.ties
    k = len(overall.parts)
    delta, se = delta / k, math.sqrt(variance) / k
    half = NormalDist().inv_cdf(0.5 + level / 2) * se
    p = 2 * (1 - NormalDist().cdf(abs(delta) / se)) if se > 0 else (1.0 if delta == 0 else 0.0)
    ci = (delta - half, delta + half)
    return Difference(
        float(a["value"]), float(b["value"]), delta, ci, "normal(parts)", p, "z(parts)", n, clusters,
        wins, losses, ties, True, level, se,
    )  # fmt: skip


def standard_error(found: Difference) -> float | None:
    """The standard error of a difference; where the method has none, half the interval by the normal quantile."""
    if found.se is not None:
        return found.se
    if found.ci is None:
        return None
    return (found.ci[1] - found.ci[0]) / 2 / NormalDist().inv_cdf(0.5 + found.level / 2)
