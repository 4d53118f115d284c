"""Drawing again: bootstrap weights, the studentised bootstrap interval, sign flips. NumPy only.

A statistic is a function of *sums of rows*, as a `Pool`'s formula is. So one draw is one product of weights and rows,
and a draw's standard error is the linearised one (delta method): the derivative at that draw's own sums, times sums
of products. Columns are put on a grid on which every sum is exact, so that neither the order of summation nor the
number of threads changes a bit of the result; a chunk of draws at a time keeps memory flat.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Codes = NDArray[np.int64]
    Statistic = Callable[[Array], Array]

CELLS = 1 << 20
"""Weights held at a time: draws of a chunk times units."""
BLOCK = 200_000
"""Multiplications of a block of a product."""
FEW = 20
"""With fewer units that vary, a bootstrap has seen too little of their spread: Student's interval is the least."""
PRODUCTS = 8
"""Up to so many columns, a draw's standard error comes from sums of products; beyond, unit by unit."""


@dataclass(frozen=True)
class Drawn:
    """A number with the interval that drawing again gives it.

    Attributes:
        value, se: the statistic and its linearised standard error.
        ci: None where there is no spread to go by.
        method: "bootstrap-t(10000)", or "student-t" where too many draws had no number.
    """

    value: float
    se: float
    ci: tuple[float, float] | None
    method: str


def summed(rows: Array, clusters: Codes | None) -> Array:
    """Rows added up by cluster, shape (clusters, columns); the rows themselves where each sample stands alone."""
    import numpy as np

    if clusters is None:
        return rows
    labels, codes = np.unique(clusters, return_inverse=True)
    columns = [np.bincount(codes, weights=column, minlength=len(labels)) for column in rows.T]
    return np.stack(columns, axis=1) if len(labels) else np.zeros((0, rows.shape[1]))


def worth(clusters: Codes | None) -> float | None:
    """How many clusters of one size clusters of many sizes are worth: (sum of sizes)² / sum of squares (Kish 1965).

    None where each sample stands alone.
    """
    import numpy as np

    if clusters is None or not len(clusters):
        return None
    sizes = np.unique(clusters, return_counts=True)[1].astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def on_grid(columns: Array, times: float = 1.0) -> Array:
    """Columns rounded to a power of two fine enough, and coarse enough that `len * times` of them add up exactly."""
    import numpy as np

    largest = np.abs(columns).max(axis=0, initial=0.0) * len(columns) * times
    with np.errstate(divide="ignore"):
        place = np.where(largest > 0, 52 - np.ceil(np.log2(largest)), 0).astype(int)
    out: Array = np.ldexp(np.rint(np.ldexp(columns, place)), -place)
    return out


def product(left: Array, right: Array) -> Array:
    """left @ right in blocks too small for a library to spread over threads: on busy cores that costs more than it
    brings, and what is summed in which order stays the same everywhere."""
    import numpy as np

    (rows, inner), columns = left.shape, right.shape[1]
    out = np.zeros((rows, columns))
    high = max(1, min(rows, BLOCK // (64 * columns)))
    deep = max(64, BLOCK // (high * columns))
    for top in range(0, rows, high):
        for start in range(0, inner, deep):
            end = start + deep
            out[top : top + high] += left[top : top + high, start:end] @ right[start:end]
    return out


def weights(counts: Codes, draws: int, seed: int) -> Iterator[Array]:
    """Bootstrap weights of units in chunks of shape (some draws, units): how often each was drawn.

    Args:
        counts: how many units stand behind each row; their sum is drawn with replacement. Alike units (few distinct
            rows, as 0/1 values have) are drawn together, from a multinomial: the same bootstrap.
    """
    import numpy as np

    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed)))
    k, n = len(counts), int(counts.sum())
    step = max(1, CELLS // max(k, 1))
    for start in range(0, draws, step):
        size = min(step, draws - start)
        if k * 16 <= n:
            yield rng.multinomial(n, counts / n, size=size).astype(np.float64)
            continue
        out = np.empty((size, k))
        places = None if k == n else np.repeat(np.arange(k), counts)
        for i in range(size):
            picks = rng.integers(0, n, size=n)
            out[i] = np.bincount(picks if places is None else places[picks], minlength=k)
        yield out


def settled(value: float) -> float:
    """To 12 digits: what another order of summation may change stays out of sight."""
    return float(f"{value:.12g}")


def slope(statistic: Statistic, sums: Array) -> Array:
    """The derivative of a statistic by each of its sums, by central differences; shape of `sums`."""
    import numpy as np

    out = np.empty_like(sums)
    for j in range(sums.shape[-1]):
        step = 1e-6 * np.maximum(np.abs(sums[..., j]), 1.0)
        up, down = sums.copy(), sums.copy()
        up[..., j] += step
        down[..., j] -= step
        with np.errstate(all="ignore"):
            out[..., j] = (statistic(up) - statistic(down)) / (2 * step)
    return out


@dataclass(frozen=True)
class Statistics:
    """A statistic of summed rows, with its derivative where there is a better one than by differences."""

    of: Statistic
    gradient: Statistic | None = None

    def slope(self, sums: Array) -> Array:
        return self.gradient(sums) if self.gradient is not None else slope(self.of, sums)


def influence(rows: Array, statistic: Statistics) -> Array:
    """What each row moves the statistic by, to first order: shape (len(rows),)."""
    out: Array = rows @ statistic.slope(rows.sum(axis=0))
    return out


def student_interval(value: float, se: float, df: float, level: float) -> tuple[float, float]:
    """value ± t * se."""
    half = t_quantile(0.5 + level / 2, df) * se
    return value - half, value + half


def bootstrap_t(
    rows: Array,
    statistic: Statistics,
    *,
    seed: int,
    draws: int,
    level: float,
    varies: NDArray[np.bool_],
    correction: float | None = None,
    units: float | None = None,
) -> Drawn:
    """The studentised bootstrap (bootstrap-t) of a statistic of summed rows.

    Each tail lies halfway between its own quantile of T* and the one that both would have were T* symmetric: in full,
    the skewness of a few heavy values is taken for the truth, and the interval covers too little (Hall 1988 has both
    kinds). In T* and in the interval, one more unit of usual size stands in the variance: a draw that misses the few
    units that vary would otherwise have no spread at all.

    Args:
        rows: (units, columns); units are independent.
        varies: units that speak of the spread at all (that differ between two runs).
        correction: of the linearised variance for small samples; None: units / (units - 1).
        units: how many units of one size they are worth (`worth`); None: as many as there are. A few speakers who
            hold most of the samples tell no more of the spread than as many speakers.
    """
    import numpy as np

    order = np.lexsort(rows.T)
    rows, varies, n = rows[order], varies[order], len(rows)
    value = float(statistic.of(rows.sum(axis=0)))
    parts = influence(rows, statistic)
    spread = _spread(parts, value)
    factor = (n / (n - 1) if n > 1 else 1.0) if correction is None else correction
    se = math.sqrt(spread * factor)
    if n < 2 or not spread or not varies.any():
        return Drawn(value, 0.0 if n > 1 else math.nan, None, "none")
    usual = float((parts[varies] ** 2).mean())
    wide = math.sqrt((spread + usual) * factor)
    alike = float(n) if units is None else min(float(n), units)
    student = student_interval(value, wide, max(1.0, alike - 1), level)
    studentised = _studentised(rows, statistic, value, usual, seed=seed, draws=draws)
    kept = studentised[np.isfinite(studentised)]
    if len(kept) < 0.9 * draws:
        return Drawn(value, se, student, "student-t")
    tail = (1 - level) / 2
    left, right = (float(x) for x in np.quantile(kept, [tail, 1 - tail]))
    both = float(np.quantile(np.abs(kept), level))
    low, high = value - (right + both) / 2 * wide, value + (both - left) / 2 * wide
    if min(int(varies.sum()), alike) < FEW:
        low, high = min(low, student[0]), max(high, student[1])
    return Drawn(value, se, (settled(low), settled(high)), f"bootstrap-t({draws})")


def _spread(parts: Array, value: float) -> float:
    """The sum of squared influence values; 0 where nothing but rounding makes them differ."""
    found = float((parts**2).sum())
    return found if len(parts) and found > (1e-9 * value) ** 2 / len(parts) else 0.0


def standard_error(rows: Array, statistic: Statistics, correction: float) -> float:
    """The linearised standard error of a statistic of independent rows; `correction` for small samples."""
    value = float(statistic.of(rows.sum(axis=0)))
    return math.sqrt(_spread(influence(rows, statistic), value) * correction)


def _studentised(
    rows: Array, statistic: Statistics, value: float, usual: float, *, seed: int, draws: int
) -> Array:
    """(statistic - value) / standard error, of each draw."""
    import numpy as np

    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    columns, places = np.unique(distinct, axis=1, return_inverse=True)  # the same lengths in two runs, say
    places = places.reshape(-1)
    columns = on_grid(columns, int(counts.sum()) / len(columns))
    k = columns.shape[1]
    pairs = np.triu_indices(k)
    few = k <= PRODUCTS
    products = on_grid(columns[:, pairs[0]] * columns[:, pairs[1]], int(counts.sum()) / len(columns))
    twice = np.where(pairs[0] == pairs[1], 1.0, 2.0)
    wanted = np.concatenate([columns, products], axis=1) if few else columns
    fold = np.zeros((rows.shape[1], k))
    fold[np.arange(rows.shape[1]), places] = 1.0
    out, start = np.empty(draws), 0
    for chunk in weights(counts, draws, seed):
        moments = product(chunk, wanted)
        sums = moments[:, places]
        with np.errstate(all="ignore"):
            slopes = statistic.slope(sums) @ fold
        if few:
            spread = (moments[:, k:] * slopes[:, pairs[0]] * slopes[:, pairs[1]]) @ twice
        else:
            spread = np.einsum("ij,ij->i", chunk, product(slopes, columns.T) ** 2)
        with np.errstate(all="ignore"):
            out[start : start + len(chunk)] = (statistic.of(sums) - value) / np.sqrt(
                np.maximum(spread, 0.0) + usual
            )
        start += len(chunk)
    return out


def sign_flips(
    gaps: Array, statistic: Statistic, observed: float, *, seed: int, draws: int
) -> tuple[float, str]:
    """Two-sided p of a paired permutation test: each unit's two rows swapped, or not, by a fair coin.

    Args:
        gaps: (units, columns): what swapping a unit moves from the one side's sums to the other's.
        statistic: of the sum of the swapped units' gaps, shape (..., columns) to (...).
        observed: its value with nothing swapped.

    Returns:
        p and the test's name: all ways of swapping where there are no more than `draws` of them, else that many at
        random, with the observed one counted among them (Phipson & Smyth 2010). Draws without a number count as
        extreme.
    """
    import numpy as np

    gaps = gaps[(gaps != 0).any(axis=1)]
    gaps = gaps[np.lexsort(gaps.T)] if len(gaps) else gaps
    n, reach = len(gaps), abs(observed) * (1 - 1e-9)
    gaps = on_grid(gaps)
    exact = 2**n <= draws if n < 64 else False
    total = 2**n if exact else draws
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, 1])))
    step, extreme = max(1, CELLS // max(n, 1)), 0
    for start in range(0, total, step):
        size = min(step, total - start)
        flips: NDArray[np.integer]
        if exact:
            flips = (np.arange(start, start + size)[:, None] >> np.arange(n)) & 1
        else:
            width = -(-n // 8)
            raw = np.frombuffer(rng.bytes(size * width), dtype=np.uint8).reshape(size, width)
            flips = np.unpackbits(raw, axis=1, count=n)
        with np.errstate(all="ignore"):
            found = np.abs(statistic(product(flips.astype(np.float64), gaps)))
        extreme += int((~(found < reach)).sum())
    if exact:
        return extreme / total, "permutation-exact"
    return (extreme + 1) / (total + 1), f"permutation({draws})"


# --- Student's t -----------------------------------------------------------------------------------


def t_tail(t: float, df: float) -> float:
    """P(|T| > |t|) of Student's t; the closed form of whole degrees (Abramowitz & Stegun 26.7.3, 26.7.4).

    Broken degrees (Welch's) are rounded down; above 2000, the normal approximation 26.7.8 is right to seven digits.
    """
    t = abs(t)
    if df > 2000:
        z = t * (1 - 1 / (4 * df)) / math.sqrt(1 + t * t / (2 * df))
        return math.erfc(z / math.sqrt(2))
    whole = max(1, math.floor(df))
    angle = math.atan2(t, math.sqrt(whole))
    cos2, total, term = math.cos(angle) ** 2, 0.0, 1.0
    if whole % 2:
        if whole > 1:
            term = math.cos(angle)
            for k in range(1, (whole - 1) // 2 + 1):
                total += term
                term *= 2 * k / (2 * k + 1) * cos2
        inside = 2 / math.pi * (angle + math.sin(angle) * total)
    else:
        for k in range(1, whole // 2 + 1):
            total += term
            term *= (2 * k - 1) / (2 * k) * cos2
        inside = math.sin(angle) * total
    return max(0.0, 1.0 - inside)


def t_quantile(p: float, df: float) -> float:
    """The quantile of Student's t for p >= 1/2, by bisection of `t_tail`."""
    tail, low, high = 2 * (1 - p), 0.0, 2.0
    while t_tail(high, df) > tail:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, df) > tail else (low, middle)
    return (low + high) / 2
