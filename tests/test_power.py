"""Power and sample size: against simulation of the tests themselves, against statsmodels, and in order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.inference import Difference, PairedRows, compare
from evalkit.inference.intervals import tango
from evalkit.inference.mcnemar import mcnemar_exact
from evalkit.inference.noise import clustered, influence, of_pair, of_run
from evalkit.inference.power import (
    EXACT_UP_TO,
    RULES,
    Noise,
    Rule,
    design_effect,
    detectable,
    of_accuracy,
    of_difference,
    of_discordance,
    of_sd,
    of_unpaired,
    power,
    samples_needed,
    with_decodings,
)
from evalkit.pools import MEAN, mean_of_means, pooled, stratified
from tests.inference_fixtures import redrawn

WER = pooled("errors", "length")


def simulated(n: int, psi: float, gain: float, rule: Rule, margin: float, draws: int = 4000) -> float:
    """How often the test itself, exact McNemar or Tango's interval, says so on drawn pairs."""
    rng = np.random.default_rng(7)
    drawn = rng.multinomial(n, [(psi + gain) / 2, (psi - gain) / 2, 1 - psi], size=draws)
    splits, counts = np.unique(drawn[:, :2], axis=0, return_counts=True)
    passed = 0
    for (wins, losses), count in zip(splits.tolist(), counts.tolist(), strict=True):
        if rule == "non-inferiority":
            passes = tango(wins, losses, n)[0] > -margin
        else:
            passes = mcnemar_exact(wins, losses) <= 0.05 and (rule == "two-sided" or wins > losses)
        passed += count * passes
    return passed / draws


@pytest.mark.parametrize(
    ("n", "psi", "rule", "points"),
    [
        (60, 0.3, "non-inferiority", 15),
        (553, 0.1, "non-inferiority", 3),
        (200, 0.02, "non-inferiority", 3),
        (5000, 0.2, "non-inferiority", 2),
        (100, 0.2, "two-sided", 10),
        (900, 0.08, "two-sided", 2),
        (3000, 0.1, "two-sided", 1.5),
        (40, 0.4, "superiority", 25),
        (2032, 0.25, "superiority", 3),
    ],
)
def test_power_of_right_and_wrong_answers_is_that_of_the_test(
    n: int, psi: float, rule: Rule, points: float
) -> None:
    gain, margin = (0.0, points / 100) if rule == "non-inferiority" else (points / 100, 0.0)
    told = power(of_discordance(psi), n, points, rule=rule)
    # Four standard errors of the simulation.
    assert told == pytest.approx(simulated(n, psi, gain, rule, margin), abs=4 * math.sqrt(0.25 / 4000))


@pytest.mark.parametrize(("psi", "points"), [(0.1, 1.0), (0.25, 3.0), (0.02, 1.0), (0.3, 12.0)])
def test_so_many_samples_have_the_power_asked_for(psi: float, points: float) -> None:
    n = samples_needed(of_discordance(psi), points)
    assert n is not None
    assert simulated(n, psi, 0.0, "non-inferiority", points / 100, 3000) == pytest.approx(0.8, abs=0.035)


def test_counted_power_is_the_sum_over_all_outcomes() -> None:
    """Every outcome of 12 pairs, by the multinomial's own formula."""
    n, psi, gain = 12, 0.5, 0.3
    up, down = (psi + gain) / 2, (psi - gain) / 2
    total = 0.0
    for wins in range(n + 1):
        for losses in range(n + 1 - wins):
            ties = n - wins - losses
            ways = math.factorial(n) / math.factorial(wins) / math.factorial(losses) / math.factorial(ties)
            if mcnemar_exact(wins, losses) <= 0.05 and wins > losses:
                total += ways * up**wins * down**losses * (1 - psi) ** ties
    assert power(of_discordance(psi), n, 100 * gain, rule="superiority") == pytest.approx(total, rel=1e-9)


def test_ratings_as_statsmodels_has_them() -> None:
    from statsmodels.stats.power import TTestIndPower, TTestPower

    for d in (0.05, 0.1, 0.3, 0.5, 0.8):
        paired = TTestPower().solve_power(effect_size=d, alpha=0.05, power=0.8)
        needed = samples_needed(Noise(1.0), d, rule="two-sided")
        assert needed is not None and 0 <= needed - paired <= 1.01, d
        apart = TTestIndPower().solve_power(effect_size=d, alpha=0.05, power=0.8)
        both = samples_needed(of_unpaired(1.0, 1.0), d, rule="two-sided")
        assert both is not None and 0 <= both - apart <= 2.01, d
        assert power(Noise(1.0), 200, d, rule="two-sided") == pytest.approx(
            TTestPower().power(d, 200, 0.05), abs=0.002
        )


def test_large_two_sided_sets_as_the_textbook_has_them() -> None:
    """(z + z)^2 * psi / margin^2 = 7.849 * 0.2 / 0.01^2 = 15,698 for McNemar; the score variance adds a trifle."""
    needed = samples_needed(of_discordance(0.2), 1.0)
    assert needed is not None and 15_698 <= needed <= 15_698 * 1.005
    assert samples_needed(Noise(0.2 * 100**2), 1.0) == pytest.approx(15_698, abs=4)


# --- order -----------------------------------------------------------------------------------------

NOISES = st.one_of(
    st.floats(0.001, 1.0).map(of_discordance),
    st.builds(of_discordance, st.floats(0.01, 0.6), design_effect=st.floats(1.0, 5.0)),
    st.floats(0.01, 50.0).map(lambda sd: Noise(sd**2)),
)
WISHES = st.floats(0.5, 0.98)
GAPS = st.floats(0.4, 40.0)


@settings(max_examples=60, deadline=None)
@given(NOISES, GAPS, WISHES, WISHES, st.sampled_from(RULES))
def test_more_power_needs_more_samples(noise: Noise, gap: float, one: float, two: float, rule: Rule) -> None:
    low, high = sorted((one, two))
    fewer, more = (samples_needed(noise, gap, power=p, rule=rule) for p in (low, high))
    assert fewer is not None and more is not None and fewer <= more


@settings(max_examples=60, deadline=None)
@given(NOISES, GAPS, GAPS, st.sampled_from(RULES))
def test_a_larger_margin_needs_fewer_samples(noise: Noise, one: float, two: float, rule: Rule) -> None:
    small, large = sorted((one, two))
    more, fewer = (samples_needed(noise, gap, rule=rule) for gap in (small, large))
    assert fewer is not None and more is not None
    # A true difference brings disagreements of its own: then both sides grow.
    if rule == "non-inferiority" or noise.discordance is None or large / 100 <= noise.discordance:
        assert fewer <= more


@settings(max_examples=60, deadline=None)
@given(NOISES, st.integers(2, 20_000), st.integers(2, 20_000))
def test_more_samples_detect_less(noise: Noise, one: int, two: int) -> None:
    few, many = sorted((one, two))
    wide, narrow = detectable(noise, few), detectable(noise, many)
    if wide is None or narrow is None:
        assert wide is None
    else:
        # Where power is counted out, it moves in small steps.
        assert narrow <= wide * (1.02 if few <= EXACT_UP_TO else 1.0001) + 0.01


@settings(max_examples=40, deadline=None)
@given(NOISES, st.integers(30, 20_000), st.sampled_from(RULES))
def test_what_can_be_detected_needs_no_more_samples(noise: Noise, n: int, rule: Rule) -> None:
    found = detectable(noise, n, rule=rule)
    if found is not None:
        assert power(noise, n, found, rule=rule) >= 0.8
        assert power(noise, n, found * 0.95, rule=rule) < 0.8


# --- where noise comes from ------------------------------------------------------------------------


def test_assumed_discordance_is_that_of_correlated_answers() -> None:
    """Two latent traits cut so that both runs are right on 80 %, at a correlation that is then measured."""
    rng = np.random.default_rng(3)
    shared, n = rng.standard_normal(400_000), 400_000
    a, b = ((0.8 * shared + 0.6 * rng.standard_normal(n)) < 0.8416 for _ in "ab")
    r = float(np.corrcoef(a, b)[0, 1])
    found = of_accuracy(0.8, r).discordance
    assert found == pytest.approx(float((a != b).mean()), abs=0.004)


def test_a_correlation_can_only_be_so_negative() -> None:
    assert of_accuracy(0.9, -1.0).discordance == pytest.approx(0.2)
    assert of_accuracy(0.5, -1.0).discordance == 1.0


def test_influence_values_carry_the_variance_of_a_wer() -> None:
    """Against the bootstrap of the pooled ratio, and against the formula by hand."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 40, 900).astype(float)
    rows = np.column_stack([rng.binomial(lengths.astype(int), 0.07), lengths])
    values = influence(rows, WER, 100.0)
    rate = rows[:, 0].sum() / lengths.sum()
    assert values == pytest.approx(100 * (rows[:, 0] - rate * lengths) / lengths.mean(), abs=1e-5)
    boot = 100 * float(redrawn(rows, WER, seed=1).std())
    assert values.std() / 30 == pytest.approx(boot, rel=0.06)


@pytest.mark.parametrize("pool", [MEAN, mean_of_means(2), stratified({"x": 0.7, "y": 0.3})])
def test_influence_values_carry_the_variance_of_other_pools(pool: object) -> None:
    rng = np.random.default_rng(4)
    n = 800
    values = rng.normal(3, 1, n)
    if pool is MEAN:
        rows = np.column_stack([values, np.ones(n)])
    elif len(pool.columns) == 4 and pool.name == "mean-of-means":  # type: ignore[attr-defined]
        rows = np.column_stack([values, np.ones(n), rng.normal(2, 2, n), np.ones(n)])
    else:
        first = rng.random(n) < 0.4
        rows = np.column_stack([values * first, first, values * ~first, ~first]).astype(float)
    boot = float(redrawn(rows, pool, seed=2).std())  # type: ignore[arg-type]
    assert influence(rows, pool).std() / math.sqrt(n) == pytest.approx(boot, rel=0.06)  # type: ignore[arg-type]


def test_clusters_of_equal_size_have_the_textbook_design_effect() -> None:
    """The design effect is the variance of the mean over that of as many independent values."""
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(3000), 5)
    values = rng.standard_normal(3000)[codes] * math.sqrt(0.3) + rng.standard_normal(15_000) * math.sqrt(0.7)
    found = clustered(values, codes)
    assert found is not None and (found.count, found.size) == (3000, 5)
    assert found.icc == pytest.approx(0.3, abs=0.02)
    means = np.bincount(codes, values) / 5
    real = means.var(ddof=1) / 3000 / (values.var(ddof=1) / 15_000)
    assert found.effect == pytest.approx(real, rel=0.02)
    assert design_effect(5, -0.2) == 1.0 and clustered(values, np.arange(15_000)) is None


def rows_of(a: object, b: object, **more: object) -> PairedRows:
    """Mean of values in percent."""
    columns = [np.column_stack([np.asarray(x, dtype=float), np.ones(len(x))]) for x in (a, b)]  # type: ignore[arg-type]
    return PairedRows(*columns, MEAN, **{"scale": 100.0, **more})  # type: ignore[arg-type]


def test_a_pair_of_runs_tells_its_discordance() -> None:
    a, b = [1, 1, 1, 0, 0] * 40, [1, 1, 0, 1, 0] * 40
    found = of_pair(rows_of(a, b))
    assert found.noise.discordance == pytest.approx((80 + 0.5) / 201)
    assert found.value == 60.0 and found.correlation == pytest.approx(float(np.corrcoef(a, b)[0, 1]))
    unpaired = float(np.var(a, ddof=1) + np.var(b, ddof=1)) * 100**2
    assert found.unpaired.variance == pytest.approx(unpaired)


def test_two_runs_alike_are_not_without_noise() -> None:
    found = of_pair(rows_of([1, 0] * 20, [1, 0] * 20))
    assert found.noise.discordance == pytest.approx(0.5 / 41) and not found.flat
    rated = of_pair(rows_of([3, 5] * 20, [3, 5] * 20, scale=1.0, lo=1.0, hi=5.0))
    assert rated.flat and rated.noise.variance == 0.0


def test_one_run_under_an_assumed_correlation_is_the_pair_it_imagines() -> None:
    rng = np.random.default_rng(8)
    shared, n = rng.standard_normal(20_000), 20_000
    a, b = (4 + 0.6 * shared + 0.8 * rng.standard_normal(n) for _ in "ab")
    pair = of_pair(rows_of(a, b, scale=1.0, lo=1.0, hi=5.0))
    assert pair.correlation == pytest.approx(0.36, abs=0.02)
    one = of_run(np.column_stack([a, np.ones(n)]), MEAN, pair.correlation or 0, lo=1.0, hi=5.0)
    assert one.noise.variance == pytest.approx(pair.noise.variance, rel=0.02)


def test_a_comparison_tells_its_own_noise() -> None:
    rng = np.random.default_rng(9)
    a, b = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    found = compare(rows_of(a, b), seed=0)
    noise = of_difference(found)
    assert noise.discordance == pytest.approx(((a != b).sum() + 0.5) / 401)
    rated = compare(rows_of(a * 2.0 + 1, b * 2.0 + 1, scale=1.0, lo=1.0, hi=5.0), seed=0)
    own = of_pair(rows_of(a * 2.0 + 1, b * 2.0 + 1, scale=1.0, lo=1.0, hi=5.0)).noise
    assert of_difference(rated).sd == pytest.approx(own.sd, rel=0.05)
    nothing = Difference(1, 1, 0, None, "", None, "none", 3, 3, 0, 0, 3)
    with pytest.raises(ValueError, match="no standard error"):
        of_difference(nothing)


def test_the_gate_example() -> None:
    """300 answers, -0.3 [-2.1, +1.5]: about 1,900 for a margin of one point."""
    noise = Noise((1.8 / 1.96) ** 2 * 300)
    assert samples_needed(noise, 1.0) == pytest.approx(1985, rel=0.01)


def test_a_printed_number_keeps_its_own_error() -> None:
    """Against 553 printed samples, no number of ours finds a point; against as many on both sides, one does."""
    variance = 100**2 * 0.66 * 0.34
    assert samples_needed(of_unpaired(variance, variance, n_published=553), 1.0) is None
    both = samples_needed(of_unpaired(variance, variance), 1.0)
    paired = samples_needed(of_accuracy(0.66, 0.5), 1.0)
    assert both is not None and paired is not None and both / paired == pytest.approx(2.0, rel=0.01)
    reach = detectable(of_unpaired(variance, variance, n_published=553), 10**8)
    assert reach == pytest.approx((1.96 + 0.8416) * math.sqrt(variance / 553), rel=0.001)


def test_decodings_divide_their_share_only() -> None:
    assert with_decodings(Noise(100.0), 4, 1.0).variance == 25.0
    assert with_decodings(Noise(100.0), 4, 0.0).variance == 100.0
    assert with_decodings(of_discordance(0.2), 10, 0.5).sd == pytest.approx(
        of_discordance(0.2).sd * math.sqrt(0.55)
    )


def test_a_candidate_that_is_worse_needs_more() -> None:
    equal, worse, better = (samples_needed(of_discordance(0.1), 2.0, true=t) for t in (0.0, -1.0, 1.0))
    assert equal is not None and worse is not None and better is not None and better < equal < worse
    assert samples_needed(of_discordance(0.1), 2.0, true=-2.0) is None


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: power(Noise(1.0), 10, 0.0), "above zero"),
        (lambda: power(Noise(1.0), 0, 1.0), "0 samples"),
        (lambda: power(Noise(1.0), 10, 1.0, alpha=1.0), "alpha"),
        (lambda: power(Noise(1.0), 10, 1.0, rule="best"), "no rule 'best'"),  # type: ignore[arg-type]
        (lambda: samples_needed(Noise(1.0), 1.0, power=1.0), "power lies between"),
        (lambda: detectable(Noise(1.0), 10, power=0.0), "power lies between"),
        (lambda: of_discordance(1.2), "share"),
        (lambda: of_accuracy(0.5, 2.0), "correlation"),
        (lambda: of_sd(-1.0, 0.5), "standard deviation"),
        (lambda: Noise(-1.0), "no variance"),
        (lambda: Noise(math.nan), "no variance"),
        (lambda: influence(np.ones((1, 2)), MEAN), "too few"),
        (lambda: influence(np.zeros((3, 2)), WER), "no number"),
    ],
)
def test_nonsense_is_refused(call: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()  # type: ignore[operator]
