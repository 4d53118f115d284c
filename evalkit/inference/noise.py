"""How much the difference of one sample varies, measured: on a pair of runs, or guessed from one run.

A pooled number is no mean, but close to the mean of its *influence values*: what each sample moves it by, by the
derivative of the pool's formula (the linearised, or delta, method). Their variance is what power needs; for a plain
mean they are the values themselves, for a WER (errors - WER * length) / mean length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.inference.power import Noise, design_effect, of_accuracy, of_discordance, smoothed
from evalkit.inference.rows import PairedRows
from evalkit.inference.units import binary

if TYPE_CHECKING:
    from evalkit.inference.rows import Codes
    from evalkit.pools import Pool
    from evalkit.stats import Array


@dataclass(frozen=True)
class Clusters:
    """How alike samples of one cluster are.

    Attributes:
        count: clusters.
        size: samples of the cluster that a sample is in, on average over samples.
        icc: intraclass correlation (one-way analysis of variance), not below 0.
    """

    count: int
    size: float
    icc: float

    @property
    def effect(self) -> float:
        """The design effect on the variance of a mean."""
        return design_effect(self.size, self.icc)


@dataclass(frozen=True)
class Observed:
    """What samples on record say of a comparison's noise.

    Attributes:
        noise: of one sample's difference, in printed points.
        unpaired: the same, were the two runs made on different samples.
        n: samples it was measured on.
        value: the number itself, of the baseline.
        correlation: between the two runs' samples; None where one of them doesn't vary.
        clusters: None where each sample stands alone.
        flat: no sample differs from another, so that there is no noise to measure.
    """

    noise: Noise
    unpaired: Noise
    n: int
    value: float
    correlation: float | None
    clusters: Clusters | None
    flat: bool = False


def of_pair(rows: PairedRows) -> Observed:
    """The noise that two runs on the same samples show.

    Raises ValueError for fewer than two samples, and where the pool has no number of them.
    """
    import numpy as np

    a, b = (influence(r, rows.pool, rows.scale) for r in (rows.a, rows.b))
    apart = b - a
    if _binary(rows.pool, rows.lo, rows.hi, rows.a, rows.b):
        apart = (rows.b[:, 0] - rows.a[:, 0]) * rows.scale
    clusters = clustered(apart, rows.clusters)
    effect = clusters.effect if clusters else 1.0
    unequal = bool(apart.any())
    if _binary(rows.pool, rows.lo, rows.hi, rows.a, rows.b):
        psi = smoothed(int(np.count_nonzero(apart)), rows.n)
        noise = of_discordance(psi, step=rows.scale, design_effect=effect)
    else:
        noise = Noise(float(apart.var(ddof=1)), None, effect)
    both = a.std() > 0 and b.std() > 0
    return Observed(
        noise,
        _unpaired([a, b], rows.clusters),
        rows.n,
        _number(rows.a, rows.pool, rows.scale),
        float(np.corrcoef(a, b)[0, 1]) if both else None,
        clusters,
        flat=not unequal and noise.step is None,
    )


def of_run(
    rows: Array,
    pool: Pool,
    correlation: float,
    *,
    scale: float = 1.0,
    lo: float = 0.0,
    hi: float = 1.0,
    clusters: Codes | None = None,
) -> Observed:
    """The noise of a comparison with another run as good as this one, under an assumed correlation of the two.

    Args:
        rows: segment statistics of one run, shape (n, len(pool.columns)).
        correlation: between the two runs' values of one sample, below 1.
        scale, lo, hi, clusters: as in `PairedRows`.

    Raises ValueError for fewer than two samples, and where the pool has no number of them.
    """
    values = influence(rows, pool, scale)
    found = clustered(values, clusters)
    effect = found.effect if found else 1.0
    n = len(rows)
    if _binary(pool, lo, hi, rows):
        noise = of_accuracy(
            smoothed(float(rows[:, 0].sum()), n), correlation, step=scale, design_effect=effect
        )
    else:
        noise = Noise(2 * (1 - correlation) * float(values.var(ddof=1)), None, effect)
    number = _number(rows, pool, scale)
    flat = not bool(values.any()) and noise.step is None
    return Observed(noise, _unpaired([values, values], clusters), n, number, correlation, found, flat)


def influence(rows: Array, pool: Pool, scale: float = 1.0) -> Array:
    """What each sample moves the pooled number by, times n, in printed points: shape (n,), mean 0.

    The number over n samples has about the variance of these values, divided by n.

    Args:
        rows: segment statistics, shape (n, len(pool.columns)).
        pool: the formula, whose derivative is taken numerically.

    Raises ValueError for fewer than two samples, and where the pool has no number of them.
    """
    import numpy as np

    n = len(rows)
    if n < 2:
        raise ValueError(f"{n} scored samples are too few to see how much they vary")
    sums = rows.sum(axis=0)
    _number(rows, pool, scale)
    slopes = np.zeros(len(sums))
    for k, total in enumerate(sums):
        if not rows[:, k].any():
            continue  # a column nobody adds to, such as an empty stratum's
        step = np.zeros(len(sums))
        step[k] = max(abs(float(total)), 1.0) * 1e-5
        slopes[k] = float(pool.formula(sums + step) - pool.formula(sums - step)) / (2 * step[k])
    values = rows @ slopes * n * scale
    values = values - values.mean()
    # What a numeric derivative leaves of samples that are all alike is no variance.
    values[np.abs(values) < 1e-9 * abs(scale)] = 0.0
    out: Array = values
    return out


def clustered(values: Array, codes: Codes | None) -> Clusters | None:
    """How alike values of one cluster are; None where no cluster has two samples, or there is one cluster only.

    The intraclass correlation of a one-way random-effects analysis of variance (Fisher), for clusters of unequal size.
    """
    import numpy as np

    if codes is None:
        return None
    _, where, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    n, k = len(values), len(sizes)
    if k < 2 or k == n:
        return None
    means = np.bincount(where, values) / sizes
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (k - 1)
    within = float(((values - means[where]) ** 2).sum()) / (n - k)
    usual = (n - float((sizes.astype(float) ** 2).sum()) / n) / (k - 1)
    total = between + (usual - 1) * within
    icc = (between - within) / total if total > 0 else 0.0
    return Clusters(k, float((sizes.astype(float) ** 2).sum()) / n, max(0.0, icc))


def _unpaired(values: list[Array], codes: Codes | None) -> Noise:
    """Two sets of samples, each with its own variance and its own clusters."""
    alone = clustered_sum = 0.0
    for each in values:
        variance, found = float(each.var(ddof=1)), clustered(each, codes)
        alone += variance
        clustered_sum += variance * (found.effect if found else 1.0)
    return Noise(alone, None, clustered_sum / alone if alone else 1.0)


def _binary(pool: Pool, lo: float, hi: float, *tables: Array) -> bool:
    """Is the number a share of samples that are right or wrong, in all of these?"""
    return all(binary(pool, rows, lo, hi) for rows in tables)


def _number(rows: Array, pool: Pool, scale: float) -> float:
    value = float(pool.formula(rows.sum(axis=0))) * scale
    if not math.isfinite(value):
        raise ValueError("these samples give no number")
    return value
