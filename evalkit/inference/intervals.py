"""Intervals of a difference that have a closed form or a short search; each holds its own source."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist


def normal_quantile(level: float) -> float:
    """The two-sided normal quantile of a confidence level: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def tango(wins: int, losses: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Score interval of the difference of two paired proportions, in [-1, 1] (Tango 1998).

    All differences that the score test of `n` pairs doesn't reject; it holds its level from few pairs on, and is
    defined when no pair is discordant.

    Args:
        wins, losses: pairs right only in the second run, and only in the first.
        n: all pairs, at least 1.
    """
    z2 = normal_quantile(level) ** 2

    def excess(delta: float) -> float:
        """Squared score statistic less its critical value."""
        gap = wins - losses - n * delta
        b = -(wins + losses) + (2 * n - wins + losses) * delta
        root = math.sqrt(max(0.0, b * b + 8 * n * losses * delta * (1 - delta)))
        q = (root - b) / (4 * n)
        spread = n * (2 * q + delta * (1 - delta))
        return gap * gap - z2 * max(spread, 0.0)

    point = (wins - losses) / n
    low = -1.0 if losses == n else _crossing(excess, point, -1.0)
    high = 1.0 if wins == n else _crossing(excess, point, 1.0)
    return low, high


def wilson(p: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion at any level, in [0, 1] (Wilson 1927)."""
    z = normal_quantile(level)
    centre, z2 = (p + z * z / (2 * n)) / (1 + z * z / n), z * z
    half = z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return (0.0 if p == 0 else max(0.0, centre - half)), (1.0 if p == 1 else min(1.0, centre + half))


def newcombe(p1: float, n1: float, p2: float, n2: float, level: float = 0.95) -> tuple[float, float]:
    """Interval of p2 - p1 of two independent samples: square-and-add of Wilson's (Newcombe 1998b, method 10)."""
    (low1, high1), (low2, high2) = wilson(p1, n1, level), wilson(p2, n2, level)
    gap = p2 - p1
    return gap - math.hypot(p2 - low2, high1 - p1), gap + math.hypot(high2 - p2, p1 - low1)


def _crossing(excess: Callable[[float], float], inside: float, outside: float) -> float:
    """Where a function turns positive between a point inside the interval and one outside, by bisection."""
    for _ in range(200):
        middle = (inside + outside) / 2
        if middle in (inside, outside):
            break
        if excess(middle) <= 0:
            inside = middle
        else:
            outside = middle
    return inside
