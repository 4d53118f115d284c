"""The geometry of a gate's verdicts, and what becomes of many of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.gate.checks import difference_check, needed_of
from evalkit.gate.holm import corrected
from evalkit.gate.model import Row, first_ids
from evalkit.gate.policy import Policy
from evalkit.gate.terms import Terms
from evalkit.gate.verdicts import CODES, ORDER, place, worst
from evalkit.inference import Difference

POINTS = st.floats(-50, 50).map(lambda x: round(x, 3))
WIDTHS = st.floats(0, 30).map(lambda x: round(x, 3))
MARGINS = st.floats(0, 10).map(lambda x: round(x, 3))


def found(delta: float, half: float = 1.0, **more: object) -> Difference:
    held: dict[str, object] = {
        "a": 50.0, "b": 50.0 + delta, "delta": delta, "ci": (delta - half, delta + half), "ci_method": "x",
        "p": 0.2, "test": "permutation(10000)", "n": 400, "clusters": 400, "wins": 10, "losses": 12, "ties": 378,
        "se": half / 1.959964,
    }  # fmt: skip
    return Difference(**(held | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-4.0, -1.5, "regression"),
        (-4.0, -1.0, "inconclusive"),  # the upper end is on the line, not beyond it
        (-4.0, -0.9, "inconclusive"),
        (-1.0, 0.5, "inconclusive"),
        (-0.9, -0.1, "pass"),
        (-0.9, 0.5, "pass"),
        (0.1, 3.0, "pass"),
    ],
)
def test_an_interval_against_a_margin_of_one(low: float, high: float, verdict: str) -> None:
    assert place((low + high) / 2, (low, high), "non-inferiority", 1.0).verdict == verdict


def test_a_significant_drop_within_the_margin_passes_and_says_so() -> None:
    at = place(-0.5, (-0.9, -0.1), "non-inferiority", 1.0)
    assert at.verdict == "pass" and "within the margin" in at.note
    assert place(0.0, (-0.5, 0.5), "non-inferiority", 1.0).note == ""


def test_two_runs_alike_pass_with_a_margin_of_nothing() -> None:
    assert place(0.0, (0.0, 0.0), "non-inferiority", 0.0).verdict == "pass"
    assert place(0.0, (-0.1, 0.1), "non-inferiority", 0.0).verdict == "inconclusive"


def test_other_rules() -> None:
    assert place(-0.5, (-0.9, -0.1), "no-significant-drop", 1.0).verdict == "regression"
    assert place(-3.0, (-9.0, 3.0), "no-significant-drop", 1.0).verdict == "pass"
    assert place(2.0, (1.1, 3.0), "superiority", 1.0).verdict == "pass"
    assert place(2.0, (0.9, 3.0), "superiority", 1.0).verdict == "inconclusive"
    assert place(0.0, (-0.5, 0.5), "superiority", 1.0).verdict == "regression"
    assert place(-1.0, None, "point", 1.0).verdict == "pass"
    assert place(-1.01, (-9, 9), "point", 1.0).verdict == "regression"


@pytest.mark.parametrize("rule", ["non-inferiority", "no-significant-drop", "superiority"])
@pytest.mark.parametrize("interval", [None, (-math.inf, 1.0), (math.nan, 1.0)])
def test_without_an_interval_nothing_can_be_told(rule: str, interval: tuple[float, float] | None) -> None:
    assert place(5.0, interval, rule, 1.0).verdict == "inconclusive"  # type: ignore[arg-type]
    assert place(math.nan, (0.0, 1.0), rule, 1.0).verdict == "inconclusive"  # type: ignore[arg-type]


@given(POINTS, WIDTHS, MARGINS)
def test_runs_swapped(gain: float, half: float, margin: float) -> None:
    """A regression one way is a pass the other way; never a regression both ways."""
    there = place(gain, (gain - half, gain + half), "non-inferiority", margin).verdict
    back = place(-gain, (-gain - half, -gain + half), "non-inferiority", margin).verdict
    if there == "regression":
        assert back == "pass"
    assert (there, back) != ("regression", "regression")


@given(POINTS, WIDTHS, MARGINS, MARGINS)
def test_a_wider_margin_is_never_stricter(gain: float, half: float, one: float, two: float) -> None:
    order = {"regression": 0, "inconclusive": 1, "pass": 2}
    narrow, wide = sorted((one, two))
    ends = (gain - half, gain + half)
    for rule in ("non-inferiority", "point"):
        at = [order[place(gain, ends, rule, m).verdict] for m in (narrow, wide)]  # type: ignore[arg-type]
        assert at[0] <= at[1]
    at = [order[place(gain, ends, "superiority", m).verdict] for m in (narrow, wide)]
    assert at[0] >= at[1]


@given(POINTS, WIDTHS, WIDTHS, MARGINS)
def test_a_narrower_interval_only_decides(gain: float, one: float, two: float, margin: float) -> None:
    """What a wide interval decides, a narrower one inside it decides alike."""
    narrow, wide = sorted((one, two))
    sure = place(gain, (gain - wide, gain + wide), "non-inferiority", margin).verdict
    surer = place(gain, (gain - narrow, gain + narrow), "non-inferiority", margin).verdict
    assert sure in ("inconclusive", surer)


def test_the_gravest_counts() -> None:
    assert worst(["pass", "inconclusive", "not comparable", "regression"]) == "regression"
    assert worst(["pass", "inconclusive", "not comparable"]) == "not comparable"
    assert worst(["skipped", "pass", "inconclusive"]) == "inconclusive"
    assert worst([]) == worst(["skipped"]) == "skipped"
    assert [CODES[v] for v in reversed(ORDER)] == [1, 5, 4, 0, 0]


def test_lower_is_better() -> None:
    """A word error rate that rises by more than the margin is a regression."""
    terms = Terms(margin=0.5)
    worse = found(2.0, 0.6, higher_is_better=False)
    assert difference_check(worse, terms, False).verdict == "regression"
    assert difference_check(found(-2.0, 0.6, higher_is_better=False), terms, False).verdict == "pass"


def test_how_many_samples_it_would_take() -> None:
    """Four times as many for half the margin; none where no number would do."""
    found_ = found(-0.5, 2.0)
    one, half = (needed_of(found_, Terms(margin=m), 0.8) for m in (2.0, 1.0))
    assert one is not None and half is not None
    assert half / one == pytest.approx(4, rel=0.02)
    # 1.96 + 0.84 standard errors have to fit into the margin, and one is half of 2 points over 1.96 at 400.
    assert one == pytest.approx(400 * ((1.96 + 0.8416) / 1.96) ** 2, rel=0.02)
    assert needed_of(found_, Terms(margin=0.0), 0.8) is None
    assert needed_of(found(0.0, ci=None), Terms(), 0.8) is None


# --- many at once -----------------------------------------------------------------------------------


def row(name: str, difference: Difference, verdict_of: Terms | None = None) -> Row:
    terms = verdict_of or Terms()
    check = difference_check(difference, terms, False)
    return Row(name, "overall", name, "m", "M", "%", 2, True, terms, (check,), difference=difference)


def test_holm_withdraws_what_chance_explains() -> None:
    """One of twenty at its own 2.5 % is what chance gives; ten standard errors are not."""
    near, far = found(-2.1, 1.0), found(-12.0, 1.0)
    quiet = [row(f"t{k}", found(0.0, 0.5)) for k in range(18)]
    rows = [row("near", near), row("far", far), *quiet]
    assert [r.verdict for r in rows[:2]] == ["regression", "regression"]
    after = corrected(rows, Policy(correction="holm"), lambda *_: near)
    assert [r.verdict for r in after[:2]] == ["inconclusive", "regression"]
    assert "Holm" in after[0].reasons[0] and all(r.verdict == "pass" for r in after[2:])
    assert corrected(rows, Policy(), lambda *_: near) == rows


def test_holm_never_makes_a_pass_nor_a_regression() -> None:
    rows = [row(f"t{k}", found(d, 1.0)) for k, d in enumerate((-9, -2.1, -1.5, 0, 3))]
    after = corrected(rows, Policy(correction="holm"), lambda *_: found(0.0))
    for old, new in zip(rows, after, strict=True):
        assert new.verdict == old.verdict or (old.verdict, new.verdict) == ("regression", "inconclusive")


def test_holm_leaves_to_the_policy_what_it_withdraws() -> None:
    quiet = [row(f"t{k}", found(0.0, 0.5)) for k in range(19)]
    rows = [row("near", found(-2.1, 1.0), Terms(on_inconclusive="pass")), *quiet]
    assert corrected(rows, Policy(correction="holm"), lambda *_: found(0.0))[0].verdict == "pass"


def test_a_list_of_ids_is_short() -> None:
    assert first_ids([f"q{k}" for k in range(7)]) == "q0, q1, q2, q3, q4 and 2 more"
    assert len(first_ids(["x" * 100_000] * 7)) < 600
