"""A judge against people: agreement of every kind, with the agreement of people among themselves beside it.

People's agreement with each other is the yardstick: a judge can hardly be nearer to people than they are to each
other. The verdict is the internal-set sheet's (section 7): accept when Spearman's rho between judge and the mean over
people is not below rho between people by more than 0.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

from evalkit.audit.agreement import Agreement, Rater, agreement, averaged, by_category
from evalkit.audit.coefficients import (
    QUICK,
    Statistic,
    alpha,
    kappa,
    libraries,
    no_alpha,
    pearson,
    quick_alpha,
    spearman,
)
from evalkit.audit.figures import (
    DRAWS,
    SMALL,
    SUBSET_DRAWS,
    Figure,
    Scale,
    interval,
    joint_scale,
    nearest,
    of_pair,
    paired,
    scale_of,
    undefined,
)

if TYPE_CHECKING:
    from evalkit.stats import Array

MARGIN = 0.1
"""How far rho(judge, people) may lie below rho(people, people). Internal-set sheet section 7."""
MOST_PAIRS = 15_000
"""Pairs of raters times resamples, beyond which fewer are drawn."""
SUSPECT, SOME = 1.5, 10
"""Ratio of the highest score and the highest label from which on, of so many samples, two scales are suspected."""
ENOUGH, RATERS = 60, 3
"""Responses and annotators that the sheet asks for before a judge is trusted."""
CONSENSUS, EACH, AMONG, ALL = "judge-people", "judge-each", "people-people", "all"
PAIRS = {
    CONSENSUS: "judge and the mean (yes-no: the majority) of people",
    EACH: "judge and each person, mean over persons",
    AMONG: "two persons, mean over pairs",
    ALL: "all persons and the judge together",
}


@dataclass(frozen=True)
class People:
    """What came of comparing a judge with people.

    Attributes:
        figures: by subset, pair and statistic.
        rho: VStyle's three figures, overall; `categories`: by category.
        scale: what the ratings are.
        consensus: by key; ties of a yes-no vote are left out, counted in `ties`.
        verdict: accepted, not accepted, or None where it can't be said; `sentence` says why.
    """

    figures: list[Figure]
    rho: Agreement
    categories: Mapping[str, Agreement]
    scale: Scale
    consensus: Mapping[str, float]
    ties: int
    verdict: bool | None
    sentence: str


def consensus_of(people: Sequence[Mapping[str, float]], scale: Scale) -> tuple[dict[str, float], int]:
    """One label per key: the mean, or of yes-no labels the majority; and how many had no majority."""
    mean = averaged(people)
    if scale.kind != "yes-no":
        return mean, 0
    ties = [k for k, v in mean.items() if v == 0.5]
    return {k: float(v > 0.5) for k, v in mean.items() if v != 0.5}, len(ties)


def compare(
    people: Sequence[Rater],
    judge: Rater,
    lo: float | None = None,
    hi: float | None = None,
    subsets: Mapping[str, Sequence[str]] | None = None,
    draws: int = DRAWS,
) -> People:
    """All figures, overall and by subset.

    Args:
        lo, hi: range of the judge's scale, where known.
        subsets: keys by "name=group".

    Raises:
        UsageError: a library is missing.
    """
    labels = [_finite(p.scores) for p in people]
    scores = _finite(judge.scores)
    given = [v for one in labels for v in one.values()]
    scale = joint_scale(list(scores.values()), given, lo, hi, ("the judge", "people"))
    figures = _figures(labels, scores, scale, "all", draws)
    for name, keys in (subsets or {}).items():
        kept = set(keys)
        inside = [{k: v for k, v in one.items() if k in kept} for one in (*labels, scores)]
        figures += _figures(inside[:-1], inside[-1], scale, name, min(draws, SUBSET_DRAWS))
    with libraries():
        rho = agreement([p.scores for p in people], judge.scores)
        categories = by_category(people, judge)
    consensus, ties = consensus_of(labels, scale)
    verdict, sentence = judged(rho)
    gap = _gap(labels, scores, rho, draws)
    return People(
        [*figures, gap], rho, categories, scale, consensus, ties, verdict, f"{sentence}{_sure(gap, verdict)}"
    )


def _gap(
    labels: Sequence[Mapping[str, float]], judge: Mapping[str, float], rho: Agreement, draws: int
) -> Figure:
    """rho(person, person) less rho(judge, people) with its interval; samples are drawn."""
    import numpy as np

    name, keys = "rho_gap", sorted({k for one in labels for k in one} | judge.keys())
    if not math.isfinite(rho.human - rho.average):
        return replace(undefined(name, rho.n, "one of the two rhos is undefined"), pair=CONSENSUS)
    raters = _table([judge, *labels], keys)
    # A sample's mean over people is the same in every draw.
    known = ~np.isnan(raters[1:])
    with np.errstate(invalid="ignore"):
        mean = np.where(known, raters[1:], 0.0).sum(axis=0) / known.sum(axis=0)
    among = list(combinations(range(1, len(raters)), 2))

    def of(rows: Any) -> float:
        both = [(raters[0], mean), *((raters[a], raters[b]) for a, b in among)]
        rhos = []
        for x, y in both:
            x, y = x[rows], y[rows]
            held = ~(np.isnan(x) | np.isnan(y))
            rhos.append(QUICK[spearman](x[held], y[held]) if held.sum() > 1 else math.nan)
        between = [r for r in rhos[1:] if math.isfinite(r)]
        return sum(between) / len(between) - rhos[0] if between else math.nan

    with libraries():
        ci = interval(len(keys), of, fewer(draws, len(among)))
    note = f"rho(person, person) less rho(judge, people); up to {MARGIN:g} is accepted"
    return Figure(name, rho.human - rho.average, ci, rho.n, note, CONSENSUS)


def _sure(gap: Figure, verdict: bool | None) -> str:
    """How far chance could change the verdict."""
    if verdict is None or gap.ci is None:
        return ""
    low, high = gap.ci
    if low <= MARGIN < high:
        more = "so that other samples might have said otherwise"
    else:
        more = "all on that side of the limit"
    return f" The 95 % interval of how far below: {low:.3f} to {high:.3f}, {more}."


def _table(raters: Sequence[Mapping[str, float]], keys: Sequence[str]) -> Array:
    """Labels as an array, shape (raters, keys), NaN where there is none."""
    import numpy as np

    rows = [[one.get(k, math.nan) for k in keys] for one in raters]
    return np.asarray(rows, dtype=np.float64).reshape(len(rows), len(keys))


def fewer(draws: int, pairs: int) -> int:
    """Resamples for a mean over so many pairs of raters: many pairs take long, and no fewer than 200 are drawn."""
    return min(draws, max(200, MOST_PAIRS // max(1, pairs)))


def judged(rho: Agreement) -> tuple[bool | None, str]:
    """Is this judge good enough, by the sheet's rule? With the sentence that says so."""
    found = f"rho(judge, mean of people) = {_shown(rho.average)}, rho(person, person) = {_shown(rho.human)}"
    if math.isnan(rho.average):
        return None, f"{found}: nothing can be said, since the first is undefined."
    if math.isnan(rho.human):
        why = "one person's labels" if rho.annotators < 2 else "labels that give it no value"
        return None, f"{found}: no yardstick, since people among themselves need two who vary ({why})."
    if rho.human <= 0:
        return (
            None,
            f"{found}: no yardstick, since people do not agree among themselves; mend the labels first.",
        )
    gap = rho.human - rho.average
    # What four decimals can't tell apart is no reason to refuse.
    good = round(gap, 4) <= MARGIN
    how = "below" if gap > 0 else "above"
    what = "accepted" if good else "not accepted"
    return good, f"{found}: {what} ({abs(gap):.4f} {how}; up to {MARGIN:g} below is accepted)."


def cautions(found: People, people: Sequence[Rater], judge: Rater, n: int) -> list[str]:
    """What a reader should know before trusting these figures: sentences."""
    out = []
    if found.scale.kind == "mixed":
        note = found.scale.note.partition(";")[0]
        out.append(f"{note[:1].upper()}{note[1:]}: only correlations can be told of these.")
    else:
        tops = [max(s, default=0.0) for s in (_finite(judge.scores).values(), found.consensus.values())]
        if min(tops) > 0 and max(tops) >= SUSPECT * min(tops) and n >= SOME:
            out.append(
                f"The judge's scores end at {tops[0]:g}, people's at {tops[1]:g}: if these are two scales, only "
                "correlations mean something."
            )
    if found.verdict is not None and (n < ENOUGH or len(people) < RATERS):
        out.append(
            f"The rule asks for {ENOUGH} responses and {RATERS} annotators or more; here are {n} and {len(people)}."
        )
    if n < SMALL:
        out.append(f"Of fewer than {SMALL} samples the intervals are too narrow.")
    return out


def _shown(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.4f}"


def _finite(scores: Mapping[str, float]) -> dict[str, float]:
    return {k: v for k, v in scores.items() if math.isfinite(v)}


def _figures(
    people: Sequence[Mapping[str, float]], judge: Mapping[str, float], scale: Scale, subset: str, draws: int
) -> list[Figure]:
    import numpy as np

    keys = sorted({k for one in people for k in one})
    raters = _table([judge, *people], keys)
    consensus, _ = consensus_of(people, scale)
    both = sorted(consensus.keys() & judge.keys())
    one = np.asarray([judge[k] for k in both], dtype=np.float64)
    two = np.asarray([consensus[k] for k in both], dtype=np.float64)
    between = scale if scale.kind != "rating" else _between(scale, two)
    out = paired(of_pair(one, two, between, ("the judge", "people"), draws), CONSENSUS, subset)
    each = [(0, k) for k in range(1, len(raters))]
    if len(people) > 1:
        out += paired(_means(raters, each, scale, draws, "persons"), EACH, subset)
        among = list(combinations(range(1, len(raters)), 2))
        # People have one scale among themselves, whatever the judge's.
        theirs = scale if scale.kind != "mixed" else scale_of([v for p in people for v in p.values()])
        out += paired(_means(raters, among, theirs, draws, "pairs"), AMONG, subset)
        out += paired([_alpha(raters[1:], theirs, draws)], AMONG, subset)
        if scale.kind != "mixed":
            out += paired([_alpha(raters, scale, draws)], ALL, subset)
    return out


def _between(scale: Scale, consensus: Array) -> Scale:
    """The scale, rounding where the mean of people lies between its steps."""
    import numpy as np

    return Scale("rating", scale.steps, scale.rounded or bool((consensus != np.floor(consensus)).any()))


def _means(
    raters: Array, pairs: Sequence[tuple[int, int]], scale: Scale, draws: int, of: str
) -> list[Figure]:
    """Each coefficient as the mean over pairs of raters, on the samples that both rated."""
    import numpy as np

    wanted: list[tuple[str, Callable[[Array, Array], float]]] = []
    if scale.steps:
        steps = scale.steps
        wanted += [("accuracy", lambda x, y: float((x == y).mean()))]
        wanted += [("kappa", lambda x, y: kappa(x, y, steps))]
    if scale.kind == "rating":
        wanted += [("kappa_quadratic", lambda x, y: kappa(x, y, scale.steps, "quadratic"))]
    wanted += [("spearman", spearman), ("pearson", pearson)]

    def mean(of: Callable[[Array, Array], float], rounds: bool, rows: Any) -> tuple[float, int]:
        values = []
        for a, b in pairs:
            x, y = raters[a][rows], raters[b][rows]
            both = ~(np.isnan(x) | np.isnan(y))
            if both.sum() > 1:
                x, y = x[both], y[both]
                values.append(of(nearest(x, scale), nearest(y, scale)) if rounds else of(x, y))
        held = [v for v in values if math.isfinite(v)]
        return (sum(held) / len(held) if held else math.nan), len(held)

    n = int(sum((~np.isnan(raters[sorted({k for p in pairs for k in p})])).sum(axis=0) > 1))
    out = []
    with libraries():
        for name, what in wanted:
            rounds = name not in ("spearman", "pearson")
            value, k = mean(what, rounds, np.arange(raters.shape[1]))
            if not k:
                out.append(
                    undefined(name, n, f"in none of the {len(pairs)} {of} do two share samples that vary")
                )
                continue
            ci = interval(
                raters.shape[1],
                partial(_first, mean, QUICK.get(what, what), rounds),
                fewer(draws, len(pairs)),
            )
            note = f"mean over {k} {of}" + (f"; undefined in {len(pairs) - k}" if k < len(pairs) else "")
            out.append(Figure(name, value, ci, n, note))
    return out


def _first(of: Callable[..., tuple[float, int]], what: Statistic, rounds: bool, rows: Any) -> float:
    """The mean alone, of a function that counts beside it."""
    return of(what, rounds, rows)[0]


def _alpha(raters: Array, scale: Scale, draws: int) -> Figure:
    """Krippendorff's alpha over all these raters."""
    import numpy as np

    n = int(((~np.isnan(raters)).sum(axis=0) > 1).sum())
    if why := no_alpha():
        return undefined("alpha", n, why)
    with libraries():
        value = alpha(raters, scale.level)
        if not math.isfinite(value):
            return undefined("alpha", n, "the ratings do not vary" if n else "no sample was rated twice")
        ci = interval(raters.shape[1], lambda rows: quick_alpha(raters[:, rows], scale.level), draws)
    return Figure("alpha", value, ci, n, f"{scale.level}, {len(raters)} raters")
