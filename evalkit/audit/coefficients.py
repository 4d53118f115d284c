"""Coefficients of two or more raters as plain numbers, each a library's. NaN where one is undefined.

Spearman and Pearson are SciPy's, Cohen's kappa statsmodels', Krippendorff's alpha krippendorff's; for resamples there
are quicker ways to the same numbers (`QUICK`, `quick_alpha`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from evalkit.errors import UsageError

if TYPE_CHECKING:
    from evalkit.stats import Array

TABLE = 4_000_000
"""Cells of the tables that krippendorff may build."""

Level = Literal["nominal", "ordinal", "interval"]
Statistic = Callable[["Array", "Array"], float]


@contextmanager
def libraries() -> Iterator[None]:
    """Within, a library that isn't installed is told, and NaN arrives without a warning.

    Raises:
        UsageError: SciPy or statsmodels is missing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImportError as exc:
        raise UsageError(
            f'judge-audit computes with SciPy and statsmodels: pip install "evalkit[stats]" ({exc})'
        ) from exc


def kappa(one: Array, two: Array, steps: Sequence[float], weights: str | None = None) -> float:
    """Cohen's kappa, `weights` None or "quadratic" (by steps apart); NaN when both gave one and the same category."""
    import numpy as np
    from statsmodels.stats.inter_rater import cohens_kappa

    size = len(steps)
    places = np.searchsorted(steps, one) * size + np.searchsorted(steps, two)
    table = np.bincount(places, minlength=size * size).reshape(size, size)
    return float(cohens_kappa(table, wt=weights, return_results=False))


def spearman(one: Array | Sequence[float], two: Array | Sequence[float]) -> float:
    """Spearman's rho, ties by average rank; NaN when one side is constant."""
    from scipy.stats import spearmanr

    return float(spearmanr(one, two).statistic)


def pearson(one: Array, two: Array) -> float:
    """Pearson's r; NaN when one side is constant."""
    from scipy.stats import pearsonr

    return float(pearsonr(one, two).statistic)


def _corr(one: Array, two: Array) -> float:
    import numpy as np

    return float(np.corrcoef(one, two)[0, 1])


def _rank_corr(one: Array, two: Array) -> float:
    from scipy.stats import rankdata

    return _corr(rankdata(one), rankdata(two))


QUICK: dict[Statistic, Statistic] = {spearman: _rank_corr, pearson: _corr}
"""The same numbers without the tests that SciPy computes beside them: for resamples, of which there are thousands."""


def no_alpha() -> str:
    """Why Krippendorff's alpha can't be had here, "" when it can: its library, under the GPL, may be left out."""
    from importlib.util import find_spec

    return "" if find_spec("krippendorff") else 'krippendorff is not installed: pip install "evalkit[stats]"'


def alpha(raters: Array, level: Level) -> float:
    """Krippendorff's alpha of ratings, shape (raters, samples), NaN where one is missing; NaN when all are equal."""
    import numpy as np
    from krippendorff import alpha as coefficient

    known = raters[:, (~np.isnan(raters)).sum(axis=0) > 1]
    domain = np.unique(known[~np.isnan(known)])
    if known.shape[1] == 0 or len(domain) < 2:
        return math.nan
    if level == "interval" and len(domain) * max(known.size, len(domain)) > TABLE:
        return interval_alpha(known)
    return float(coefficient(reliability_data=known, level_of_measurement=level))


def interval_alpha(raters: Array) -> float:
    """Krippendorff's alpha of numbers by their variances: the library's value (a test compares them).

    The library counts pairs of distinct values, whose table of 5000 numbers takes gigabytes.
    """
    import numpy as np

    times = (~np.isnan(raters)).sum(axis=0)
    held, times = raters[:, times > 1], times[times > 1]
    total = times.sum()
    if not total:
        return math.nan
    within = (np.nanvar(held, axis=0) * times**2 / (times - 1)).sum() / total
    among = np.nanvar(held) * total / (total - 1)
    return float(1 - within / among) if among > 0 else math.nan


def quick_alpha(raters: Array, level: Level) -> float:
    """`alpha` for resamples."""
    return interval_alpha(raters) if level == "interval" else alpha(raters, level)


def mean_difference(one: Array, two: Array) -> float:
    """How much higher the first rates, in steps of the scale."""
    return float((one - two).mean())
