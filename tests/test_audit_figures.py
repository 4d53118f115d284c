"""Figures of agreement: values from the literature or by hand, what holds of every rater, degenerate input."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.audit import people, repeats
from evalkit.audit.agreement import Agreement, Rater
from evalkit.audit.coefficients import QUICK, alpha, interval_alpha, kappa, libraries
from evalkit.audit.figures import (
    Figure,
    Scale,
    interval,
    joint_scale,
    of_pair,
    proportion,
    scale_of,
    sign_test,
)
from evalkit.errors import UsageError
from evalkit.records import Score

np = pytest.importorskip("numpy")
for name in ("scipy.stats", "statsmodels", "krippendorff"):
    pytest.importorskip(name, reason='needs pip install "evalkit[stats]"')

FEW = 30
"""Resamples, where the interval is not what is tested."""
NAN = math.nan


def array(*values: float) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)


def by_name(figures: Sequence[Figure]) -> dict[str, Figure]:
    return {f.name: f for f in figures}


def from_table(table: Sequence[Sequence[int]], steps: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Two raters with this table of counts."""
    pairs = [
        (a, b)
        for a, row in zip(steps, table, strict=True)
        for b, n in zip(steps, row, strict=True)
        for _ in range(n)
    ]
    return array(*(a for a, _ in pairs)), array(*(b for _, b in pairs))


def test_cohens_kappa() -> None:
    """Two reviewers of 50 proposals: 20 yes-yes, 5 and 10 apart, 15 no-no: (0.7 - 0.5) / (1 - 0.5)."""
    one, two = from_table([[15, 10], [5, 20]], (0, 1))
    assert kappa(one, two, (0, 1)) == pytest.approx(0.4)
    found = by_name(of_pair(one, two, scale_of([0, 1], 0, 1), draws=200))
    assert found["accuracy"].value == 0.7 and found["accuracy"].ci == pytest.approx(proportion(35, 50))
    low, high = found["kappa"].ci or (NAN, NAN)
    assert low < 0.4 < high and low > 0.1 and high < 0.7
    assert found["pearson"].value == pytest.approx(found["spearman"].value)
    assert "within_one" not in found and "kappa_quadratic" not in found


def test_quadratic_kappa_by_definition() -> None:
    table = [[5, 2, 1], [1, 4, 3], [0, 2, 7]]
    one, two = from_table(table, (1, 2, 3))
    n = 25
    rows, cols = [sum(r) for r in table], [sum(c) for c in zip(*table, strict=True)]
    seen = sum((i - j) ** 2 * table[i][j] for i in range(3) for j in range(3)) / n
    chance = sum((i - j) ** 2 * rows[i] * cols[j] for i in range(3) for j in range(3)) / n**2
    assert kappa(one, two, (1, 2, 3), "quadratic") == pytest.approx(1 - seen / chance)
    # Steps that nobody used change nothing.
    assert kappa(one, two, (0, 1, 2, 3, 4, 5), "quadratic") == pytest.approx(1 - seen / chance)


def test_krippendorffs_own_example() -> None:
    """Four observers, twelve units, missing values: Krippendorff, Computing Alpha-Reliability (2011)."""
    data = np.asarray(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
            [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
        ]
    )
    assert alpha(data, "nominal") == pytest.approx(0.743, abs=5e-4)
    assert alpha(data, "ordinal") == pytest.approx(0.815, abs=5e-4)
    assert alpha(data, "interval") == pytest.approx(0.849, abs=5e-4)


def test_mcnemar_and_sign_test_by_hand() -> None:
    one, two = array(*[1] * 1 + [0] * 9 + [1] * 10), array(*[0] * 1 + [1] * 9 + [1] * 10)
    found = sign_test(one, two, scale_of([0, 1]))
    assert found.value == pytest.approx(2 * (1 + 10) / 2**10)
    assert "McNemar" in found.note and "first higher in 1, second in 9" in found.note and found.n == 10
    ratings = sign_test(one + 1, two + 2, Scale("rating", (1, 2, 3)))
    assert "sign test" in ratings.note
    assert sign_test(one, one, scale_of([0, 1])).value is None


def test_wilson() -> None:
    assert proportion(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)


def test_scales() -> None:
    assert scale_of([0, 1, 1], 0, 1).kind == "yes-no" and scale_of([0, 1], 0, 1).level == "nominal"
    assert scale_of([2, 4], 1, 5) == Scale("rating", (1, 2, 3, 4, 5))
    votes = scale_of([2, 4.333], 1, 5)
    assert votes.kind == "rating" and votes.rounded and votes.level == "interval"
    assert scale_of([0.1, 0.3], 0, 1).kind == "number"
    assert scale_of([12.5, 99], 0, 100).kind == "number" and scale_of([3, 61], 0, 100).kind == "number"
    assert scale_of([], None, None).kind == "yes-no"
    assert joint_scale([0, 1], [1, 5, 3], 0, 1).kind == "mixed"
    assert joint_scale([1, 2], [1, 1], 1, 5).kind == "rating", "all gave the lowest"
    assert joint_scale([1, 2], [0, 1], 1, 5).kind == "mixed", "no and yes beside ratings"
    assert joint_scale([1, 5], [2, 10, 8, 4], 1, 5).kind == "mixed", "twice as many steps"
    assert joint_scale([1, 5], [2, 5, 4, 4] * 10 + [0], 1, 5).kind == "rating", "one stray label"
    assert joint_scale([1, 5], [20, 100]).kind == "mixed" and joint_scale([1, 5], [2, 3]).kind == "rating"


@pytest.mark.parametrize(
    ("one", "two", "why"),
    [
        ([], [], "no sample"),
        ([3.0], [4.0], "two are needed"),
        ([3.0, 3.0], [3.0, 3.0], "3 to every sample"),
        ([3.0, 3.0], [1.0, 2.0], "the judge gave 3 to every sample"),
        ([1.0, 2.0], [4.0, 4.0], "people gave 4 to every sample"),
    ],
)
def test_degenerate_input_is_undefined_with_a_reason(one: list[float], two: list[float], why: str) -> None:
    found = by_name(
        of_pair(array(*one), array(*two), scale_of([*one, *two], 1, 5), ("the judge", "people"), FEW)
    )
    assert found["spearman"].value is None and why in found["spearman"].note
    for figure in found.values():
        assert figure.value is None or math.isfinite(figure.value), figure
        assert figure.value is not None or figure.note.startswith("undefined: "), figure
        assert all(map(math.isfinite, figure.ci or ())), figure


def test_scales_that_differ_have_correlations_only() -> None:
    one, two = array(0, 1, 1, 0), array(1, 5, 4, 2)
    found = by_name(of_pair(one, two, joint_scale([0, 1], [1, 5, 4, 2], 0, 1), draws=FEW))
    assert found["spearman"].value is not None and found["spearman"].value > 0.8
    for name in ("accuracy", "kappa", "alpha", "mean_difference"):
        assert found[name].value is None and "--map" in found[name].note


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=25))
def test_resamples_are_of_the_same_number(pairs: list[tuple[int, int]]) -> None:
    one, two = array(*(a for a, _ in pairs)), array(*(b for _, b in pairs))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for slow, quick in QUICK.items():
            assert quick(one, two) == pytest.approx(slow(one, two), abs=1e-12, nan_ok=True)


ratings = st.lists(st.integers(1, 5).map(float), min_size=2, max_size=25)


@settings(max_examples=40, deadline=None)
@given(ratings)
def test_a_rater_agrees_with_itself(values: list[float]) -> None:
    one = array(*values)
    found = by_name(of_pair(one, one.copy(), scale_of(values, 1, 5), draws=2))
    assert found["accuracy"].value == 1 and found["mean_difference"].value == 0
    for name in ("kappa", "kappa_quadratic", "alpha", "spearman", "pearson"):
        value = found[name].value
        assert value is None if len(set(values)) == 1 else value == pytest.approx(1)


def test_within_one_counts_the_next_step_and_not_the_one_after() -> None:
    one, two = array(1, 2, 5, 3), array(2, 2, 1, 1)
    assert by_name(of_pair(one, two, scale_of([1, 5], 1, 5), draws=2))["within_one"].value == 0.5


def test_an_interval_needs_half_of_the_draws() -> None:
    """Of two samples drawn twice, a quarter is (0, 1); three quarters begin or end with 0."""
    with libraries():
        assert interval(2, lambda rows: 1.0 if list(rows) == [0, 1] else math.nan) is None
        assert interval(2, lambda rows: float(rows.sum()) if 0 in rows else math.nan) == (0.0, 1.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=25), st.randoms())
def test_symmetric_and_blind_to_order(pairs: list[tuple[int, int]], random: object) -> None:
    scale = scale_of([1, 5], 1, 5)
    one, two = array(*(a for a, _ in pairs)), array(*(b for _, b in pairs))
    found = by_name(of_pair(one, two, scale, draws=2))
    back = by_name(of_pair(two, one, scale, draws=2))
    mixed = list(pairs)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    other = by_name(of_pair(array(*(a for a, _ in mixed)), array(*(b for _, b in mixed)), scale, draws=2))
    for name in ("accuracy", "within_one", "kappa", "kappa_quadratic", "alpha", "spearman", "pearson"):
        for same in (back, other):
            if found[name].value is None:
                assert same[name].value is None
            else:
                assert same[name].value == pytest.approx(found[name].value, abs=1e-9), name


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=2, max_size=25))
def test_nominal_figures_are_blind_to_names(pairs: list[tuple[float, float]]) -> None:
    scale = scale_of([0, 1], 0, 1)
    one, two = array(*(a for a, _ in pairs)), array(*(b for _, b in pairs))
    found, renamed = (by_name(of_pair(x, y, scale, draws=2)) for x, y in ((one, two), (1 - one, 1 - two)))
    for name in ("accuracy", "kappa", "alpha"):
        assert (found[name].value is None) == (renamed[name].value is None)
        if found[name].value is not None:
            assert renamed[name].value == pytest.approx(found[name].value, abs=1e-9)


def test_intervals_are_the_same_every_time() -> None:
    one, two = array(1, 2, 3, 4, 5, 2, 3), array(1, 3, 3, 5, 4, 2, 2)
    scale = scale_of([1, 5], 1, 5)
    assert of_pair(one, two, scale, draws=100) == of_pair(one, two, scale, draws=100)


# --- people ----------------------------------------------------------------------------------------


def test_people_among_themselves_are_the_yardstick() -> None:
    ann = Rater("ann", {"a": 1.0, "b": 2.0, "c": 3.0, "d": 5.0})
    bob = Rater("bob", {"a": 2.0, "b": 1.0, "c": 4.0, "e": 1.0})
    judge = Rater("judge", {"a": 1.0, "b": 3.0, "c": 4.0, "d": 4.0})
    found = people.compare([ann, bob], judge, 1, 5, draws=FEW)
    figures = by_name([f for f in found.figures if f.subset == "all"])
    # The same figures as VStyle's, where none is undefined.
    assert figures["judge-people.spearman"].value == pytest.approx(found.rho.average)
    assert figures["judge-each.spearman"].value == pytest.approx(found.rho.individual)
    assert figures["people-people.spearman"].value == pytest.approx(found.rho.human)
    assert figures["judge-people.accuracy"].note == "ratings rounded to whole steps"
    assert {f.pair for f in found.figures} == {"judge-people", "judge-each", "people-people", "all"}


def test_majority_of_yes_no_labels_and_ties() -> None:
    three = [Rater(n, {"a": x, "b": y}) for n, x, y in (("p", 1.0, 0.0), ("q", 1.0, 1.0), ("r", 0.0, 0.0))]
    found = people.compare(three, Rater("judge", {"a": 1.0, "b": 0.0}), 0, 1, draws=FEW)
    assert found.consensus == {"a": 1.0, "b": 0.0} and found.ties == 0
    two = people.compare(three[:2], Rater("judge", {"a": 1.0, "b": 0.0}), 0, 1, draws=FEW)
    assert two.consensus == {"a": 1.0} and two.ties == 1


@pytest.mark.parametrize(
    ("average", "human", "verdict"),
    [
        (0.7, 0.8, True),
        (0.6999, 0.8, False),
        (0.9, 0.5, True),
        (0.69999, 0.8, True),
        (NAN, 0.8, None),
        (0.7, NAN, None),
        (0.2, -0.1, None),
    ],
)
def test_the_verdict_of_the_sheet(average: float, human: float, verdict: bool | None) -> None:
    """Internal-set sheet section 7: not below by more than 0.1."""
    found, sentence = people.judged(Agreement(average, 0.5, human, 60, 3, 3))
    assert found is verdict, sentence


# --- repeats ---------------------------------------------------------------------------------------


def test_repeats_by_hand() -> None:
    turns = [{"a": 1.0, "b": 3.0, "c": 5.0}, {"a": 1.0, "b": 4.0, "c": 5.0}, {"a": 1.0, "b": 5.0}]
    found = by_name(repeats.figures(turns, scale_of([1, 5], 1, 5), [50.0, 60.0, 55.0], FEW))
    assert found["identical"].value == pytest.approx(2 / 3) and found["identical"].n == 3
    assert found["within_sample_sd"].value == pytest.approx((0 + 1 + 0) / 3)
    assert found["headline_sd"].value == pytest.approx(5.0) and found["headline_range"].value == 10.0
    assert found["headline_mean"].value == 55.0


def test_repeats_that_never_vary() -> None:
    turns = [{"a": 3.0, "b": 3.0}] * 3
    found = by_name(repeats.figures(turns, scale_of([3], 1, 5), None, FEW))
    assert found["identical"].value == 1 and found["within_sample_sd"].value == 0
    assert found["alpha"].value is None and found["retest_spearman"].value is None
    assert [f.value for f in repeats.figures([{}, {}], scale_of([], 1, 5))] == [None]


def test_votes_on_record() -> None:
    def score(*votes: object) -> Score:
        return Score("x", "m", 1.0, detail={"votes": list(votes)})

    found = repeats.votes_of({"a": score("Yes", "no", "yes."), "b": score(1, 0, "maybe"), "c": score(4)})
    assert found == [{"a": 1.0, "b": 1.0}, {"a": 0.0, "b": 0.0}, {"a": 1.0}]
    assert repeats.votes_of({"c": score(4)}) == []


def test_without_a_library_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsmodels.stats.inter_rater", None)
    with pytest.raises(UsageError, match=r"evalkit\[stats\]"):
        of_pair(array(1, 2), array(2, 1), scale_of([1, 2], 1, 5), draws=2)


def test_alpha_alone_may_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its library is under the GPL: who can't have it has all the rest."""
    monkeypatch.setitem(sys.modules, "krippendorff", None)
    found = by_name(of_pair(array(1, 2, 3), array(2, 1, 3), scale_of([1, 3], 1, 5), draws=2))
    assert found["alpha"].value is None and "krippendorff is not installed" in found["alpha"].note
    assert found["kappa"].value is not None and found["spearman"].value is not None
    turns = [{"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 3.0}]
    assert by_name(repeats.figures(turns, scale_of([1, 3], 1, 5), None, 2))["alpha"].value is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=25))
def test_kappa_as_scikit_learn_has_it(pairs: list[tuple[int, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    one, two = array(*(a for a, _ in pairs)), array(*(b for _, b in pairs))
    for weights in (None, "quadratic"):
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = metrics.cohen_kappa_score(one, two, labels=[1, 2, 3, 4], weights=weights)
            assert kappa(one, two, (1, 2, 3, 4), weights) == pytest.approx(theirs, nan_ok=True)


def test_alpha_of_many_numbers_is_the_librarys() -> None:
    import numpy as np

    draw = np.random.default_rng(2)
    raters = draw.normal(size=200) + draw.normal(size=(4, 200))
    raters[draw.random(raters.shape) < 0.4] = np.nan
    assert interval_alpha(raters) == pytest.approx(alpha(raters, "interval"), abs=1e-12)
    many = draw.normal(size=20_000) + draw.normal(size=(2, 20_000))
    assert alpha(many, "interval") == pytest.approx(0.5, abs=0.02), "without a table of 40,000 values squared"
