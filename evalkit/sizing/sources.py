"""Where the noise of a number comes from, best first: two runs, one run, a printed number, an assumption."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evalkit.errors import UsageError
from evalkit.inference.power import Noise, of_accuracy, of_sd, smoothed
from evalkit.pairs import Paired, RunSegments, incomparable, metric_of, pairs_of
from evalkit.sizing.numbers import Number
from evalkit.sizing.question import Question

if TYPE_CHECKING:
    from evalkit.inference.noise import Observed

SPREAD = 0.6
"""Where ratings have a mean but no samples: their sd, as a share of the largest that the mean leaves room for."""
FEW = 10
"""Disagreements below which a discordance is a rough guess."""
FEW_CLUSTERS = 30
"""Clusters below which the normal approximation, and the intraclass correlation, are rough."""
RATED = 4.0
"""Length of the scale that `Question.sd` is about: 1-5."""


@dataclass(frozen=True)
class Basis:
    """What the answer for a number rests on.

    Attributes:
        source: "pair of runs", "one run", "published", "assumed" or "unknown"; told: the same in words.
        n: samples there are; None where nobody says.
        noise, unpaired: of one sample's difference; None where unknown.
        value: the number that the noise belongs to, printed.
        correlation: between two runs' values of one sample, measured or assumed.
        clusters, icc: how many clusters, and how alike samples are within.
        notes: sentences for the reader.
    """

    source: str
    told: str
    n: int | None
    noise: Noise | None = None
    unpaired: Noise | None = None
    value: float | None = None
    correlation: float | None = None
    clusters: int | None = None
    icc: float | None = None
    notes: tuple[str, ...] = ()


def basis(number: Number, runs: Sequence[RunSegments], asked: Question, published: int | None) -> Basis:
    """The best there is; what keeps a better source from being used is noted.

    Args:
        runs: those that have the task: none, one, or baseline and candidate.
        published: samples of the published set, where printed numbers have to do.
    """
    notes: list[str] = []
    ways = [of_pair, of_single] if len(runs) > 1 else [of_single] if runs else []
    for way in ways:
        try:
            found = way(number, runs, asked)
            return replace(found, notes=(*notes, *found.notes))
        except (UsageError, ValueError) as exc:
            notes.append(f"{number.task}: {str(exc).removeprefix(number.task + ': ').rstrip('.')}.")
    return of_none(replace(number, expected=published), asked, tuple(dict.fromkeys(notes)))


# --- from samples ----------------------------------------------------------------------------------


def of_pair(number: Number, runs: Sequence[RunSegments], asked: Question) -> Basis:
    """Two runs on the same samples. Raises UsageError or ValueError where they can't be used."""
    from evalkit.inference.noise import of_pair as measure

    one, two = runs[0], runs[1]
    _check_given(number, (one, two))
    paired = pairs_of(one, two, number.task, number.metric)
    found = measure(paired.rows)
    if found.flat:
        raise ValueError(f"the two runs have the same value on each of {found.n:,} samples")
    notes = [*_disagreements(found, number), *_left_out(paired, number)]
    differ = incomparable(one.entry(number.task), two.entry(number.task), number.metric)
    if parts := [p for p in differ if p != "n"]:
        notes.append(f"{number.task}: the two runs differ in {', '.join(parts)}, not only in the model.")
    return _observed("pair of runs", "pair of runs", found, number, asked, notes)


def of_single(number: Number, runs: Sequence[RunSegments], asked: Question) -> Basis:
    """One run, and one as good imagined beside it. Raises UsageError or ValueError where it can't be used."""
    from evalkit.inference.noise import of_run

    _check_given(number, runs[:1])
    # Paired with itself: the same rows and clusters as a pair would have.
    rows = pairs_of(runs[0], runs[0], number.task, number.metric).rows
    found = of_run(
        rows.a, rows.pool, asked.correlation, scale=rows.scale, lo=rows.lo, hi=rows.hi, clusters=rows.clusters
    )
    if found.flat:
        raise ValueError(f"all {found.n:,} samples have the same value")
    return _observed("one run", f"one run{_assuming(asked)}", found, number, asked, [])


def _check_given(number: Number, runs: Sequence[RunSegments]) -> None:
    """Raises UsageError where a run withholds the number: its scored samples are no fair part of all."""
    for run in runs:
        if metric_of(run.entry(number.task), number.metric).get("withheld"):
            raise UsageError(
                f"{run.run.root.name} withholds its value, being unscored depends on the verdict"
            )


def _observed(
    source: str, told: str, found: Observed, number: Number, asked: Question, notes: list[str]
) -> Basis:
    held = found.clusters
    if held is not None:
        effect = found.unpaired.design_effect if asked.unpaired else held.effect
        kind = f" ({number.cluster})" if number.cluster else ""
        few = "; so few clusters make it a rough guess" if held.count < FEW_CLUSTERS else ""
        caution = (
            "; of the run's own values, differences of two runs often have less"
            if source == "one run"
            else ""
        )
        notes = [
            *notes,
            f"{number.task}: {found.n:,} samples in {held.count:,} clusters{kind}: design effect {effect:.2f}"
            f"{'' if asked.unpaired else caution}{few}.",
        ]
    return Basis(
        source,
        told,
        found.n,
        found.noise,
        found.unpaired,
        found.value,
        found.correlation,
        held.count if held else None,
        held.icc if held else None,
        tuple(notes),
    )


def _disagreements(found: Observed, number: Number) -> list[str]:
    psi = found.noise.discordance
    if psi is None or (count := round(psi * (found.n + 1) - 0.5)) >= FEW:
        return []
    return [f"{number.task}: the runs disagree on {count} of {found.n:,} samples only: a rough guess."]


def _left_out(paired: Paired, number: Number) -> list[str]:
    without = len(set(paired.missing_a) | set(paired.missing_b))
    alone = len(paired.only_a) + len(paired.only_b)
    said = [f"{without:,} have no score in one of the runs"] * bool(without)
    said += [f"{alone:,} are in one run only"] * bool(alone)
    return [f"{number.task}: samples left out: {', '.join(said)}."] if said else []


# --- without samples -------------------------------------------------------------------------------


def of_none(number: Number, asked: Question, notes: tuple[str, ...] = ()) -> Basis:
    """A printed number, an assumption, or nothing."""
    found = number.printed(asked.reference)
    n = number.expected
    sd = _sd(number, found, asked)
    if sd is None:
        lacking = "an error rate varies with its utterances" if number.span is None else "no mean is printed"
        return Basis(
            "unknown", f"unknown: {lacking}; give a run", n, value=found[1] if found else None, notes=notes
        )
    told, source, value = _told(number, found, asked)
    share = value / number.scale if number.is_share else 0.0
    if number.plain:
        noise = of_accuracy(_inside(share, n), asked.correlation, step=number.scale)
    else:
        noise = of_sd(sd, asked.correlation)
    more = list(notes)
    if number.cluster:
        more.append(
            f"{number.task}: samples come in clusters ({number.cluster}); their effect takes a run to see."
        )
    return Basis(source, told, n, noise, Noise(2 * sd**2), value, asked.correlation, notes=tuple(more))


def _inside(share: float, n: int | None) -> float:
    """A printed share, never quite 0 or 1."""
    return smoothed(share * (n or 1000), n or 1000)


def _sd(number: Number, found: tuple[str, float] | None, asked: Question) -> float | None:
    """Standard deviation of one sample's value, in printed points; None where nothing speaks of it."""
    span = number.span
    if span is None:
        return None
    if number.is_share:
        p = _inside(found[1] / number.scale, number.expected) if found else 0.5
        return number.scale * math.sqrt(p * (1 - p))
    if asked.sd is not None:
        return asked.sd * span / RATED
    if found is None:
        return None
    share = min(1.0, max(0.0, (found[1] - number.bottom) / span))
    return (SPREAD * span * math.sqrt(share * (1 - share))) or None


def _told(number: Number, found: tuple[str, float] | None, asked: Question) -> tuple[str, str, float]:
    """Where the noise comes from in words, the source, and the value it belongs to."""
    if number.is_rating and asked.sd is not None:
        value = found[1] if found else math.nan
        return f"assumed: sd{_assuming(asked)}", "assumed", value
    if found is None:
        return f"assumed: worst case{_assuming(asked)}", "assumed", 0.5 * number.scale
    guess = ", sd guessed" if number.is_rating else ""
    return f"printed: {found[0]}{guess}{_assuming(asked)}", "published", found[1]


def _assuming(asked: Question) -> str:
    return "" if asked.unpaired else f", r {asked.correlation:g}"
