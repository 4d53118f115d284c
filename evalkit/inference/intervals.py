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
