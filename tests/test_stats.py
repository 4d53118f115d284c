"""Statistics: pooling is never averaging, intervals against published values, bounds, rounding."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.pools import MEAN, VOTES, pooled
from evalkit.stats import estimate, json_number, percentile_interval, round_half_up, wilson

if TYPE_CHECKING:
    pass

WER = pooled("errors", "length")
units = st.floats(0, 1).map(lambda x: round(x, 3))
segments = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=1, max_size=12)


# --- pooling -------------------------------------------------------------------------------------


def test_a_rate_is_pooled_not_averaged() -> None:
    assert estimate([[1, 1], [0, 99]], WER).value == 0.01


@settings(deadline=None)  # the first one imports
@given(segments, st.randoms())
def test_pooling_does_not_see_where_segments_are_cut(rows: list[tuple[int, int]], random: Any) -> None:
    whole = estimate(rows, WER).value
    merged = [tuple(map(sum, zip(*rows, strict=True)))]
    turned = random.sample(rows, len(rows))
    assert whole == estimate(merged, WER).value == estimate(turned, WER).value
    assert whole == sum(e for e, _ in rows) / sum(n for _, n in rows)


def test_votes_are_pooled_over_samples() -> None:
    # Two votes of 5 and one of 2: the mean vote is 4, the mean of the samples' means 3.5.
    assert estimate([[10, 2], [2, 1]], VOTES).value == 4.0


def test_a_row_takes_its_statistics_from_the_score() -> None:
    assert MEAN.row(0.5, None) == [0.5, 1.0]
    assert WER.row(0.5, {"errors": 2, "length": 4, "hits": 9}) == [2.0, 4.0]
    for counts in (None, {"errors": 2}):
        with pytest.raises(KeyError):
            WER.row(0.5, counts)


def test_nothing_scored_is_no_number() -> None:
    nothing = estimate([], MEAN)
    assert (nothing.value, nothing.ci, nothing.ci_method, nothing.bounds) == (None, None, "none", None)
    assert estimate([], MEAN, missing=3, lo=1, hi=5).bounds == (1.0, 5.0)
    empty_references = estimate([[0, 0], [3, 0]], WER)
    assert (empty_references.value, empty_references.ci) == (None, None)


# --- intervals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_published(successes: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998 (Statistics in Medicine 17, 857-872), Table I, method 3."""
    assert tuple(round(x, 4) for x in wilson(successes, n)) == (low, high)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_proportion_and_is_even_handed(case: tuple[int, int]) -> None:
    successes, n = case
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low))


WER_ROWS = np.array([(0, 10)] * 60 + [(3, 7)] * 25 + [(11, 12)] * 10 + [(40, 4)] * 5, dtype=float)


def test_the_interval_of_each_kind() -> None:
    coins = [[1, 1]] * 81 + [[0, 1]] * 182
    found = estimate(coins, MEAN)
    assert (found.ci_method, found.ci) == ("wilson", wilson(81, 263))
    halves = estimate([[0.5, 1], *coins], MEAN)
    assert halves.ci_method == "bootstrap-t(2000)"
    assert halves.ci == pytest.approx((0.2553, 0.3662), abs=0.015)
    pooled_coins = estimate(coins, WER)
    assert pooled_coins.ci_method == "bootstrap-t(2000)"
    assert estimate([[1, 1]], MEAN).ci is None


def test_the_same_rows_give_the_same_interval() -> None:
    assert estimate(WER_ROWS, WER, seed=3) == estimate(WER_ROWS[::-1], WER, seed=3)
    assert estimate(WER_ROWS, WER, seed=3).ci != estimate(WER_ROWS, WER, seed=4).ci


def test_draws_that_are_no_number_are_left_out() -> None:
    assert percentile_interval(np.array([np.nan, 1.0, np.inf, 1.0])) == (1.0, 1.0)
    assert percentile_interval(np.array([np.nan])) is None


# --- bounds --------------------------------------------------------------------------------------


@given(st.lists(units, max_size=8), st.lists(units, max_size=4))
def test_bounds_hold_whatever_the_missing_turn_out_to_be(scored: list[float], rest: list[float]) -> None:
    found = estimate([[x, 1] for x in scored], MEAN, missing=len(rest)).bounds
    if not scored and not rest:
        assert found is None
        return
    assert found is not None
    truth = sum(scored + rest) / len(scored + rest)
    assert found[0] - 1e-9 <= truth <= found[1] + 1e-9
    worst = estimate([[x, 1] for x in scored] + [[0, 1]] * len(rest), MEAN).value
    best = estimate([[x, 1] for x in scored] + [[1, 1]] * len(rest), MEAN).value
    assert found == pytest.approx((worst, best))


def test_bounds_of_votes_use_the_range_of_a_vote() -> None:
    found = estimate([[12, 3], [6, 3]], VOTES, missing=2, lo=1, hi=5)
    assert found.bounds == pytest.approx(((18 + 6) / 12, (18 + 30) / 12))


def test_an_open_range_has_no_bounds() -> None:
    assert estimate([[1, 2]], WER, missing=1).bounds is None


def test_with_nothing_missing_the_bounds_are_the_number() -> None:
    assert estimate([[1, 1], [0, 1]], MEAN).bounds == (0.5, 0.5)


# --- numbers on paper ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        *((42.785, 42.79), (46.885, 46.89), (62.135, 62.14), (59.5575, 59.56), (72.66, 72.66)),
        *((33.1675, 33.17), (29.8625, 29.86), (47.575, 47.58), (34.49, 34.49), (54.8925, 54.89)),
        *((49.275, 49.28), (49.0325, 49.03), (43.435, 43.44)),
        *((0.125, 0.13), (2.675, 2.68), (-0.125, -0.13), (1.004999, 1.0), (0.0, 0.0)),
    ],
)
def test_half_is_rounded_up(value: float, printed: float) -> None:
    """UltraEval-Audio sheet section 4.4, and halves that binary fractions get wrong."""
    assert round_half_up(value, 2) == printed


def test_half_up_after_a_sum_of_floats() -> None:
    cells = (44.20, 57.33, 35.71, 33.90)  # sums to 171.14000000000001
    assert round_half_up(sum(cells) / 4, 2) == 42.79


@pytest.mark.parametrize("value", [1e28, -1e300, math.inf])
def test_what_has_no_decimals_is_not_rounded(value: float) -> None:
    assert round_half_up(value, 2) == value


@given(st.integers(-(10**7), 10**7), st.integers(0, 3))
def test_rounding_agrees_with_decimal_arithmetic(thousandths: int, decimals: int) -> None:
    exact = Decimal(thousandths) / 1000
    want = exact.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
    assert round_half_up(thousandths / 1000, decimals) == float(want)


def test_numbers_for_json() -> None:
    assert json_number(1 / 3) == 0.3333333333
    assert json_number(0.1 + 0.2) == 0.3
    assert [json_number(x) for x in (None, math.nan, math.inf, -math.inf)] == [None] * 4
