"""The difference of two runs on the same samples: the right test and the right interval for the metric."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evalkit.errors import UsageError
from evalkit.inference.intervals import tango
from evalkit.inference.mcnemar import mcnemar_exact
from evalkit.inference.rows import Difference, PairedRows

if TYPE_CHECKING:
    from evalkit.stats import Array, Pool


class NothingToCompare(UsageError):
    """The compared samples give no number: there are none, or nothing to divide by (no reference words)."""


def compare(rows: PairedRows, *, seed: int, draws: int = 10_000, level: float = 0.95) -> Difference:
    """Test and estimate the difference b - a.

    Raises NothingToCompare when either run has no number over these samples.
    """
    import numpy as np

    a = _number(rows.pool, rows.a, rows.scale)
    b = _number(rows.pool, rows.b, rows.scale)
    gaps = _gaps(rows)
    wins, losses = int((gaps > 0).sum()), int((gaps < 0).sum())
    n, m = rows.n, rows.n if rows.clusters is None else len(np.unique(rows.clusters))
    binary = rows.pool.name == "mean" and (rows.lo, rows.hi) == (0.0, 1.0)
    if binary and m == n and bool(np.isin([rows.a[:, 0], rows.b[:, 0]], (0.0, 1.0)).all()):
        sign = 1 if rows.higher_is_better else -1
        up, down = (wins, losses) if sign > 0 else (losses, wins)
        low, high = tango(up, down, n, level)
        ci = (low * rows.scale, high * rows.scale)
        method, test, p = "tango", "mcnemar-exact", mcnemar_exact(wins, losses)
        effect = wins / losses if losses else None
        return Difference(
            a, b, b - a, ci, method, p, test, n, m, wins, losses, n - wins - losses,
            rows.higher_is_better, level, None, effect, "odds ratio",
        )  # fmt: skip
    first, second = (_units(x, rows.clusters) for x in (rows.a, rows.b))
    rng = np.random.default_rng(seed)
    values = np.empty(draws)
    flipped = np.empty(draws)
    apart = second - first
    for i in range(draws):
        pick = rng.integers(0, m, m)
        values[i] = float(rows.pool.formula(second[pick].sum(0)) - rows.pool.formula(first[pick].sum(0)))
        turn = (apart * rng.integers(0, 2, m)[:, None]).sum(0)
        flipped[i] = float(rows.pool.formula(second.sum(0) - turn) - rows.pool.formula(first.sum(0) + turn))
    finite = values[np.isfinite(values)] * rows.scale
    se = float(finite.std(ddof=1)) if len(finite) > 1 and m > 1 else None
    ci = (
        tuple(float(x) for x in np.quantile(finite, [(1 - level) / 2, (1 + level) / 2]))
        if se is not None
        else None
    )  # type: ignore[assignment]
    reach = abs((b - a) / rows.scale) * (1 - 1e-9)
    p = (1 + int((np.abs(flipped) >= reach).sum())) / (draws + 1)
    return Difference(
        a, b, b - a, ci, f"bootstrap-percentile({draws})", p, f"permutation({draws})", n, m, wins, losses,
        n - wins - losses, rows.higher_is_better, level, se, None, "",
    )  # fmt: skip


def _number(pool: Pool, rows: Array, scale: float) -> float:
    value = float(pool.formula(rows.sum(axis=0))) * scale if len(rows) else math.nan
    if not math.isfinite(value):
        raise NothingToCompare("these samples give no number: none is scored in both runs")
    return value


def _units(rows: Array, clusters: object) -> Array:
    """Rows summed by cluster."""
    import numpy as np

    if clusters is None:
        return rows
    _, codes = np.unique(clusters, return_inverse=True)  # type: ignore[call-overload]
    out = np.zeros((int(codes.max()) + 1, rows.shape[1]))
    np.add.at(out, codes, rows)
    return out


def _gaps(rows: PairedRows) -> Array:
    """Each sample's own difference, positive where better."""
    import numpy as np

    own = [rows.pool.formula(x) for x in (rows.a, rows.b)]
    gaps = np.nan_to_num(own[1] - own[0], nan=0.0)
    gaps[np.abs(gaps) < 1e-12] = 0.0
    return gaps if rows.higher_is_better else -gaps
