"""The difference of two runs on the same samples: the right test and the right interval for the metric.

Which, why, and how well each holds its level: docs/statistics.md.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evalkit.errors import UsageError
from evalkit.inference.intervals import normal_quantile, tango
from evalkit.inference.mcnemar import mcnemar_exact
from evalkit.inference.rows import Difference, PairedRows
from evalkit.inference.units import binary, correction, count, differing, gaps, shared
from evalkit.resampling import bootstrap_t, settled, sign_flips, summed, worth

if TYPE_CHECKING:
    from evalkit.stats import Array


class NothingToCompare(UsageError):
    """The compared samples give no number: there are none, or nothing to divide by (no reference words)."""


def compare(rows: PairedRows, *, seed: int, draws: int = 10_000, level: float = 0.95) -> Difference:
    """Test and estimate the difference b - a.

    0/1 values of samples that stand alone: McNemar's exact test, Tango's score interval. Everything else: a paired
    permutation test (each sample's two rows swapped or not, and re-pooled) and a studentised bootstrap interval of
    the pooled difference, both over clusters where there are some.

    Args:
        seed: of the draws; the same rows and seed give the same result to the last digit.
        draws: bootstrap draws, and permutations where there are too many to try all.
        level: of the interval.

    Raises:
        NothingToCompare: a run has no number over these samples.
        ValueError: the level isn't between 0 and 1, there are fewer than 100 draws, or rows that have no partner.
    """
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval lies between 0 and 1, not at {level}")
    if draws < 100:
        raise ValueError(f"{draws} draws are too few for an interval: 100 at least")
    if rows.a.shape != rows.b.shape or (rows.clusters is not None and len(rows.clusters) != rows.n):
        raise ValueError(f"rows of two runs are paired, but there are {rows.a.shape} and {rows.b.shape}")
    a, b = (_number(rows, side) for side in (rows.a, rows.b))
    if rows.clusters is None and all(binary(rows.pool, x, rows.lo, rows.hi) for x in (rows.a, rows.b)):
        return _discordant(rows, a, b, level)
    return _resampled(rows, a, b, seed, draws, level)


def _number(rows: PairedRows, side: Array) -> float:
    import numpy as np

    if not rows.n:
        raise NothingToCompare("no sample is scored in both runs, so there is nothing to compare")
    with np.errstate(all="ignore"):
        value = float(rows.pool.formula(side.sum(axis=0))) * rows.scale
    if not math.isfinite(value):
        raise NothingToCompare(
            "the samples scored in both runs give no number (nothing to divide by), so there is nothing to compare"
        )
    return value


def _discordant(rows: PairedRows, a: float, b: float, level: float) -> Difference:
    """0/1 values: only the samples that one run alone got right count for the test."""
    up = int((rows.b[:, 0] > rows.a[:, 0]).sum())
    down = int((rows.b[:, 0] < rows.a[:, 0]).sum())
    wins, losses = (up, down) if rows.higher_is_better else (down, up)
    n, scale = rows.n, rows.scale
    low, high = tango(up, down, n, level)
    return Difference(
        a=a,
        b=b,
        delta=scale * (up - down) / n,
        ci=(scale * low, scale * high),
        ci_method="tango",
        p=mcnemar_exact(wins, losses),
        test="mcnemar-exact",
        n=n,
        clusters=n,
        wins=wins,
        losses=losses,
        ties=n - wins - losses,
        higher_is_better=rows.higher_is_better,
        level=level,
        se=scale * math.sqrt(up + down - (up - down) ** 2 / n) / n,
        effect=wins / losses if losses else None,
        effect_name="odds ratio",
    )


def _resampled(rows: PairedRows, a: float, b: float, seed: int, draws: int, level: float) -> Difference:
    better = gaps(rows)
    wins, losses = int((better > 0).sum()), int((better < 0).sum())
    m, scale, delta = count(rows.clusters, rows.n), rows.scale, _gap(a, b)
    first, second = (summed(x, rows.clusters) for x in (rows.a, rows.b))
    units, statistic = shared(rows.pool, first, second)
    if m < 2:
        ci, method, p, test, se = None, "none", None, "none", None
    else:
        drawn = bootstrap_t(
            units,
            statistic,
            seed=seed,
            draws=draws,
            level=level,
            varies=differing(first, second),
            correction=correction(rows.pool, rows.a, rows.clusters),
            units=worth(rows.clusters),
        )
        ends, method = drawn.ci, drawn.method
        if ends is None:
            ends, method = _all_alike(drawn.value, rows, m, level), "score(all alike)"
        ci, se = _within(rows, ends), settled(drawn.se * scale)
        p, test = _permuted(rows, first, second, seed, draws)
    return Difference(
        a=a,
        b=b,
        delta=delta,
        ci=ci,
        ci_method=method,
        p=p,
        test=test,
        n=rows.n,
        clusters=m,
        wins=wins,
        losses=losses,
        ties=rows.n - wins - losses,
        higher_is_better=rows.higher_is_better,
        level=level,
        se=se,
        effect=settled(delta / (se * math.sqrt(m))) if se else None,
        effect_name="d_z",
    )


def _gap(a: float, b: float) -> float:
    """b - a; 0 where nothing but rounding makes them differ."""
    return settled(b - a) if abs(b - a) > 1e-12 * max(abs(a), abs(b)) else 0.0


def _permuted(rows: PairedRows, first: Array, second: Array, seed: int, draws: int) -> tuple[float, str]:
    """Swap each unit's rows between the runs, or don't, and pool again."""
    import numpy as np

    pool, here, there = rows.pool, first.sum(axis=0), second.sum(axis=0)

    def swapped(moved: Array) -> Array:
        with np.errstate(all="ignore"):
            out: Array = pool.formula(there - moved) - pool.formula(here + moved)
        return out

    observed = float(swapped(np.zeros(len(here))))
    if not _gap(*pool.formula(np.stack([here, there]))):
        observed = 0.0  # rounding alone; some ways of swapping would give less than that
    return sign_flips(second - first, swapped, observed, seed=seed, draws=draws)


def _all_alike(delta: float, rows: PairedRows, m: int, level: float) -> tuple[float, float]:
    """No spread at all among m units (all ties, say): what Tango's interval gives for no discordant pair, times the
    range of a value. A unit of open range is taken to be off by at most its own length (WER: all words wrong)."""
    z2 = normal_quantile(level) ** 2
    reach = (rows.hi - rows.lo) if math.isfinite(rows.hi - rows.lo) else 1.0
    half = reach * z2 / (m + z2)
    return delta - half, delta + half


def _within(rows: PairedRows, ends: tuple[float, float]) -> tuple[float, float]:
    """On the printed scale, and no further than a difference can go."""
    reach = (rows.hi - rows.lo) * (2 if rows.pool.paired else 1)
    low, high = (max(-reach, min(reach, x)) for x in ends)
    return settled(low * rows.scale), settled(high * rows.scale)
