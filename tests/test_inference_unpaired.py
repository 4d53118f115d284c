"""Many tests at once, printed numbers, overalls, one number, Student's t; against SciPy and statsmodels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.inference import (
    OneRun,
    OneValue,
    combined,
    compare,
    holm,
    unpaired,
)
from evalkit.inference.intervals import newcombe
from evalkit.pools import MEAN
from evalkit.resampling import Statistics as Statistic
from evalkit.resampling import bootstrap_t, sign_flips, t_quantile, t_tail
from evalkit.stats import estimate
from tests.inference_fixtures import (
    AGAIN,
    ERRORS,
    LENGTH,
    RATED,
    WER,
    ratings,
    right,
    rows_of,
)

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
    with pytest.raises(ValueError, match="no printed number"):
        unpaired(run, math.nan, 60)
    with pytest.raises(ValueError, match="our run"):
        unpaired(OneRun(np.zeros((0, 2)), MEAN), 4.0, 60)


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


def test_speakers_of_unequal_size_count_as_fewer() -> None:
    """One of eight holds half of the utterances: the degrees of freedom are those of 3.5 speakers."""
    rng = np.random.default_rng(2)
    sizes = [70, *[10] * 7]
    codes = np.repeat(np.arange(8), sizes)
    length = rng.integers(5, 20, 140).astype(float)
    rows = np.stack([rng.binomial(length.astype(int), 0.1).astype(float), length], axis=1)
    d = unpaired(OneRun(rows, WER, 100.0, codes, 0.0, math.inf, False), 8.0, 140)
    assert d.ci is not None and d.se is not None and d.clusters == 8
    assert (d.ci[1] - d.ci[0]) / 2 / d.se == pytest.approx(4.3027, abs=1e-3)  # t of 2 degrees
