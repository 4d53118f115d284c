"""Statistics of one number: its interval, its bounds, how it is rounded. What is pooled: `evalkit.pools`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.pools import Pool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Z95 = 1.959963984540054
BOOTSTRAP_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A pooled number with its 95 % interval and its bounds, on the metric's own scale."""

    value: float | None
    ci: tuple[float, float] | None
    ci_method: str
    bounds: tuple[float, float] | None


def wilson(successes: float, n: int) -> tuple[float, float]:
    """95 % Wilson score interval of a proportion, in [0, 1]. `n` must be positive."""
    p, z2 = successes / n, Z95 * Z95
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # At the ends the formula gives exactly 0 and 1, but its floats don't.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return low, 1.0 if successes == n else min(1.0, centre + half)


def square_and_add(
    parts: Sequence[tuple[float, tuple[float, float] | None, float]],
) -> tuple[float, float] | None:
    """How far the mean of independent numbers reaches below and above its value.

    Each side adds up the squared distances of the parts' own ends (Zou and Donner 2008), which keeps what their
    intervals know of skewness; for symmetric parts it is the normal interval of added variances.

    Args:
        parts: (value, interval, factor in the mean) of each.

    Returns:
        Distances below and above; None where a part has no interval.
    """
    below = above = 0.0
    for value, ci, factor in parts:
        if ci is None:
            return None
        ends = sorted((factor * (value - ci[0]), factor * (value - ci[1])), reverse=True)
        below, above = below + ends[0] ** 2, above + ends[1] ** 2
    return math.sqrt(below) / len(parts), math.sqrt(above) / len(parts)


def percentile_interval(values: Array) -> tuple[float, float] | None:
    """2.5 and 97.5 percentiles of the finite replicates; None when there are none."""
    import numpy as np

    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    lo, hi = np.quantile(finite, [0.025, 0.975])
    return float(lo), float(hi)


def estimate(
    rows: Sequence[Sequence[float]] | Array,
    pool: Pool,
    *,
    missing: int = 0,
    lo: float = 0.0,
    hi: float = 1.0,
    seed: int = 0,
    ends: tuple[Array, Array] | None = None,
    clusters: NDArray[np.int64] | None = None,
) -> Estimate:
    """Pool segments into a number with interval and bounds.

    Args:
        rows: (n_scored, len(pool.columns)) segment statistics.
        missing: samples of the task that have no score.
        lo, hi: range of one segment's value, for the bounds.
        seed: of the bootstrap; the same rows give the same interval.
        ends: what all missing samples together would add to the sums at worst and at best, where that
            depends on which samples they are (strata).
        clusters: codes, shape (n_scored,), where samples of one cluster are not independent: whole clusters are drawn.

    Returns:
        Wilson's interval when every value is 0 or 1, in that range, of samples that stand alone, else the studentised
        bootstrap (docs/statistics.md). No interval from fewer than two samples or clusters. The bounds say what the
        number would be if every missing sample were as bad, or as good, as can be; None when the range is open.
    """
    import numpy as np

    matrix = np.asarray(rows, dtype=np.float64).reshape(len(rows), len(pool.columns))
    n = len(matrix)
    sums = matrix.sum(axis=0)
    number = float(pool.formula(sums)) if n else math.nan
    value = number if math.isfinite(number) else None
    bounds = _ends(sums, pool, *ends) if ends is not None else _bounds(matrix, sums, pool, missing, lo, hi)
    return Estimate(value, *_interval(matrix, pool, value, (lo, hi), seed, clusters), bounds)


def _ends(sums: Array, pool: Pool, worst: Array, best: Array) -> tuple[float, float] | None:
    low, high = float(pool.formula(sums + worst)), float(pool.formula(sums + best))
    return (min(low, high), max(low, high)) if math.isfinite(low + high) else None


def _interval(
    matrix: Array,
    pool: Pool,
    value: float | None,
    ends: tuple[float, float],
    seed: int,
    clusters: NDArray[np.int64] | None,
) -> tuple[tuple[float, float] | None, str]:
    import numpy as np

    from evalkit.resampling import Statistics, bootstrap_t, summed, worth

    if value is None or len(matrix) < 2:
        return None, "none"
    rated = ends != (0.0, 1.0)  # a rating of 1 is no proportion
    if (
        pool.name == "mean"
        and not rated
        and clusters is None
        and bool(np.isin(matrix[:, 0], (0.0, 1.0)).all())
    ):
        return wilson(float(matrix[:, 0].sum()), len(matrix)), "wilson"
    units = summed(matrix, clusters)
    if len(units) < 2:
        return None, "none"
    drawn = bootstrap_t(
        units,
        Statistics(pool.formula, pool.gradient),
        seed=seed,
        draws=BOOTSTRAP_DRAWS,
        level=0.95,
        varies=np.ones(len(units), dtype=bool),
        units=worth(clusters),
    )
    lo, hi = ends
    low, high = drawn.ci or _all_alike(value, len(units), hi - lo)
    if not pool.paired or lo < 0:  # a difference has a range where its metric says one
        low, high = max(low, min(lo, value)), min(high, max(hi, value))
    return (low, high), drawn.method if drawn.ci else "score(all alike)"


def _all_alike(value: float, n: int, reach: float) -> tuple[float, float]:
    """No spread among n units: as far as Wilson's interval goes where all are right, times the range of a value.

    Where the range is open, a unit is taken to be off by at most its own length (WER: all words wrong).
    """
    half = (reach if math.isfinite(reach) else 1.0) * Z95 * Z95 / (n + Z95 * Z95)
    return value - half, value + half


def _bounds(
    matrix: Array, sums: Array, pool: Pool, missing: int, lo: float, hi: float
) -> tuple[float, float] | None:
    import numpy as np

    if pool.best is None or pool.worst is None:
        return None
    n = len(matrix)
    if n + missing == 0:
        return None
    mean = sums / n if n else np.ones(len(pool.columns))
    worst, best = np.asarray(pool.worst(lo, hi, mean)), np.asarray(pool.best(lo, hi, mean))
    # Samples that lack everything, and, per source, those that lack just its verdict.
    gaps: Array | int = missing
    if pool.sources:
        gaps = missing + np.repeat((matrix[:, 1::2] == 0).sum(axis=0), 2)
    low, high = float(pool.formula(sums + gaps * worst)), float(pool.formula(sums + gaps * best))
    return (low, high) if low <= high else (high, low)


def round_half_up(value: float, decimals: int) -> float:
    """Decimal half-up rounding, as printed tables do it (42.785 -> 42.79); what has no decimals stays as it is."""
    from decimal import ROUND_HALF_UP, Decimal

    if not abs(value) < 2**53:  # no float beyond has a fraction; infinities and NaN neither
        return value
    # repr of a float sum may read 42.784999999999997: settle that first at 9 decimals.
    settled = Decimal(repr(round(value, 9)))
    return float(settled.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP))


def json_number(value: float | None) -> Any:
    """A float for JSON: None for NaN and infinities, 10 significant digits so that files compare equal."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.10g}")
