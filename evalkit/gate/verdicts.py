"""When a difference passes, fails or can't be told: the geometry of an interval and a margin. Pure functions.

The gain is the difference signed so that positive is better; everything is on the printed scale:

    non-inferiority, margin m        -m          0
    [----]                            |          |          regression: the interval lies wholly below -m
        [--------]                    |          |          regression as long as its upper end is below -m
                             [--------|---]      |          inconclusive: -m lies inside
                                      | [------] |          pass: wholly above -m (worse than before, but within m)
                                      |    [-----|----]     pass

"no-significant-drop" asks the same of 0 and passes what isn't shown to be worse. "superiority" puts the line at +m
and wants the interval above it. "point" looks at the difference alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evalkit.gate.policy import Rule

if TYPE_CHECKING:
    from evalkit.inference import Difference

Verdict = Literal["pass", "regression", "inconclusive", "not comparable", "skipped"]

ORDER: tuple[Verdict, ...] = ("skipped", "pass", "inconclusive", "not comparable", "regression")
"""From the mildest to the gravest. The gravest of its checks is a number's, the gravest of its numbers the gate's."""

PASS, REGRESSION, USAGE, INTERNAL, INCONCLUSIVE, NOT_COMPARABLE = 0, 1, 2, 3, 4, 5
CODES: dict[Verdict, int] = {
    "regression": REGRESSION,
    "not comparable": NOT_COMPARABLE,
    "inconclusive": INCONCLUSIVE,
    "pass": PASS,
    "skipped": PASS,
}


def worst(verdicts: list[Verdict]) -> Verdict:
    """The gravest; "skipped" of none."""
    return max(verdicts, key=ORDER.index, default="skipped")


@dataclass(frozen=True)
class Place:
    """Where an interval lies, and what has to be said of it beside the verdict."""

    verdict: Verdict
    note: str = ""


def line_of(rule: Rule, margin: float) -> float:
    """The gain that a rule asks about: -margin, 0, or +margin."""
    if rule == "superiority":
        return margin
    return 0.0 if rule == "no-significant-drop" else 0.0 - margin


def place(gain: float, interval: tuple[float, float] | None, rule: Rule, margin: float) -> Place:
    """The verdict on one gain.

    Args:
        gain: printed points, positive is better.
        interval: of the gain; None where there are too few samples for one.
        margin: printed points, not negative.
    """
    at = line_of(rule, margin)
    if not math.isfinite(gain):
        return Place("inconclusive", "there is no difference to judge")
    if rule == "point":
        return Place("pass" if gain >= at or math.isclose(gain, at, abs_tol=1e-9) else "regression")
    if interval is None or not all(map(math.isfinite, interval)):
        return Place("inconclusive", "too few samples for an interval")
    low, high = interval
    if high < at:
        return Place("regression")
    if rule == "no-significant-drop":
        return Place("pass")
    # An interval of no width at the line itself (two runs alike, margin 0) isn't on the wrong side of it.
    if low > at or (rule != "superiority" and low == high == at):
        return Place("pass", "a significant drop, but within the margin" if high < 0 else "")
    return Place("inconclusive")


def samples_needed(found: Difference, rule: Rule, margin: float, power: float) -> int | None:
    """How many samples would tell, were the candidate as good as the baseline (superiority: as much better as it
    looks); None where no number of samples is known to.

    As large as the ones compared, clusters and all: the noise of one sample is taken from the comparison itself.
    """
    from evalkit.inference.power import of_difference
    from evalkit.inference.power import samples_needed as needed

    alpha = 1 - found.level
    try:
        noise = of_difference(found)
        if rule == "superiority":
            reach = found.gain - margin
            return needed(noise, reach, power=power, alpha=alpha, rule="superiority") if reach > 0 else None
        return needed(noise, margin, power=power, alpha=alpha) if margin > 0 else None
    except ValueError:
        return None


def detectable(found: Difference, margin: float, power: float) -> tuple[float | None, float | None]:
    """The smallest margin these samples would have passed an equal candidate with, and the smallest true drop they
    would have called a regression, both with this power, in printed points."""
    from statistics import NormalDist

    from evalkit.inference.power import detectable as smallest
    from evalkit.inference.power import of_difference

    alpha = 1 - found.level
    try:
        noise = of_difference(found)
        least = smallest(noise, found.n, power=power, alpha=alpha)
    except ValueError:
        return None, None
    reach = NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(power)
    return least, margin + reach * noise.se(found.n)
