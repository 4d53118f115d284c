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
from itertools import combinations, pairwise
from typing import Any

from evalkit.audit.coefficients import QUICK, libraries, pearson, spearman
from evalkit.audit.figures import DRAWS, Figure, interval, mean_of, resampled, undefined, why_not
from evalkit.records import JSON

ENOUGH = 5
"""Samples a group needs to be told apart from others."""
LEAST_RELIABLE = 0.2
"""Reliability of people's mean label below which nothing is held constant by it."""


@dataclass(frozen=True)
class Seen:
    """One answer with its verdict, as a look sees it.

    Attributes:
        human: people's mean label, where there is one.
        length: characters of the whole answer, where `answer` is its beginning.
        labels: each person's, NaN where they gave none; in the same order for every answer.
    """

    sample: str
    score: float
    answer: str
    human: float | None = None
    labels: tuple[float, ...] = ()
    length: int = 0

    @property
    def size(self) -> int:
        """Characters of the answer."""
        return self.length or len(self.answer)


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
    lengths = np.asarray([s.size for s in seen], dtype=np.float64)
    with libraries():
        why = why_not(scores, lengths, ("the judge", "their length"))
        rho = resampled("length_spearman", spearman, (scores, lengths), why, "", draws)
        figures = [replace(rho, subset="length")]
        parts = list(_quartiles(seen, draws))
        what = "quartile" if len(parts) == 4 else "part"
        figures += [replace(f, subset=f"length, {what} {k}") for k, f in enumerate(parts, 1)]
        labelled = [s for s in seen if s.human is not None]
        if labelled:
            more = (_partial(labelled, draws), _excess(labelled, draws))
            figures += [replace(f, subset="length") for f in more]
    about = "does a longer answer score higher?"
    if len(set(lengths)) == 1:
        what = f"every answer has {seen[0].size} characters" if seen[0].size else "the answers have no words"
        return Finding("length", about, f"Length: {what}, so nothing can be told.", figures)
    if rho.value is None:
        return Finding("length", about, f"Length: {rho.note}.", figures)
    return Finding("length", about, _length_told(figures), figures)


def _length_told(figures: Sequence[Figure]) -> str:
    by = {f.statistic: f for f in figures}
    rho, partial, excess = by["length_spearman"], by.get("length_partial"), by.get("length_excess")
    text = f"Length: rho of score and length is {rho.value:.2f}{ranged(rho)} over {rho.n} answers"
    if partial is not None and partial.value is not None:
        text += f"; {partial.value:.2f}{ranged(partial)} with people's label held"
    if not _apart(rho) and not (excess is not None and _apart(excess)):
        return f"{text}: none beyond chance."
    if excess is not None and excess.value is not None:
        text += f"; {excess.value:+.2f}{ranged(excess)} beyond what people's labels and their noise explain"
        if not _apart(excess):
            return f"{text}: no more than people's own labels go with length."
        return f"{text}: the judge goes by length where people don't."
    if partial is None:
        return f"{text}. Whether longer answers are better or only longer, labels by people (--human) would tell."
    return f"{text}. How much of that the noise of the labels explains can't be told: {_bare(excess)}."


def _apart(figure: Figure) -> bool:
    return figure.ci is not None and not figure.ci[0] <= 0 <= figure.ci[1]


def _bare(figure: Figure | None) -> str:
    return figure.note.removeprefix("undefined: ") if figure is not None else ""


def _excess(seen: Sequence[Seen], draws: int) -> Figure:
    """Rho of score and length less what a fair judge's would be, given that people's labels have noise of their own.

    Of a judge that goes by the quality that people see, it is rho(judge, people) times rho(people, length), each
    divided by the root of people's reliability (Spearman's correction for attenuation; Spearman and Brown's formula
    for the mean of several). Without it, a fair judge of noisy labels looks fond of length.
    """
    import numpy as np

    name = "length_excess"
    if min(len(s.labels) for s in seen) < 2:
        return undefined(name, len(seen), "that takes labels by two people on the same answers")
    score, long, human = (
        np.asarray(x, dtype=np.float64)
        for x in ([s.score for s in seen], [s.size for s in seen], [s.human for s in seen])
    )
    raters = np.asarray([s.labels for s in seen], dtype=np.float64).T
    rho = QUICK[spearman]

    def of(rows: Any) -> float:
        within = []
        for a, b in combinations(raters[:, rows], 2):
            both = ~(np.isnan(a) | np.isnan(b))
            if both.sum() > 2:
                within.append(rho(a[both], b[both]))
        kept = [r for r in within if math.isfinite(r)]
        one = sum(kept) / len(kept) if kept else math.nan
        times = (~np.isnan(raters[:, rows])).sum() / len(rows)
        reliability = times * one / (1 + (times - 1) * one)
        if not reliability > LEAST_RELIABLE:
            return math.nan
        a, b, c = score[rows], long[rows], human[rows]
        return float(rho(a, b) - rho(a, c) * rho(c, b) / reliability)

    value = of(np.arange(len(seen)))
    if not math.isfinite(value):
        return undefined(name, len(seen), "no two people agree enough with each other")
    note = "beyond what people's labels explain, their noise allowed for"
    return Figure(name, value, interval(len(seen), of, draws), len(seen), note)


def _quartiles(seen: Sequence[Seen], draws: int) -> Iterable[Figure]:
    """Mean score of the shortest quarter of the answers to the longest; answers of one length stay together."""
    order = sorted(seen, key=lambda s: (s.size, s.sample))
    if len(order) < 4 * ENOUGH:
        return
    lengths = [s.size for s in order]
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
        for x in ([s.score for s in seen], [s.size for s in seen], [s.human for s in seen])
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
                apart = [s.score - s.human for s in labelled if s.human is not None]
                note = "judge less people"
                figures.append(replace(mean_of("mean_difference", apart, note, draws), subset=subset))
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
    differences = [f for f in figures if f.statistic == "mean_difference" and f.n >= ENOUGH]
    means = [f for f in figures if f.statistic == "mean_score" and f.n >= ENOUGH]
    if len(means) < 2:
        told = ", ".join(f"{name}: {len(m)}" for name, m in sorted(groups.items()))
        return Finding(
            "language", about, f"Language: too few scripts to compare ({told or 'no answers'}).", figures
        )
    by_people = len(differences) > 1
    compared = differences if by_people else means
    told = ", ".join(f"{f.subset.removeprefix('script ')} {f.value:.2f}{ranged(f)}" for f in compared)
    differ = any(_outside(a, b) for k, a in enumerate(compared) for b in compared[:k])
    if by_people:
        what, end = "judge less people by script", "it is kinder to one than people are" if differ else ""
    else:
        what = "mean score by script"
        end = (
            "scripts score differently; whether their answers do, labels by people would tell"
            if differ
            else ""
        )
    return Finding(
        "language", about, f"Language: {what} {told}: {end or 'none apart beyond chance'}.", figures
    )


def _outside(a: Figure, b: Figure) -> bool:
    """Do their intervals lie apart?"""
    return bool(a.ci and b.ci and (a.ci[1] < b.ci[0] or b.ci[1] < a.ci[0]))


def script(text: str) -> str:
    """The script a text is of: "Latin", "Han", "Cyrillic", ...; "none" without a letter.

    Words are counted: a run of letters, or two thirds of a Han character. Where a second script has more than a quarter
    of them, both are named, the greater first ("Han and Latin"). Kana beside Han is "Japanese".
    """
    counts: Counter[str] = Counter()
    before = ""
    for c in text[:4000]:
        name = ""
        if c.isalpha():
            name = unicodedata.name(c, "?").partition(" ")[0]
            name = (
                "Han" if name == "CJK" else "Kana" if name in ("HIRAGANA", "KATAKANA") else name.capitalize()
            )
            if name in UNSPACED:
                counts[name] += 2
            elif name != before:
                counts[name] += 3
        elif (before and unicodedata.combining(c)) or c in "'\u2019":
            name = before
        before = name
    if counts["Kana"]:
        counts["Japanese"] = counts.pop("Kana") + counts.pop("Han", 0)
    counts = +counts
    if not counts:
        return "none"
    (first, _), *others = counts.most_common(2)
    if others and 4 * others[0][1] > counts.total():
        return f"{first} and {others[0][0]}"
    return first


UNSPACED = frozenset(("Han", "Kana", "Thai", "Lao", "Khmer", "Myanmar"))
"""Scripts that set no blanks between words: their letters are counted."""
LOOKS: Mapping[str, Callable[..., Finding]] = {"length": length, "language": language}
"""Probes that need no calls."""


def ranged(figure: Figure) -> str:
    return f" [{figure.ci[0]:.2f}, {figure.ci[1]:.2f}]" if figure.ci else ""
