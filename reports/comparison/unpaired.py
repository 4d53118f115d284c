"""A number with samples against a printed one without: what n alone can tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from evalkit.inference import Difference


@dataclass(frozen=True)
class Whole:
    """A run's number over all its samples, on the printed scale.

    Attributes:
        se: its standard error.
        share: scale of a proportion (100 for percentages); None for other numbers.
    """

    value: float
    n: int
    se: float
    share: float | None
    higher_is_better: bool

    @classmethod
    def of(cls, m: Mapping[str, Any]) -> Whole | None:
        """From a metric of results.json; None without an interval."""
        if m["value"] is None or m["ci"] is None or m["n_scored"] < 2:
            return None
        binary = m["ci_method"] == "wilson"
        se = (m["ci"][1] - m["ci"][0]) / (2 * NormalDist().inv_cdf(0.975))
        return cls(
            m["value"],
            m["n_scored"],
            se,
            float(m.get("scale", 100.0)) if binary else None,
            m["higher_is_better"],
        )


def unpaired(printed: float, n: int, ours: Whole, *, level: float) -> Difference:
    """The difference of a run's number and a printed one over `n` samples.

    Proportions: the two-sample z test with pooled variance, and Newcombe's hybrid score interval (1998, method 10).
    Others: nothing tells the spread of the printed one, so it is taken as ours, its standard error as ours by the
    square root of the counts; normal interval and test.
    """
    delta = ours.value - printed
    z = NormalDist().inv_cdf(0.5 + level / 2)
    if ours.share is not None and 0.0 <= printed <= ours.share:
        p1, p2 = printed / ours.share, ours.value / ours.share
        pooled = (p1 * n + p2 * ours.n) / (n + ours.n)
        se = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / ours.n))
        low1, high1 = _wilson(p1, n, z)
        low2, high2 = _wilson(p2, ours.n, z)
        gap = p2 - p1
        ci = (
            ours.share * (gap - math.hypot(p2 - low2, high1 - p1)),
            ours.share * (gap + math.hypot(high2 - p2, p1 - low1)),
        )
        return _made(
            printed, ours, delta, ci, "newcombe", _p(gap, se), "unpaired-z", n, level, se * ours.share
        )
    se = ours.se * math.sqrt(1 + ours.n / n)
    ci = (delta - z * se, delta + z * se)
    return _made(
        printed,
        ours,
        delta,
        ci,
        "normal(spread of ours)",
        _p(delta, se),
        "unpaired-z(spread of ours)",
        n,
        level,
        se,
    )


def _p(gap: float, se: float) -> float:
    if se <= 0:
        return 1.0 if gap == 0 else 0.0
    return 2 * NormalDist().cdf(-abs(gap) / se)


def _wilson(p: float, n: int, z: float) -> tuple[float, float]:
    centre, z2 = (p + z * z / (2 * n)) / (1 + z * z / n), z * z
    half = z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def _made(
    printed: float, ours: Whole, delta: float, ci: tuple[float, float], method: str, p: float, test: str, n: int,
    level: float, se: float,
) -> Difference:  # fmt: skip
    return Difference(
        printed, ours.value, delta, ci, method, p, test, min(n, ours.n), min(n, ours.n), 0, 0, 0,
        ours.higher_is_better, level, se,
    )  # fmt: skip
