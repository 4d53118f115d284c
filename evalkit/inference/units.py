"""From segment statistics to what is resampled and counted: independent units, and each sample's own difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.inference.rows import PairedRows
from evalkit.resampling import Statistics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evalkit.inference.rows import Codes
    from evalkit.pools import Pool
    from evalkit.stats import Array


def count(clusters: Codes | None, n: int) -> int:
    """How many independent units n samples are."""
    import numpy as np

    return n if clusters is None else len(np.unique(clusters))


def difference_of(pool: Pool) -> Statistics:
    """The statistic b - a of rows that hold a's columns and then b's, on the pool's own scale."""
    import numpy as np

    k, inner = len(pool.columns), pool.gradient

    def of(sums: Array) -> Array:
        with np.errstate(all="ignore"):
            out: Array = pool.formula(sums[..., k:]) - pool.formula(sums[..., :k])
        return out

    if inner is None:
        return Statistics(of)

    def gradient(sums: Array) -> Array:
        return np.concatenate([-inner(sums[..., :k]), inner(sums[..., k:])], axis=-1)

    return Statistics(of, gradient)


def shared(pool: Pool, first: Array, second: Array) -> tuple[Array, Statistics]:
    """The units that are drawn again, and the statistic of their sums that is the difference b - a.

    Where both runs have the same counts beneath every value (one reference length, one sample in its stratum), and
    the formula is linear in the values, the difference is the formula of the values' differences: half the columns.
    """
    import numpy as np

    linear = pool.gradient is not None or pool.sources or pool.paired
    if linear and bool((first[:, 1::2] == second[:, 1::2]).all()):
        rows = second.copy()
        rows[:, 0::2] -= first[:, 0::2]
        return rows, Statistics(pool.formula, pool.gradient)
    return np.concatenate([first, second], axis=1), difference_of(pool)


def binary(pool: Pool, rows: Array, lo: float, hi: float) -> bool:
    """Is every sample's value 0 or 1, and counts once? A rating of 1 is no proportion."""
    import numpy as np

    if len(pool.columns) != 2 or (lo, hi) not in ((0.0, 1.0), (0.0, float("inf"))):
        return False
    if not bool(np.isin(rows[:, 0], (0.0, 1.0)).all() and (rows[:, 1] == 1.0).all()):
        return False
    return float(pool.formula(np.array([1.0, 4.0]))) == 0.25


def gaps(rows: PairedRows) -> Array:
    """Each sample's own value in b less that in a, shape (n,), positive where better; 0 for a tie.

    A sample's own value is the pool's formula of its row: its error rate, mean vote, the mean of its verdicts; in
    strata its plain value. Where it has none (no reference words) its numerators decide; verdicts of several judges
    are compared judge by judge, where both runs have them.
    """
    import numpy as np

    a, b, pool = rows.a, rows.b, rows.pool
    if pool.sources:
        both = (a[:, 1::2] > 0) & (b[:, 1::2] > 0)
        with np.errstate(all="ignore"):
            by_source = b[:, 0::2] / b[:, 1::2] - a[:, 0::2] / a[:, 1::2]
        held = np.where(both, by_source, 0.0)
        out = held.sum(axis=1) / np.maximum(both.sum(axis=1), 1)
    else:
        with np.errstate(all="ignore"):
            out = pool.formula(b) - pool.formula(a)
        if len(pool.columns) == 2:
            alike = a[:, 1] == b[:, 1]
            out = np.where(alike & ~np.isfinite(out), b[:, 0] - a[:, 0], out)
            out = np.where(alike & (a[:, 0] == b[:, 0]), 0.0, out)
        out = np.where(np.isnan(out), 0.0, out)
    scale = np.maximum(np.abs(a).max(axis=1, initial=0.0), np.abs(b).max(axis=1, initial=0.0))
    out = np.where(np.abs(out) <= 1e-12 * np.maximum(scale, 1.0), 0.0, out)
    return out if rows.higher_is_better else -out


def correction(pool: Pool, rows: Array, clusters: Codes | None) -> float:
    """Of a linearised variance for small samples: m / (m - 1), in each stratum by its own count.

    Args:
        rows: of one run; both have the same samples in a stratum.
    """
    import numpy as np

    m = count(clusters, len(rows))
    if m < 2:
        return 1.0
    if pool.name != "weighted-strata" or clusters is not None:
        return m / (m - 1)
    sizes = rows[:, 1::2].sum(axis=0)
    shares = pool.formula(_one_stratum_each(len(sizes), sizes))
    with np.errstate(all="ignore"):
        weight = np.where(sizes > 0, shares**2 / sizes, 0.0)
        lacking = np.where(
            sizes > 1, sizes / (sizes - 1), 2.0
        )  # of one sample nothing is seen: taken as of two
    return float((weight * lacking).sum() / weight.sum())


def _one_stratum_each(k: int, sizes: Array) -> Array:
    """Sums with the value 1 in one stratum and 0 in the others, for each in turn: the formula gives its share."""
    import numpy as np

    sums = np.zeros((k, 2 * k))
    sums[:, 1::2] = sizes
    sums[np.arange(k), 2 * np.arange(k)] = sizes
    return sums


def differing(first: Array, second: Array) -> NDArray[np.bool_]:
    """Units that the two runs don't agree on, shape (units,)."""
    out: NDArray[np.bool_] = (first != second).any(axis=1)
    return out
