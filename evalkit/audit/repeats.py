"""One judge asked again and again: how much of a number is the judge's own noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from evalkit.audit.coefficients import QUICK, Statistic, alpha, libraries, no_alpha, quick_alpha, spearman
from evalkit.audit.figures import DRAWS, Figure, Scale, interval, mean_of, share, undefined, why_not
from evalkit.records import Score

if TYPE_CHECKING:
    from evalkit.stats import Array

Turns = Sequence[Mapping[str, float]]
"""Verdicts by sample, one mapping per time the judge was asked."""
WORDS = {"yes": 1.0, "no": 0.0}
"""Votes in words that a protocol keeps as they came."""


def figures(
    turns: Turns,
    scale: Scale,
    numbers: Sequence[float | None] | None = None,
    draws: int = DRAWS,
) -> list[Figure]:
    """Figures over repeats; a sample counts with two verdicts or more.

    Args:
        numbers: the headline number of each turn in printed units; None: the mean of its verdicts.
    """
    import numpy as np

    held: dict[str, list[float]] = {}
    for turn in turns:
        for i, value in turn.items():
            held.setdefault(i, []).append(value)
    twice = {i: v for i, v in sorted(held.items()) if len(v) > 1}
    n = len(twice)
    if not n:
        return [undefined("identical", 0, "no sample has two verdicts")]
    equal = sum(len(set(v)) == 1 for v in twice.values())
    out = [share("identical", equal, n, f"of {max(map(len, twice.values()))} verdicts each")]
    spread = [float(np.std(v, ddof=1)) for v in twice.values()]
    out.append(mean_of("within_sample_sd", spread, "mean over samples", draws))
    raters = np.asarray([[turn.get(i, math.nan) for i in twice] for turn in turns], dtype=np.float64)
    out.append(_alpha(raters, scale, draws))
    out.append(_retest(raters, draws))
    pooled = [_mean(turn) for turn in turns] if numbers is None else numbers
    out += _spread([v for v in pooled if v is not None], n)
    return out


def _mean(turn: Mapping[str, float]) -> float | None:
    return math.fsum(turn.values()) / len(turn) if turn else None


def _alpha(raters: Array, scale: Scale, draws: int) -> Figure:
    n = raters.shape[1]
    if why := no_alpha():
        return undefined("alpha", n, why)
    with libraries():
        value = alpha(raters, scale.level)
        if not math.isfinite(value):
            return undefined("alpha", n, "every verdict is the same")
        ci = interval(n, lambda rows: quick_alpha(raters[:, rows], scale.level), draws)
    return Figure("alpha", value, ci, n, f"{scale.level}, over {len(raters)} repeats")


def _retest(raters: Array, draws: int) -> Figure:
    """Spearman's rho between two turns, mean over pairs of turns."""
    import numpy as np

    pairs = list(combinations(range(len(raters)), 2))
    n = raters.shape[1]

    def mean(rows: Any, rho: Statistic = QUICK[spearman]) -> float:
        values = []
        for a, b in pairs:
            x, y = raters[a][rows], raters[b][rows]
            both = ~(np.isnan(x) | np.isnan(y))
            if both.sum() > 1:
                values.append(rho(x[both], y[both]))
        kept = [v for v in values if math.isfinite(v)]
        return sum(kept) / len(kept) if kept else math.nan

    with libraries():
        value = mean(np.arange(n), spearman)
        if not math.isfinite(value):
            a, b = raters[0], raters[1]
            both = ~(np.isnan(a) | np.isnan(b))
            return undefined(
                "retest_spearman", n, why_not(a[both], b[both], ("one turn", "another")) or "no variation"
            )
        return Figure(
            "retest_spearman", value, interval(n, mean, draws), n, f"mean over {len(pairs)} pairs of repeats"
        )


def _spread(numbers: Sequence[float], n: int) -> list[Figure]:
    """What asking again does to the number in the table."""
    import numpy as np

    if len(numbers) < 2:
        return [undefined("headline_sd", n, "one repeat only")]
    low, high = min(numbers), max(numbers)
    note = f"over {len(numbers)} repeats: {', '.join(f'{v:.4g}' for v in numbers[:12])}"
    return [
        Figure("headline_mean", float(np.mean(numbers)), None, n, note),
        Figure(
            "headline_sd",
            float(np.std(numbers, ddof=1)),
            None,
            n,
            "the judge's noise on the number in the table",
        ),
        Figure("headline_range", high - low, None, n, f"{low:.4g} to {high:.4g}"),
    ]


def as_on_record(turns: Turns, record: Mapping[str, float], draws: int = DRAWS) -> Figure:
    """Share of repeats that say what the run says; the interval draws samples, all repeats of one together."""
    import numpy as np

    name, note = "as_on_record", "repeats that say what the run says"
    same = [[turn[i] == old for turn in turns if i in turn] for i, old in sorted(record.items())]
    held = np.asarray([(sum(s), len(s)) for s in same if s], dtype=np.float64).reshape(-1, 2)
    if not len(held):
        return undefined(name, 0, "no sample in common")

    def of(rows: Any) -> float:
        hits, asked = held[rows].sum(axis=0)
        return float(hits / asked)

    with libraries():
        ci = interval(len(held), of, draws)
    return Figure(name, of(np.arange(len(held))), ci, len(held), note)


def least_difference(sd: float, repeats: int) -> float:
    """How far apart two headlines must be, each judged once, to be more than the judge's noise (95 %).

    Their difference has sqrt(2) times the noise; `sd` itself is of few repeats, hence Student's t.
    """
    from scipy.stats import t

    return float(t.ppf(0.975, repeats - 1)) * math.sqrt(2) * sd


def votes_of(scores: Mapping[str, Score]) -> list[dict[str, float]]:
    """The votes on record of an n-vote protocol, one mapping per place in the vote; [] where there is one vote."""
    turns: list[dict[str, float]] = []
    for i, score in scores.items():
        votes = score.detail.get("votes")
        if not isinstance(votes, list) or len(votes) < 2:
            continue
        for k, vote in enumerate(votes):
            if (value := _vote(vote)) is not None:
                while len(turns) <= k:
                    turns.append({})
                turns[k][i] = value
    return turns if len(turns) > 1 else []


def _vote(vote: object) -> float | None:
    """One vote as a number: a word of `WORDS`, or a finite number."""
    if isinstance(vote, str):
        return WORDS.get(vote.strip().strip(".").casefold())
    if isinstance(vote, bool | int | float) and math.isfinite(vote):
        return float(vote)
    return None
