"""How far a judge agrees with people, and people with each other: Spearman's rho as VStyle reports it.

Source: VStyle sheet section 8. Pure but for SciPy, which is imported where it is used (extra `stats`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from evalkit.audit import coefficients
from evalkit.audit.coefficients import libraries
from evalkit.records import JSON

Scores = Mapping[str, float]
"""Score by key."""


@dataclass
class Rater:
    """One annotator's scores, or the judge's.

    Attributes:
        name: who.
        scores: by key `"{id}_{instruct_id}"`; a later row of the same key displaces an earlier one.
        abilities: ability by key, where rows give one.
        skipped: rows left out, and why: counts by reason.
    """

    name: str
    scores: dict[str, float] = field(default_factory=dict)
    abilities: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Agreement:
    """The three figures, NaN where they can't be had, and how much they stand on.

    Attributes:
        average: rho between the mean over annotators and the judge.
        individual: mean over annotators of rho(annotator, judge).
        human: mean over pairs of annotators of rho.
        n: keys that the judge shares with at least one annotator.
        annotators, pairs: how many rhos `individual` and `human` are means of.
    """

    average: float
    individual: float
    human: float
    n: int
    annotators: int
    pairs: int

    def to_json(self) -> dict[str, JSON]:
        figures = {"average": self.average, "individual": self.individual, "human": self.human}
        rounded: dict[str, JSON] = {k: None if math.isnan(v) else round(v, 4) for k, v in figures.items()}
        return rounded | {"n": self.n, "annotators": self.annotators, "pairs": self.pairs}


def rater(
    name: str, rows: Iterable[Mapping[str, Any]], column: str, ids: Sequence[str] = ("id", "instruct_id")
) -> Rater:
    """The scores in `column` of rows with `ability` and these `ids`, which joined are the key.

    A row that lacks an id, or whose score `float` doesn't take, is skipped and counted.
    """
    found = Rater(name)
    for row in rows:
        given = [row.get(i) for i in ids]
        if None in given:
            _count(found.skipped, f"no {' or '.join(ids)}")
            continue
        try:
            score = float(row[column])
        except (KeyError, TypeError, ValueError, OverflowError):
            _count(found.skipped, f"no number in {column}")
            continue
        key = "_".join(map(str, given))
        found.scores[key] = score
        if isinstance(ability := row.get("ability"), str):
            found.abilities[key] = ability
    return found


def _count(counts: dict[str, int], what: str) -> None:
    counts[what] = counts.get(what, 0) + 1


def spearman(one: Scores, two: Scores) -> float | None:
    """Spearman's rho on the common keys, ties by average rank; NaN for constant scores, None below two keys.

    Raises:
        UsageError: SciPy isn't installed.
    """
    common = sorted(one.keys() & two.keys())
    if len(common) < 2:
        return None
    with libraries():
        return coefficients.spearman([one[k] for k in common], [two[k] for k in common])


def averaged(raters: Sequence[Scores]) -> dict[str, float]:
    """Mean score by key over the annotators that have it."""
    given: dict[str, list[float]] = {}
    for scores in raters:
        for key, value in scores.items():
            given.setdefault(key, []).append(value)
    return {key: math.fsum(values) / len(values) for key, values in given.items()}


def agreement(humans: Sequence[Scores], judge: Scores) -> Agreement:
    """The three figures on these scores. A rho that is NaN makes its mean NaN; where there is none, none counts."""
    mean = averaged(humans)
    alone = [r for h in humans if (r := spearman(h, judge)) is not None]
    pairs = [r for a, b in combinations(humans, 2) if (r := spearman(a, b)) is not None]
    average = spearman(mean, judge)
    n = len(mean.keys() & judge.keys())
    return Agreement(
        math.nan if average is None else average, _mean(alone), _mean(pairs), n, len(alone), len(pairs)
    )


def by_category(humans: Sequence[Rater], judge: Rater) -> dict[str, Agreement]:
    """The figures for each category (the ability up to the slash) that any row names, sorted."""
    category: dict[str, str] = {}
    for one in (*humans, judge):
        category |= {key: a.partition("/")[0] for key, a in one.abilities.items()}

    def within(scores: Scores, name: str) -> Scores:
        return {key: value for key, value in scores.items() if category.get(key) == name}

    names = sorted(set(category.values()))
    return {c: agreement([within(h.scores, c) for h in humans], within(judge.scores, c)) for c in names}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
