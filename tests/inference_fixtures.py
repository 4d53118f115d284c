"""Rows of made-up runs that tests of evalkit.inference share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.inference import PairedRows
from evalkit.pools import MEAN, Pool, pooled

WER = pooled("errors", "length")
Array = NDArray[np.float64]


def rows_of(values: Any, weights: Any = None) -> Array:
    v = np.asarray(values, dtype=np.float64)
    return np.stack([v, np.ones(len(v)) if weights is None else np.asarray(weights, dtype=float)], axis=1)


def redrawn(rows: Array, pool: Pool, *, seed: int, draws: int = 2000) -> Array:
    """The bootstrap of the textbooks: rows drawn one by one, pooled again; shape (draws,)."""
    picks = np.random.default_rng(seed).integers(len(rows), size=(draws, len(rows)))
    return pool.formula(rows[picks].sum(axis=1))


def right(pairs: list[tuple[int, int]]) -> PairedRows:
    a, b = zip(*pairs, strict=True)
    return PairedRows(rows_of(a), rows_of(b), MEAN, 100.0)


def ratings(a: Any, b: Any, **more: Any) -> PairedRows:
    return PairedRows(rows_of(a), rows_of(b), MEAN, 1.0, lo=1.0, hi=5.0, **more)


def words(a: Any, b: Any, length: Any, **more: Any) -> PairedRows:
    return PairedRows(
        rows_of(a, length), rows_of(b, length), WER, 100.0, hi=math.inf, higher_is_better=False, **more
    )


RNG = np.random.default_rng(7)
LENGTH = RNG.integers(1, 30, 300)
ERRORS = RNG.binomial(LENGTH, 0.1)
OTHERS = np.where(RNG.random(300) < 0.5, ERRORS, RNG.binomial(LENGTH, 0.14))
RATED = RNG.integers(1, 6, 60)
AGAIN = np.where(RNG.random(60) < 0.5, RATED, RNG.integers(1, 6, 60))
