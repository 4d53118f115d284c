"""Probes that need no calls: does a judge's verdict go with an answer's length, or its language?

To add one, add it to `LOOKS`. Probes that alter an answer and ask are in `evalkit.audit.probes`.
"""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from evalkit.audit.coefficients import libraries, pearson, spearman
from evalkit.audit.figures import DRAWS, Figure, interval, mean_of, resampled, undefined, why_not
from evalkit.records import JSON

ENOUGH = 5
"""Samples a group needs to be told apart from others."""


@dataclass(frozen=True)
class Seen:
    """One answer with its verdict, as a look sees it; `human` is people's mean label, where there is one."""

    sample: str
    score: float
    answer: str
    human: float | None = None


@dataclass(frozen=True)
class Finding:
    """What a probe found.

    Attributes:
        name: of the probe.
        about: what it asks of the judge, in a few words.
        sentence: what came of it.
        passed: None where nothing can be said, or where it only describes.
    """

    name: str
    about: str
    sentence: str
    figures: Sequence[Figure]
    passed: bool | None = None

    def to_json(self) -> dict[str, JSON]:
        return {"name": self.name, "about": self.about, "sentence": self.sentence, "passed": self.passed}


def length(seen: Sequence[Seen], draws: int = DRAWS) -> Finding:
    """Does the score go with the answer's length? Alone, and with people's label held constant where there is one."""
    import numpy as np

    scores = np.asarray([s.score for s in seen], dtype=np.float64)
    lengths = np.asarray([len(s.answer) for s in seen], dtype=np.float64)
    with libraries():
        why = why_not(scores, lengths, ("the judge", "their length"))
        rho = resampled("length_spearman", spearman, (scores, lengths), why, "", draws)
        figures = [replace(rho, subset="length")]
        parts = list(_quartiles(seen, draws))
        what = "quartile" if len(parts) == 4 else "part"
        figures += [replace(f, subset=f"length, {what} {k}") for k, f in enumerate(parts, 1)]
        labelled = [s for s in seen if s.human is not None]
        if labelled:
            figures.append(replace(_partial(labelled, draws), subset="length"))
    about = "does a longer answer score higher?"
    if rho.value is None:
        return Finding("length", about, f"Length: {rho.note}.", figures)
    return Finding("length", about, _length_told(figures), figures)


def _length_told(figures: Sequence[Figure]) -> str:
    rho = figures[0]
    partial = next((f for f in figures if f.statistic == "length_partial" and f.value is not None), None)
    text = f"Length: rho of score and length is {rho.value:.2f}{ranged(rho)} over {rho.n} answers"
    if partial is not None:
        text += f"; {partial.value:.2f}{ranged(partial)} with people's label held"
    strict = partial or rho
    if strict.ci is None or strict.ci[0] <= 0 <= strict.ci[1]:
        return f"{text}: none beyond chance."
    if partial is None:
        return f"{text}. Whether longer answers are better or only longer, labels by people (--human) would tell."
    return f"{text}: the judge goes by length where people don't."


def _quartiles(seen: Sequence[Seen], draws: int) -> Iterable[Figure]:
    """Mean score of the shortest quarter of the answers to the longest; answers of one length stay together."""
    order = sorted(seen, key=lambda s: (len(s.answer), s.sample))
    if len(order) < 4 * ENOUGH:
        return
    lengths = [len(s.answer) for s in order]
    cuts = [*sorted({bisect_left(lengths, lengths[round(k * len(order) / 4)]) for k in range(4)}), len(order)]
    if len(cuts) < 3:  # all of one length
        return
    for a, b in pairwise(cuts):
        part = order[a:b]
        note = f"{lengths[a]} to {lengths[b - 1]} characters"
        yield mean_of("mean_score", [s.score for s in part], note, draws)


def _partial(seen: Sequence[Seen], draws: int) -> Figure:
    """Spearman's partial correlation of score and length given people's label: of the residues of ranks on ranks."""
    import numpy as np
    from scipy.stats import linregress, rankdata

    score, long, human = (
        np.asarray(x, dtype=np.float64)
        for x in ([s.score for s in seen], [len(s.answer) for s in seen], [s.human for s in seen])
    )
    name = "length_partial"
    if why := why_not(score, long, ("the judge", "their length")) or why_not(
        human, score, ("people", "the judge")
    ):
        return undefined(name, len(seen), why)

    def of(rows: Any) -> float:
        a, b, c = (rankdata(x[rows]) for x in (score, long, human))
        if (c == c[0]).all():
            return math.nan
        rest = []
        for x in (a, b):
            line = linregress(c, x)
            rest.append(np.round(x - line.intercept - line.slope * c, 9))
        return pearson(rest[0], rest[1])

    value = of(np.arange(len(seen)))
    if not math.isfinite(value):
        return undefined(name, len(seen), "the judge's scores follow people's labels exactly")
    return Figure(name, value, interval(len(seen), of, draws), len(seen), "people's label held constant")


def language(seen: Sequence[Seen], draws: int = DRAWS) -> Finding:
    """Does the score, and the agreement with people, go with the script an answer is written in?"""
    import numpy as np

    groups: dict[str, list[Seen]] = {}
    for s in seen:
        groups.setdefault(script(s.answer), []).append(s)
    figures = []
    with libraries():
        for name, members in sorted(groups.items(), key=lambda g: (-len(g[1]), g[0])):
            subset = f"script {name}"
            figures.append(
                replace(mean_of("mean_score", [s.score for s in members], "", draws), subset=subset)
            )
            labelled = [s for s in members if s.human is not None]
            if labelled:
                one = np.asarray([s.score for s in labelled], dtype=np.float64)
                two = np.asarray([s.human for s in labelled], dtype=np.float64)
                found = resampled(
                    "agreement",
                    spearman,
                    (one, two),
                    why_not(one, two, ("the judge", "people")),
                    "Spearman's rho",
                    draws,
                )
                figures.append(replace(found, subset=subset))
    about = "does the language of an answer matter?"
    means = [f for f in figures if f.statistic == "mean_score" and f.n >= ENOUGH]
    if len(means) < 2:
        told = ", ".join(f"{name}: {len(m)}" for name, m in sorted(groups.items()))
        return Finding(
            "language", about, f"Language: too few scripts to compare ({told or 'no answers'}).", figures
        )
    told = ", ".join(f"{f.subset.removeprefix('script ')} {f.value:.2f}{ranged(f)}" for f in means)
    apart = any(
        a.ci and b.ci and (a.ci[1] < b.ci[0] or b.ci[1] < a.ci[0])
        for k, a in enumerate(means)
        for b in means[:k]
    )
    end = (
        "scripts score differently; whether their answers do, labels by people would tell"
        if apart
        else "none apart beyond chance"
    )
    return Finding("language", about, f"Language: mean score by script {told}: {end}.", figures)


def script(text: str) -> str:
    """The script most letters of a text are of: "Latin", "Han", "Cyrillic", ...; "none" without a letter.

    Kana beside Han is "Japanese".
    """
    counts: Counter[str] = Counter()
    for c in text[:4000]:
        if c.isalpha():
            name = unicodedata.name(c, "?").partition(" ")[0]
            counts["Han" if name == "CJK" else name.capitalize()] += 1
    if not counts:
        return "none"
    kana = counts["Hiragana"] + counts["Katakana"]
    if kana and kana + counts["Han"] >= max(counts.values()):
        return "Japanese"
    return counts.most_common(1)[0][0]


LOOKS: Mapping[str, Callable[..., Finding]] = {"length": length, "language": language}
"""Probes that need no calls."""


def ranged(figure: Figure) -> str:
    return f" [{figure.ci[0]:.2f}, {figure.ci[1]:.2f}]" if figure.ci else ""
