"""Agreement of two or more raters as figures: a value with its 95 % interval, or the reason why there is none.

Every coefficient is a library's: Spearman, Pearson, Wilson, exact binomial and bootstrap SciPy's, Cohen's kappa
statsmodels', Krippendorff's alpha krippendorff's. Intervals resample samples, all raters of one together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from evalkit.audit.coefficients import (
    QUICK,
    Level,
    Statistic,
    alpha,
    kappa,
    libraries,
    mean_difference,
    no_alpha,
    pearson,
    quick_alpha,
    spearman,
)
from evalkit.records import JSON
from evalkit.stats import percentile_interval

if TYPE_CHECKING:
    from evalkit.stats import Array

DRAWS, SUBSET_DRAWS, SEED = 1000, 400, 0
"""Resamples of an interval, at most of a subset's (there are many of them), and the seed of all."""
LEAST, PLACES = 200, 10_000_000
"""Of many samples so many are drawn in all, in no fewer resamples: their intervals are narrow anyway."""
BATCH = 2_000_000
"""Places drawn at once, for memory."""
MOST_STEPS = 21
"""Steps of a scale beyond which its values are numbers, no categories."""
BEYOND, FARTHER = 0.05, 4
"""Share of labels beyond the ends of a scale, and ratio of the highest, from which on they are of another scale."""
SMALL = 30
"""Samples below which the intervals are too narrow (docs/judge-audit.md)."""

Kind = Literal["yes-no", "rating", "number", "mixed"]


@dataclass(frozen=True)
class Figure:
    """One number of an audit.

    Attributes:
        value: None where it is undefined; then `note` says why.
        ci: 95 % interval.
        n: samples it stands on.
        pair: what is compared ("judge-people", "people-people", ...), "" where nothing is.
        subset: "all", or "key=group".
    """

    statistic: str
    value: float | None
    ci: tuple[float, float] | None = None
    n: int = 0
    note: str = ""
    pair: str = ""
    subset: str = "all"

    @property
    def name(self) -> str:
        """With the pair before it: ``judge-people.kappa``."""
        return f"{self.pair}.{self.statistic}" if self.pair else self.statistic

    def to_json(self) -> dict[str, JSON]:
        return {
            "subset": self.subset,
            "pair": self.pair,
            "statistic": self.statistic,
            "value": _kept(self.value),
            "ci": [_kept(x) for x in self.ci] if self.ci else None,
            "n": self.n,
            "note": self.note,
        }

    @classmethod
    def from_json(cls, obj: dict[str, JSON]) -> Figure:
        """Raises KeyError, TypeError, ValueError for what is no figure."""
        ci = obj.get("ci")
        return cls(
            str(obj["statistic"]),
            None if obj["value"] is None else float(obj["value"]),
            (float(ci[0]), float(ci[1])) if ci else None,
            int(obj.get("n") or 0),
            str(obj.get("note") or ""),
            str(obj.get("pair") or ""),
            str(obj.get("subset") or "all"),
        )


def _kept(value: float | None) -> float | None:
    """Twelve digits, so that machines that add in another order write the same bytes."""
    return None if value is None else float(f"{value:.12g}") + 0.0


@dataclass(frozen=True)
class Scale:
    """What the values of an audit are.

    Attributes:
        kind: "yes-no", "rating" (whole steps), "number", or "mixed": two sides with scales of their own.
        steps: the categories, in order; () for numbers.
        rounded: some values lie between the steps (means of votes), and are rounded where categories are compared.
        note: for "mixed": both scales in words.
    """

    kind: Kind
    steps: tuple[float, ...] = ()
    rounded: bool = False
    note: str = ""

    @property
    def level(self) -> Level:
        """Level of measurement for Krippendorff's alpha."""
        if self.kind == "yes-no":
            return "nominal"
        return "ordinal" if self.kind == "rating" and not self.rounded else "interval"

    def to_json(self) -> dict[str, JSON]:
        out: dict[str, JSON] = {"kind": self.kind, "steps": list(self.steps), "level": self.level}
        return out | ({"rounded": True} if self.rounded else {}) | ({"note": self.note} if self.note else {})


def scale_of(values: Sequence[float], lo: float | None = None, hi: float | None = None) -> Scale:
    """The scale of these values, given the ends of the judge's where they are known."""
    finite = {float(v) for v in values if math.isfinite(v)}
    ends = [float(e) for e in (lo, hi) if e is not None and math.isfinite(e)]
    whole = all(v.is_integer() for v in (*finite, *ends))
    if finite <= {0.0, 1.0} and set(ends) <= {0.0, 1.0}:
        return Scale("yes-no", (0.0, 1.0))
    low, high = min((*finite, *ends), default=0.0), max((*finite, *ends), default=1.0)
    low, high = math.floor(low), math.ceil(high)
    unit = (
        set(ends) == {0.0, 1.0} and high <= 1
    )  # a rate of a segment is a number, not a step between no and yes
    if unit or high - low + 1 > MOST_STEPS or (not whole and len(ends) < 2):
        return Scale("number")
    return Scale("rating", tuple(float(k) for k in range(low, high + 1)), rounded=not whole)


def joint_scale(
    one: Sequence[float],
    two: Sequence[float],
    lo: float | None = None,
    hi: float | None = None,
    names: tuple[str, str] = ("the first", "the second"),
) -> Scale:
    """The scale of two sides; "mixed" when they have scales of their own (`lo`, `hi` are the ends of the first's).

    Told by the labels: 0 and 1 beside ratings, many of the second beyond the ends of the first, or far higher.
    """
    first, second = sorted(v for v in one if math.isfinite(v)), sorted(v for v in two if math.isfinite(v))
    low, high = (first[0] if first and lo is None else lo), (first[-1] if first and hi is None else hi)
    if not second or low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return scale_of([*one, *two], lo, hi)
    yes_no = [scale_of(first, lo, hi).kind == "yes-no", scale_of(second).kind == "yes-no"]
    if lo is not None and hi is not None:
        apart = sum(not low <= v <= high for v in second) > BEYOND * len(second)
    else:
        apart = min(high, second[-1]) > 1 and not 1 / FARTHER < second[-1] / high < FARTHER
    # Someone who gave 1 to all, on a scale that starts there, did not say yes.
    if yes_no[0] != yes_no[1] and (yes_no[0] or 0.0 in second):
        apart = True
    if not apart:
        return scale_of([*one, *two], lo, hi)
    said = f"{names[0]} gives {low:g} to {high:g}, {names[1]} {second[0]:g} to {second[-1]:g}"
    return Scale("mixed", note=f"two scales: {said}; map them with --map")


def nearest(values: Array, scale: Scale) -> Array:
    """The values on the scale's steps, halves up."""
    import numpy as np

    return np.floor(values + 0.5) if scale.rounded else values


def interval(n: int, of: Callable[[Any], float], draws: int = DRAWS) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of `of(rows)`, where rows are places from 0 to n-1 drawn with replacement.

    Draws in which it is undefined are left out; None when it is in more than half of them.
    """
    import numpy as np
    from scipy.stats import bootstrap

    if n < 2 or draws < 2:
        return None
    draws = min(draws, max(LEAST, PLACES // n))
    found = bootstrap(
        (np.arange(n),),
        of,
        n_resamples=draws,
        vectorized=False,
        batch=max(1, BATCH // n),
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).bootstrap_distribution
    return percentile_interval(found) if np.isfinite(found).sum() * 2 > draws else None


def proportion(successes: int, n: int) -> tuple[float, float]:
    """95 % Wilson interval of a share."""
    from scipy.stats import binomtest

    found = binomtest(successes, n).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def share(statistic: str, successes: int, n: int, note: str = "") -> Figure:
    """A share with its Wilson interval; undefined of nothing."""
    if not n:
        return undefined(statistic, 0, note or "no sample")
    with libraries():
        return Figure(statistic, successes / n, proportion(successes, n), n, note)


def undefined(statistic: str, n: int, why: str) -> Figure:
    """A figure without a value."""
    return Figure(statistic, None, None, n, f"undefined: {why}")


def mean_of(statistic: str, values: Sequence[float], note: str = "", draws: int = DRAWS) -> Figure:
    """A mean with its bootstrap interval; undefined of nothing."""
    import numpy as np

    held = np.asarray(values, dtype=np.float64)
    if not len(held):
        return undefined(statistic, 0, note or "no sample")
    with libraries():
        ci = interval(len(held), lambda rows: float(held[rows].mean()), draws)
    return Figure(statistic, float(held.mean()), ci, len(held), note)


def why_not(one: Array, two: Array, names: tuple[str, str]) -> str:
    """Why a correlation of these is undefined; "" when it isn't."""
    if len(one) < 2:
        return f"{len(one)} sample{'s' * (len(one) != 1)} in common, two are needed"
    for values, name in ((one, names[0]), (two, names[1])):
        if (values == values[0]).all():
            return f"{name} gave {values[0]:g} to every sample"
    return ""


def of_pair(
    one: Array,
    two: Array,
    scale: Scale,
    names: tuple[str, str] = ("the one", "the other"),
    draws: int = DRAWS,
) -> list[Figure]:
    """All figures of two raters on the same samples (both finite): accuracy, kappa, alpha, correlations, difference."""
    import numpy as np

    n = len(one)
    if not n:
        return [undefined(s, 0, "no sample in common") for s in ("accuracy", "kappa", "alpha", "spearman")]
    out: list[Figure] = []
    with libraries():
        if scale.steps:
            note = "ratings rounded to whole steps" if scale.rounded else ""
            a, b = nearest(one, scale), nearest(two, scale)
            out.append(share("accuracy", int((a == b).sum()), n, note))
            if scale.kind == "rating":
                out.append(share("within_one", int((np.abs(a - b) <= 1).sum()), n, note))
            one_only = f"both gave only {a[0]:g}" if len(np.unique([a, b])) < 2 else ""
            weights = ((None, "kappa"), ("quadratic", "kappa_quadratic"))[
                : 2 if scale.kind == "rating" else 1
            ]
            for weight, name in weights:
                value = partial(kappa, steps=scale.steps, weights=weight)
                out.append(resampled(name, value, (a, b), one_only, note, draws))
        else:
            why = scale.note or "the scores are numbers, no categories"
            out += [undefined("accuracy", n, why), undefined("kappa", n, why)]
        if scale.kind == "mixed":
            out += [undefined("alpha", n, scale.note), undefined("mean_difference", n, scale.note)]
        else:
            same = f"both gave only {one[0]:g}" if len(np.unique([one, two])) < 2 else ""
            level = scale.level
            both = lambda x, y: alpha(np.array([x, y]), level)  # noqa: E731
            quick = lambda x, y: quick_alpha(np.array([x, y]), level)  # noqa: E731
            out.append(resampled("alpha", both, (one, two), no_alpha() or same, level, draws, quick))
        why = why_not(one, two, names)
        out += [resampled(f.__name__, f, (one, two), why, "", draws) for f in (spearman, pearson)]
        if scale.kind != "mixed":
            out.append(resampled("mean_difference", mean_difference, (one, two), "", "", draws))
    return out


def resampled(
    name: str,
    of: Statistic,
    pair: tuple[Array, Array],
    why: str,
    note: str = "",
    draws: int = DRAWS,
    quick: Statistic | None = None,
) -> Figure:
    """A statistic of two raters with its bootstrap interval; undefined when `why` says so, or its value does.

    Args:
        quick: the same statistic, for resamples.
    """
    one, two = pair
    if why:
        return undefined(name, len(one), why)
    value = of(one, two)
    if not math.isfinite(value):
        return undefined(name, len(one), "the ratings do not vary")
    again = quick or QUICK.get(of, of)
    ci = interval(len(one), lambda rows: again(one[rows], two[rows]), draws)
    return Figure(name, value, ci, len(one), note)


def sign_test(one: Array, two: Array, scale: Scale) -> Figure:
    """Is one of two judges higher more often? Exact McNemar test for yes-no, sign test otherwise; ties don't count."""
    up, down = int((one > two).sum()), int((one < two).sum())
    name = "McNemar's exact test" if scale.kind == "yes-no" else "sign test"
    note = f"{name}: first higher in {up}, second in {down}"
    if not up + down:
        return undefined("p_value", len(one), f"{name}: the two differ in no sample")
    with libraries():
        if scale.kind == "yes-no":
            from statsmodels.stats.contingency_tables import mcnemar

            value = float(mcnemar([[0, up], [down, 0]], exact=True).pvalue)
        else:
            from scipy.stats import binomtest

            value = float(binomtest(up, up + down).pvalue)
    return Figure("p_value", value, None, up + down, note)


def paired(figures: Sequence[Figure], pair: str, subset: str = "all") -> list[Figure]:
    """The figures, each told what is compared and on which samples."""
    return [replace(f, pair=pair, subset=subset) for f in figures]
