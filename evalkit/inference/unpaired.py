"""A run against a printed number without its samples: what n alone can tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from evalkit.inference.intervals import newcombe
from evalkit.inference.rows import Difference
from evalkit.inference.units import binary, correction, count
from evalkit.resampling import Statistics, standard_error, student_interval, summed, t_tail, worth

if TYPE_CHECKING:
    from evalkit.inference.rows import Codes
    from evalkit.pools import Pool
    from evalkit.stats import Array


_Found = tuple[tuple[float, float] | None, str, float | None, str, float | None]
"""Interval, its method, p, test, standard error."""
_NOTHING: _Found = (None, "none", None, "none", None)


@dataclass(frozen=True)
class OneRun:
    """Segment statistics of one run, for one metric; attributes as in `PairedRows`."""

    rows: Array
    pool: Pool
    scale: float = 1.0
    clusters: Codes | None = None
    lo: float = 0.0
    hi: float = 1.0
    higher_is_better: bool = True


@dataclass(frozen=True)
class OneValue:
    """A run's number of which no samples are at hand.

    Attributes:
        value: on the printed scale.
        n: samples it is over; None: unknown.
        proportion: a share of right samples, so that n tells its spread; `scale` is its largest value.
    """

    value: float
    n: int | None
    proportion: bool
    scale: float = 100.0
    higher_is_better: bool = True


def unpaired(
    ours: OneRun | OneValue,
    printed: float,
    n: int | None,
    *,
    decimals: int | None = None,
    level: float = 0.95,
) -> Difference:
    """The difference ours - printed, with the two taken for independent samples.

    Two proportions: z test with pooled variance, Newcombe's interval. Other numbers: nothing tells the printed one's
    spread, so each of its samples is taken to vary as ours do (an error rate's variance in proportion to the rate);
    Student's t with our units' degrees of freedom. Without n, or without our samples, the difference alone.

    The same samples were mostly behind both numbers, which an unpaired test can't use: it finds less than `compare`.

    Args:
        printed: the published value, on the printed scale.
        n: samples it is over; None: unknown.
        decimals: that it is printed with, to say so where its rounding matters.

    Raises:
        ValueError: n is given and not positive, the printed value is no number, or our run has none.
    """
    if n is not None and n < 1:
        raise ValueError(f"a printed number over {n} samples can't be compared")
    if not math.isfinite(printed):
        raise ValueError(f"{printed} is no printed number")
    value, size, units, share, se = _ours(ours)
    found, why = _NOTHING, ""
    if n is None:
        why = "No test: it isn't known how many samples are behind the printed value."
    elif share is not None and 0.0 <= printed <= share and size is not None:
        found = _proportions(printed / share, n, value / share, size, share, level)
    elif se is None or not se > 0 or size is None:
        why = "No test: nothing tells how much the samples vary."
    else:
        found = _by_our_spread(ours, value, printed, n, size, units, se, level)
    ci, method, p, test, error = found
    note = " ".join(x for x in (why, _rounding(decimals, error)) if x)
    return Difference(
        a=printed,
        b=value,
        delta=value - printed,
        ci=ci,
        ci_method=method,
        p=p,
        test=test,
        n=min(x for x in (n, size) if x is not None) if n or size else 0,
        clusters=min(units, n) if n and units else units,
        wins=0,
        losses=0,
        ties=0,
        higher_is_better=ours.higher_is_better,
        level=level,
        se=error,
        note=note,
    )


def _ours(ours: OneRun | OneValue) -> tuple[float, int | None, int, float | None, float | None]:
    """Value, samples, units, the scale if it is a proportion, and the standard error if our samples tell it."""
    if isinstance(ours, OneValue):
        return ours.value, ours.n, ours.n or 0, ours.scale if ours.proportion else None, None
    size, units = len(ours.rows), count(ours.clusters, len(ours.rows))
    rows = summed(ours.rows, ours.clusters)
    value = float(ours.pool.formula(rows.sum(axis=0))) * ours.scale if size else math.nan
    if not math.isfinite(value):
        raise ValueError("our run has no number over its samples")
    if ours.clusters is None and binary(ours.pool, ours.rows, ours.lo, ours.hi):
        return value, size, units, ours.scale, None
    if units < 2:
        return value, size, units, None, None
    se = standard_error(
        rows,
        Statistics(ours.pool.formula, ours.pool.gradient),
        correction(ours.pool, ours.rows, ours.clusters),
    )
    return value, size, units, None, se * ours.scale


def _proportions(p1: float, n1: int, p2: float, n2: int, scale: float, level: float) -> _Found:
    low, high = newcombe(p1, n1, p2, n2, level)
    both = (p1 * n1 + p2 * n2) / (n1 + n2)
    se = math.sqrt(both * (1 - both) * (1 / n1 + 1 / n2))
    p = 2 * NormalDist().cdf(-abs(p2 - p1) / se) if se > 0 else 1.0
    return (scale * low, scale * high), "newcombe", p, "unpaired-z(proportions)", scale * se


def _by_our_spread(
    ours: OneRun | OneValue,
    value: float,
    printed: float,
    n: int,
    size: int,
    units: int,
    se: float,
    level: float,
) -> _Found:
    # Counts of errors vary the more the more there are; ratings don't.
    rate = isinstance(ours, OneRun) and math.isinf(ours.hi) and value > 0 and printed > 0
    both = se * math.sqrt(1 + size / n * (printed / value if rate else 1.0))
    df = max(1.0, ((worth(ours.clusters) if isinstance(ours, OneRun) else None) or units) - 1)
    ci = student_interval(value - printed, both, df, level)
    p = t_tail((value - printed) / both, df)
    return ci, "student-t(spread of ours)", p, "unpaired-t(spread of ours)", both


def _rounding(decimals: int | None, se: float | None) -> str:
    """A remark where half a unit of the last printed digit is more than a tenth of the standard error."""
    if decimals is None or se is None or (half := 0.5 * 10.0**-decimals) <= 0.1 * se:
        return ""
    places = f"{decimals} decimal{'' if decimals == 1 else 's'}"
    return f"The printed value is rounded to {places}: the difference may be off by {half:g}."
