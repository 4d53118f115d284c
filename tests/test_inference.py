"""Differences of two runs: exact tests and intervals against SciPy, statsmodels and brute force."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.inference import (
    PairedRows,
    compare,
)
from evalkit.inference.intervals import tango
from evalkit.inference.mcnemar import mcnemar_exact
from evalkit.pools import DIFFERENCE, MEAN, Pool, mean_of_means, pooled, stratified
from evalkit.resampling import slope
from tests.inference_fixtures import (
    AGAIN,
    ERRORS,
    LENGTH,
    OTHERS,
    RATED,
    WER,
    Array,
    ratings,
    right,
    rows_of,
    words,
)

# --- McNemar, Tango --------------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial(wins: int, losses: int) -> None:
    n, fewer = wins + losses, min(wins, losses)
    tail = sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n
    assert mcnemar_exact(wins, losses) == pytest.approx(min(1.0, 2 * tail), rel=1e-12)
    assert mcnemar_exact(wins, losses) == mcnemar_exact(losses, wins)


def test_mcnemar_of_very_many_pairs() -> None:
    stats = pytest.importorskip("scipy.stats")
    for wins, losses in ((30_000, 29_000), (500_100, 499_900), (1200, 3)):
        expected = stats.binomtest(wins, wins + losses, 0.5).pvalue
        assert mcnemar_exact(wins, losses) == pytest.approx(expected, rel=1e-6)


def test_mcnemar_as_statsmodels_has_it() -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    for wins, losses in ((31, 16), (5, 0), (9, 8)):
        found = tables.mcnemar([[40, losses], [wins, 11]], exact=True).pvalue
        assert mcnemar_exact(wins, losses) == pytest.approx(found, rel=1e-10)


def score_z(delta: float, up: int, down: int, n: int) -> float:
    """Tango's statistic, from its constrained likelihood maximised on a grid: no closed form shared with the code."""
    best = None
    for q in np.linspace(max(0.0, -delta), min(1.0, (1 - delta)), 40_001):
        p_up, p_down = q + delta, q
        if p_up < 0 or p_up + p_down > 1:
            continue
        likelihood = 0.0
        for count, p in ((up, p_up), (down, p_down), (n - up - down, 1 - p_up - p_down)):
            likelihood += count * math.log(p) if p > 0 else (-math.inf if count else 0.0)
        if best is None or likelihood > best[0]:
            best = (likelihood, q)
    assert best is not None
    return (up - down - n * delta) / math.sqrt(n * (2 * best[1] + delta * (1 - delta)))


@pytest.mark.parametrize(("up", "down", "n"), [(12, 3, 60), (1, 0, 32), (0, 4, 50), (21, 9, 50)])
def test_tango_ends_where_the_score_test_does(up: int, down: int, n: int) -> None:
    low, high = tango(up, down, n)
    assert score_z(low, up, down, n) == pytest.approx(1.96, abs=2e-3)
    assert score_z(high, up, down, n) == pytest.approx(-1.96, abs=2e-3)


def test_tango_without_discordant_pairs_has_the_known_end() -> None:
    z2 = 1.959963984540054**2
    assert tango(0, 0, 50) == pytest.approx((-z2 / (50 + z2), z2 / (50 + z2)))
    assert tango(10, 0, 10)[1] == 1.0 and tango(0, 10, 10)[0] == -1.0


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 200))
def test_tango_holds_the_difference_and_is_even_handed(up: int, down: int, ties: int) -> None:
    n = up + down + ties
    if n == 0:
        return
    low, high = tango(up, down, n)
    assert -1 <= low <= (up - down) / n <= high <= 1
    assert tango(down, up, n) == pytest.approx((-high, -low), abs=1e-9)
    narrow = tango(up, down, n, 0.8)
    assert low <= narrow[0] + 1e-12 and narrow[1] <= high + 1e-12


def test_accuracy_gets_mcnemar_and_tango() -> None:
    found = compare(right([(0, 1)] * 16 + [(1, 0)] * 31 + [(1, 1)] * 300 + [(0, 0)] * 206), seed=0)
    assert (found.test, found.ci_method) == ("mcnemar-exact", "tango")
    assert (found.wins, found.losses, found.ties) == (16, 31, 506)
    assert found.p == pytest.approx(mcnemar_exact(16, 31)) and found.p < 0.05
    assert found.delta == pytest.approx(-100 * 15 / 553) and found.effect == pytest.approx(16 / 31)
    assert found.ci is not None and found.ci[1] < 0


def test_a_rate_of_wrong_sentences_is_binary_and_lower_is_better() -> None:
    rows = right([(1, 0)] * 9 + [(0, 1)] * 2 + [(0, 0)] * 50)
    rows = replace(rows, pool=pooled("wrong", "n"), hi=math.inf, higher_is_better=False)
    found = compare(rows, seed=0)
    assert (found.test, found.wins, found.losses) == ("mcnemar-exact", 9, 2)
    assert found.delta < 0 < found.gain
    assert found.gain_ci is not None and found.gain_ci[0] < found.gain < found.gain_ci[1]


def test_a_rating_of_one_is_no_proportion_and_clusters_are_no_pairs() -> None:
    assert compare(ratings([1] * 9 + [2], [1] * 10), seed=0).test.startswith("permutation")
    rows = replace(right([(0, 1), (1, 0), (1, 1), (0, 1)] * 5), clusters=np.repeat(np.arange(10), 2))
    found = compare(rows, seed=0)
    assert found.test.startswith("permutation") and found.ci_method.startswith("bootstrap-t")
    assert (found.n, found.clusters) == (20, 10)


# --- permutation -----------------------------------------------------------------------------------


def brute(a: Array, b: Array, pool: Pool) -> float:
    """The permutation test by trying every way of swapping."""
    observed = abs(pool.formula(b.sum(axis=0)) - pool.formula(a.sum(axis=0)))
    extreme = total = 0
    for flips in itertools.product((False, True), repeat=len(a)):
        swap = np.array(flips)[:, None]
        one, two = np.where(swap, b, a), np.where(swap, a, b)
        value = abs(pool.formula(two.sum(axis=0)) - pool.formula(one.sum(axis=0)))
        total, extreme = total + 1, extreme + bool(value >= observed - 1e-12)
    return extreme / total


def test_few_samples_are_swapped_in_every_way() -> None:
    found = compare(words(ERRORS[:11], OTHERS[:11] + 1, LENGTH[:11]), seed=0)
    assert found.test == "permutation-exact"
    expected = brute(rows_of(ERRORS[:11], LENGTH[:11]), rows_of(OTHERS[:11] + 1, LENGTH[:11]), WER)
    assert found.p == pytest.approx(expected)


def test_ties_of_floats_count() -> None:
    """0.1 + 0.2 is not 0.3: a swap that changes nothing in truth must not depend on it."""
    a, b = rows_of([0.1, 0.2, 0.3, 0.7]), rows_of([0.3, 0.1, 0.4, 0.1])
    found = compare(PairedRows(a, b, MEAN), seed=0)
    assert found.p == pytest.approx(brute(a, b, MEAN))


def test_many_samples_agree_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    found = compare(ratings(RATED, AGAIN), seed=1)
    theirs = stats.permutation_test(
        (AGAIN, RATED),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=9999,
        vectorized=True,
        rng=np.random.default_rng(3),
    )
    assert found.test == "permutation(10000)"
    assert found.p == pytest.approx(theirs.pvalue, abs=0.03)


def test_the_smallest_p_is_not_zero() -> None:
    found = compare(ratings([1] * 40, [5, 4] * 20), seed=0, draws=500)
    assert found.p == pytest.approx(1 / 501)


# --- bootstrap -------------------------------------------------------------------------------------


def test_the_standard_error_is_the_linearised_one() -> None:
    found = compare(words(ERRORS, OTHERS, LENGTH), seed=0)
    rate = (OTHERS.sum() - ERRORS.sum()) / LENGTH.sum()
    parts = (OTHERS - ERRORS - rate * LENGTH) / LENGTH.sum()
    expected = 100 * math.sqrt((parts**2).sum() * 300 / 299)
    assert found.se == pytest.approx(expected)
    assert found.effect == pytest.approx(found.delta / (expected * math.sqrt(300)))


def test_the_interval_is_close_to_scipys_bootstrap() -> None:
    stats = pytest.importorskip("scipy.stats")
    found = compare(words(ERRORS, OTHERS, LENGTH), seed=0)
    theirs = stats.bootstrap(
        (ERRORS, OTHERS, LENGTH),
        lambda a, b, n, axis: 100 * (b.sum(axis=axis) - a.sum(axis=axis)) / n.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=5000,
        method="BCa",
        rng=np.random.default_rng(0),
    )
    low, high = theirs.confidence_interval
    assert found.ci is not None
    assert found.ci == pytest.approx((low, high), abs=0.15 * (high - low))
    assert found.se == pytest.approx(theirs.standard_error, rel=0.05)


@pytest.mark.parametrize(
    "pool",
    [WER, MEAN, mean_of_means(2), stratified({"a": 0.3, "b": 0.5, "c": 0.2}), DIFFERENCE],
    ids=lambda p: p.name,
)
def test_derivatives_are_those_of_the_formula(pool: Pool) -> None:
    sums = np.random.default_rng(1).uniform(5, 50, (4, len(pool.columns)))
    by_differences = slope(pool.formula, sums)
    if pool.gradient is not None:
        assert pool.gradient(sums) == pytest.approx(by_differences, rel=1e-5, abs=1e-9)
    # Every pool is a ratio: rows twice as many give the same number.
    assert (by_differences * sums).sum(axis=1) == pytest.approx(0.0, abs=1e-6)


def test_strata_are_weighed_and_a_lone_sample_is_no_certainty() -> None:
    pool = stratified({"a": 1.0, "b": 1.0})

    def rows(values: list[int]) -> Array:
        out = np.zeros((len(values), 4))
        out[:-1, 0], out[:-1, 1] = values[:-1], 1
        out[-1, 2:] = values[-1], 1
        return out

    a, b = rows([0, 1] * 10 + [0]), rows([0, 1, 1, 1] * 5 + [1])
    found = compare(PairedRows(a, b, pool, 100.0), seed=0)
    assert found.delta == pytest.approx((25 + 100) / 2)
    assert (found.wins, found.losses) == (6, 0)
    assert found.se is not None and found.se > 0


def test_a_judge_that_is_missing_in_one_run_is_no_win() -> None:
    pool = mean_of_means(2)
    a = np.array([[0.0, 1, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]])
    b = np.array([[1.0, 1, 0, 0], [0, 1, 1, 1], [0, 1, 0, 1]])
    found = compare(PairedRows(a, b, pool, 100.0), seed=0)
    assert (found.wins, found.losses, found.ties) == (1, 1, 1)
