"""Differences of two runs: exact tests against SciPy and statsmodels, corners, determinism, antisymmetry."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evalkit.inference import (
    Difference,
    NothingToCompare,
    OneRun,
    OneValue,
    PairedRows,
    combined,
    compare,
    holm,
    unpaired,
)
from evalkit.inference.intervals import newcombe, tango
from evalkit.inference.mcnemar import mcnemar_exact
from evalkit.resampling import Statistics as Statistic
from evalkit.resampling import bootstrap_t, sign_flips, slope, t_quantile, t_tail
from evalkit.stats import DIFFERENCE, MEAN, Pool, estimate, mean_of_means, pooled, stratified

ROOT = Path(__file__).parent.parent
WER = pooled("errors", "length")
Array = NDArray[np.float64]


def rows_of(values: Any, weights: Any = None) -> Array:
    v = np.asarray(values, dtype=np.float64)
    return np.stack([v, np.ones(len(v)) if weights is None else np.asarray(weights, dtype=float)], axis=1)


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


# --- corners ---------------------------------------------------------------------------------------


def finite(d: Difference) -> bool:
    numbers = [d.a, d.b, d.delta, *(d.ci or ()), *(x for x in (d.p, d.se, d.effect) if x is not None)]
    return all(math.isfinite(x) for x in numbers)


cells = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 3), st.integers(0, 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(cells, min_size=1, max_size=9), st.booleans())
def test_no_nan_leaks(found: list[tuple[int, int, int, int]], grouped: bool) -> None:
    a, b, length, codes = (np.array(x) for x in zip(*found, strict=True))
    rows = words(a, b, length, clusters=codes if grouped else None)
    if length.sum() == 0:
        with pytest.raises(NothingToCompare):
            compare(rows, seed=0, draws=200)
        return
    d = compare(rows, seed=0, draws=200)
    assert finite(d)
    assert d.wins + d.losses + d.ties == d.n == len(a)
    if d.ci is not None:
        assert d.ci[0] <= d.delta + 1e-9 and d.delta - 1e-9 <= d.ci[1]
    if d.clusters < 2:
        assert d.ci is None or d.test == "mcnemar-exact"


def test_no_samples_is_a_sentence() -> None:
    with pytest.raises(NothingToCompare, match="nothing to compare"):
        compare(PairedRows(np.zeros((0, 2)), np.zeros((0, 2)), MEAN), seed=0)
    with pytest.raises(ValueError, match="level"):
        compare(ratings([1, 2], [2, 2]), seed=0, level=95)
    with pytest.raises(ValueError, match="draws"):
        compare(ratings([1, 2], [2, 2]), seed=0, draws=10)


def test_one_sample_and_one_cluster_have_no_interval() -> None:
    one = compare(ratings([2], [4]), seed=0)
    assert (one.ci, one.p, one.se, one.delta, one.wins) == (None, None, None, 2.0, 1)
    lone = compare(words(ERRORS, OTHERS, LENGTH, clusters=np.zeros(300, dtype=int)), seed=0)
    assert (lone.ci, lone.p, lone.clusters) == (None, None, 1)


def test_two_samples_say_next_to_nothing() -> None:
    found = compare(ratings([2, 3], [4, 4]), seed=0)
    assert found.ci == (-4.0, 4.0) and found.p == 0.5


def test_all_ties_are_no_proof_of_equality() -> None:
    same = compare(ratings([3] * 96, [3] * 96), seed=0)
    z2 = 1.959963984540054**2
    assert same.ci == pytest.approx((-4 * z2 / (96 + z2), 4 * z2 / (96 + z2)))
    assert (same.p, same.ties, same.ci_method) == (1.0, 96, "score(all alike)")
    heard = compare(words(ERRORS, ERRORS, LENGTH), seed=0)
    assert heard.ci == pytest.approx((-100 * z2 / (300 + z2), 100 * z2 / (300 + z2)))


def test_an_interval_stays_within_what_is_possible() -> None:
    found = compare(ratings([1, 1, 1, 5], [5, 5, 5, 4]), seed=0)
    assert found.ci is not None and found.ci[1] == 4.0


def test_a_sample_without_words_is_decided_by_its_errors() -> None:
    found = compare(words([0, 2, 1], [1, 0, 1], [0, 0, 5]), seed=0)
    assert (found.wins, found.losses, found.ties) == (1, 1, 1)


def test_draws_without_a_number_are_told() -> None:
    """Nine of ten utterances without words: many draws have nothing to divide by."""
    found = compare(words([1] * 10, [2] * 10, [5] + [0] * 9), seed=0, draws=400)
    assert found.ci_method == "student-t" and found.ci is not None and finite(found)


def test_clusters_widen_the_interval() -> None:
    codes = np.repeat(np.arange(30), 10)
    gain = np.repeat(RNG.choice([-1, 0, 1], 30), 10)
    rows = words(ERRORS + 1, ERRORS + 1 + gain, LENGTH)
    alone, grouped = compare(rows, seed=0), compare(replace(rows, clusters=codes * 7 + 3), seed=0)
    assert alone.ci is not None and grouped.ci is not None and alone.p is not None and grouped.p is not None
    assert grouped.ci[1] - grouped.ci[0] > 1.5 * (alone.ci[1] - alone.ci[0])
    assert grouped.p > alone.p and (grouped.clusters, grouped.wins) == (30, alone.wins)


# --- the same bytes --------------------------------------------------------------------------------


def test_the_same_call_gives_the_same_bytes_and_order_does_not_matter() -> None:
    rows = words(ERRORS + 0.1, OTHERS + 0.1, LENGTH + 0.3)
    turned = replace(rows, a=rows.a[::-1], b=rows.b[::-1])
    first = compare(rows, seed=5)
    assert first == compare(rows, seed=5)
    again = compare(turned, seed=5)
    assert (first.ci, first.p, first.se) == (again.ci, again.p, again.se)
    assert first.ci != compare(rows, seed=6).ci


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = words(ERRORS, OTHERS + 0.3, LENGTH)
    whole = compare(rows, seed=5, draws=700)
    monkeypatch.setattr("evalkit.resampling.CELLS", 4000)
    monkeypatch.setattr("evalkit.resampling.BLOCK", 900)
    assert compare(rows, seed=5, draws=700) == whole


def test_threads_do_not_matter() -> None:
    code = (
        "import numpy as np; from evalkit.inference import *; from evalkit.stats import pooled\n"
        "r = np.random.default_rng(0); n = 9000; a = r.random((n, 2)) + .1\n"
        "b = a + np.array([1, 0]) * r.normal(0, .1, (n, 1))\n"
        "print(repr(compare(PairedRows(a, b, pooled('e', 'l'), hi=np.inf), seed=1, draws=300)))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(said) == 1 and "bootstrap-t(300)" in said.pop()


def test_swapping_the_runs_turns_the_difference_round() -> None:
    there, back = compare(ratings(RATED, AGAIN), seed=0), compare(ratings(AGAIN, RATED), seed=0)
    assert there.ci is not None and back.ci is not None
    assert (there.delta, there.wins) == (-back.delta, back.losses)
    assert there.ci == pytest.approx((-back.ci[1], -back.ci[0]), abs=0.02)


# --- Holm ------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12))
def test_holm_as_statsmodels_has_it(values: list[float | None]) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    known = [p for p in values if p is not None]
    expected = iter(multitest.multipletests(known, method="holm")[1] if known else [])
    for given_p, found in zip(values, holm(values), strict=True):
        assert found is None if given_p is None else found == pytest.approx(next(expected))


# --- against printed numbers, overalls ---------------------------------------------------------------


def test_two_proportions_as_statsmodels_has_them() -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    run = OneRun(rows_of([1] * 61 + [0] * 39), MEAN, 100.0)
    found = unpaired(run, 50.0, 200)
    assert found.p == pytest.approx(proportion.proportions_ztest([61, 100], [100, 200])[1])
    low, high = proportion.confint_proportions_2indep(61, 100, 100, 200, method="newcomb")
    assert found.ci == pytest.approx((100 * low, 100 * high))
    assert found.test == "unpaired-z(proportions)" and found.delta == pytest.approx(11.0)
    assert unpaired(OneValue(61.0, 100, True), 50.0, 200).ci == pytest.approx(found.ci)


def test_newcombe_as_published() -> None:
    """Newcombe 1998 (Statistics in Medicine 17, 873-890), Table II, contrast a, method 10: 56/70 less 48/80."""
    assert newcombe(48 / 80, 80, 56 / 70, 70) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_ratings_against_a_printed_mean_use_our_spread() -> None:
    run = OneRun(rows_of(RATED), MEAN, 1.0, lo=1.0, hi=5.0)
    found = unpaired(run, 4.0, 60, decimals=1)
    assert found.se == pytest.approx(RATED.std(ddof=1) * math.sqrt(2 / 60))
    assert found.test == "unpaired-t(spread of ours)" and found.note.startswith(
        "The printed value is rounded"
    )
    assert unpaired(run, 4.0, 60, decimals=3).note == ""
    stats = pytest.importorskip("scipy.stats")
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.delta) / found.se, 59))


def test_a_lower_error_rate_varies_less() -> None:
    run = OneRun(rows_of(ERRORS, LENGTH), WER, 100.0, hi=math.inf, higher_is_better=False)
    high, low = unpaired(run, 20.0, 300), unpaired(run, 2.0, 300)
    assert high.se is not None and low.se is not None and high.se > low.se > 0


def test_without_n_or_spread_there_is_no_test() -> None:
    run = OneRun(rows_of(RATED), MEAN, 1.0, lo=1.0, hi=5.0)
    for found, why in (
        (unpaired(run, 4.0, None), "how many samples"),
        (unpaired(OneValue(3.0, 10, False), 4.0, 60), "how much the samples vary"),
        (unpaired(OneRun(rows_of([5, 5, 5]), MEAN, 1.0, lo=1.0, hi=5.0), 4.0, 60), "how much the samples"),
    ):
        assert (found.p, found.ci, found.test) == (None, None, "none") and why in found.note
    with pytest.raises(ValueError, match="0 samples"):
        unpaired(run, 4.0, 0)


def test_an_overall_adds_up_what_its_parts_vary() -> None:
    one = compare(ratings(RATED, AGAIN), seed=0)
    two = compare(right([(0, 1)] * 20 + [(1, 0)] * 10 + [(1, 1)] * 70), seed=0)
    found = combined([(one, 20.0), (two, 1.0)])
    assert found.delta == pytest.approx((20 * one.delta + two.delta) / 2)
    assert one.se is not None and two.se is not None
    assert found.se == pytest.approx(math.hypot(20 * one.se, two.se) / 2)
    assert found.ci is not None and found.p is not None
    assert (found.p < 0.05) == (found.ci[0] > 0 or found.ci[1] < 0)
    assert (found.n, found.wins) == (one.n + two.n, one.wins + two.wins)
    alone = combined([(two, 1.0)])
    assert alone.ci == pytest.approx(two.ci)


def test_an_overall_rounds_its_parts_and_needs_all_intervals() -> None:
    one = replace(compare(ratings(RATED, AGAIN), seed=0), a=3.145, b=3.155)
    assert combined([(one, 20.0)], round_parts=2).delta == pytest.approx(20 * (3.16 - 3.15))
    assert combined([(replace(one, ci=None), 1.0), (one, 1.0)]).p is None
    with pytest.raises(ValueError, match="levels"):
        combined([(one, 1.0), (replace(one, level=0.9), 1.0)])
    with pytest.raises(ValueError, match="no parts"):
        combined([])


# --- one number, Student's t -----------------------------------------------------------------------


def test_students_t_as_scipy_has_it() -> None:
    stats = pytest.importorskip("scipy.stats")
    for df in (1, 2, 3, 8, 29, 200, 1999, 5000):
        assert t_quantile(0.975, df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-6)
        assert t_tail(-2.3, df) == pytest.approx(2 * stats.t.sf(2.3, df), rel=1e-6)


def test_a_number_of_clusters_varies_with_them() -> None:
    values = np.repeat([0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0], 25)
    codes = np.repeat(np.arange(8), 25)
    alone, grouped = estimate(rows_of(values), MEAN), estimate(rows_of(values), MEAN, clusters=codes)
    assert alone.ci is not None and grouped.ci is not None
    assert alone.ci_method == "wilson" and grouped.ci_method == "bootstrap-t(2000)"
    assert grouped.ci[1] - grouped.ci[0] > 3 * (alone.ci[1] - alone.ci[0])
    assert grouped.ci[0] >= 0 and grouped.ci[1] <= 1
    assert estimate(rows_of(values), MEAN, clusters=np.zeros(200, dtype=int)).ci is None


def test_few_units_get_no_less_than_students_interval() -> None:
    rows = rows_of([3.0, 3, 4, 3, 5])
    drawn = bootstrap_t(
        rows, Statistic(MEAN.formula), seed=0, draws=500, level=0.95, varies=np.ones(5, dtype=bool)
    )
    half = t_quantile(0.975, 4) * drawn.se
    assert drawn.ci is not None and drawn.ci[0] <= 3.6 - half and drawn.ci[1] >= 3.6 + half


def test_nothing_to_swap() -> None:
    assert sign_flips(np.zeros((5, 2)), MEAN.formula, 0.0, seed=0, draws=100) == (1.0, "permutation-exact")
