"""How samples become a number: pools of segment statistics.

A metric never averages rates. It *pools*: every sample contributes a row of segment statistics
(its value and a 1; or errors and reference length; ...), rows are summed, and one formula turns the sums
into the number. Intervals and subset tables re-pool the same rows with the same formula. NumPy is imported where it is
used: a run needs it only once it has its answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """How segment statistics become a number.

    Attributes:
        name: for signatures and docs ("mean", "pooled", ...).
        columns: names of the statistics of one segment. "value" is `Score.value`, "n" is 1, anything else
            is looked up in `Score.counts`.
        formula: sums of shape (..., len(columns)) to numbers of shape (...).
        best, worst: the row an unscored sample would add at best and at worst, given the metric's range
            and the mean row; None when the range is open (WER).
        sources: number of verdicts pooled side by side (see `mean_of_means`); 0 for all other pools.
        paired: a row holds "weighted" and "weight" of two verdicts on the same sample (see `DIFFERENCE`).
        gradient: derivative of the formula by each sum, shape of the sums, where there are too many columns to find
            it by differences.
    """

    name: str
    columns: tuple[str, ...]
    formula: Callable[[Array], Array]
    best: Callable[[float, float, Array], Sequence[float]] | None = None
    worst: Callable[[float, float, Array], Sequence[float]] | None = None
    sources: int = 0
    paired: bool = False
    gradient: Callable[[Array], Array] | None = None

    def row(self, value: float, counts: Mapping[str, float] | None) -> list[float]:
        """The segment statistics of one score. Raises KeyError when a count is missing."""
        special = {"value": value, "n": 1.0}
        return [special[c] if c in special else float((counts or {})[c]) for c in self.columns]


def _ratio(sums: Array) -> Array:
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        out: Array = sums[..., 0] / sums[..., 1]
    return out


def _ratio_gradient(sums: Array) -> Array:
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        by_top = 1.0 / sums[..., 1]
        out: Array = np.stack([by_top, -sums[..., 0] * by_top * by_top], axis=-1)
    return out


MEAN = Pool(
    "mean",
    ("value", "n"),
    _ratio,
    best=lambda lo, hi, mean: (hi, 1.0),
    worst=lambda lo, hi, mean: (lo, 1.0),
    gradient=_ratio_gradient,
)
"""Mean of the samples' values."""


def pooled(numerator: str, denominator: str) -> Pool:
    """Sum of one count over sum of another: corpus WER ("errors", "length")."""
    return Pool(
        f"pooled({numerator}/{denominator})", (numerator, denominator), _ratio, gradient=_ratio_gradient
    )


VOTES = Pool(
    "mean-of-votes",
    ("sum", "votes"),
    _ratio,
    best=lambda lo, hi, mean: (hi * mean[1], mean[1]),
    worst=lambda lo, hi, mean: (lo * mean[1], mean[1]),
    gradient=_ratio_gradient,
)
"""Mean over all votes of all samples."""

WEIGHTED = Pool(
    "weighted-mean",
    ("weighted", "weight"),
    _ratio,
    best=lambda lo, hi, mean: (hi * mean[1], mean[1]),
    worst=lambda lo, hi, mean: (lo * mean[1], mean[1]),
    gradient=_ratio_gradient,
)
"""Mean of the samples' values, each by its weight: counts "weighted" (value times weight) and "weight"."""


def _difference(sums: Array) -> Array:
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        out: Array = sums[..., 0] / sums[..., 1] - sums[..., 2] / sums[..., 3]
    return out


DIFFERENCE = Pool(
    "difference-of-weighted-means",
    ("weighted0", "weight0", "weighted1", "weight1"),
    _difference,
    paired=True,
)
"""Weighted mean of one verdict less that of another, over the samples that have both; its interval is a paired one."""


def mean_of_means(sources: int) -> Pool:
    """The mean of several means, each over the samples that have its verdict (SD-QA: PEDANT and judge).

    Columns: value and count of each source in turn; a sample without a source's verdict adds 0 and 0 there.
    """

    def formula(sums: Array) -> Array:
        import numpy as np

        with np.errstate(divide="ignore", invalid="ignore"):
            means = sums[..., 0::2] / sums[..., 1::2]
        out: Array = means.mean(axis=-1)
        return out

    columns = tuple(f"{what}{k}" for k in range(sources) for what in ("value", "n"))
    return Pool(
        "mean-of-means",
        columns,
        formula,
        best=lambda lo, hi, mean: (hi, 1.0) * sources,
        worst=lambda lo, hi, mean: (lo, 1.0) * sources,
        sources=sources,
    )


@dataclass(frozen=True)
class Strata:
    """How strata of a task are weighed against each other.

    Attributes:
        key: key of `Sample.meta` that names a sample's stratum.
        weights: by stratum; samples of other strata don't count. None: every stratum that occurs, alike.
    """

    key: str
    weights: Mapping[str, float] | None = None


def stratified(weights: Mapping[str, float]) -> Pool:
    """The weighted mean of the strata's means; weights are shared out among the strata that have samples.

    Columns: value and count of each stratum in turn; a sample adds 0 and 0 to all but its own.
    VStyle sheet section 7 (Overall); equal weights give the macro average.
    """
    shares = tuple(weights.values())

    def formula(sums: Array) -> Array:
        import numpy as np

        values, counts = sums[..., 0::2], sums[..., 1::2]
        held = np.where(counts > 0, np.asarray(shares), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            means = np.where(counts > 0, values / counts, 0.0)
            out: Array = (held * means).sum(axis=-1) / held.sum(axis=-1)
        return out

    def gradient(sums: Array) -> Array:
        import numpy as np

        values, counts = sums[..., 0::2], sums[..., 1::2]
        held = np.where(counts > 0, np.asarray(shares), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            by_value = np.where(counts > 0, held / counts, 0.0) / held.sum(axis=-1, keepdims=True)
            by_count = np.where(counts > 0, -by_value * values / counts, 0.0)
        out: Array = np.stack([by_value, by_count], axis=-1).reshape(sums.shape)
        return out

    columns = tuple(f"{what}:{name}" for name in weights for what in ("value", "n"))
    return Pool("weighted-strata", columns, formula, gradient=gradient)


def stratum_row(weights: Mapping[str, float], stratum: str, value: float) -> list[float] | None:
    """What a sample of a stratum adds to a `stratified` pool; None for a stratum without a weight."""
    if stratum not in weights:
        return None
    return [x for name in weights for x in ((value, 1.0) if name == stratum else (0.0, 0.0))]
