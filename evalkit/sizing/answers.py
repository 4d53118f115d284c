"""From noise to answers: samples needed, and what can be detected, of numbers and of overalls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.errors import UsageError
from evalkit.inference.power import Noise, Rule, detectable, samples_needed
from evalkit.pairs import RunSegments
from evalkit.sizing.numbers import Number, number_in, number_of
from evalkit.sizing.question import Question
from evalkit.sizing.sources import Basis, basis
from evalkit.task import Overall, Task


@dataclass(frozen=True)
class Sizing:
    """The answer for one number.

    Attributes:
        basis: what it rests on.
        noise: of one sample's difference, as asked (paired or not); None where it is unknown.
        margin: in printed points.
        needed: samples for the margin; None where the noise is unknown or no number is enough.
        mde: smallest margin (or difference) that the samples there are have the power for, in printed points.
        mde_set: the same of the whole published set, where the samples there are are a part of it.
        unpaired_needed, unpaired_mde: the same, were the two numbers of different samples.
        notes: sentences for the reader.
    """

    number: Number
    basis: Basis
    noise: Noise | None
    margin: float
    needed: int | None = None
    mde: float | None = None
    mde_set: float | None = None
    unpaired_needed: int | None = None
    unpaired_mde: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int | None:
        """Samples there are."""
        return self.basis.n

    @property
    def enough(self) -> bool | None:
        """Are there samples enough? None where that is unknown."""
        return None if self.needed is None or self.n is None else self.n >= self.needed

    @property
    def unpaired_factor(self) -> float | None:
        """How many times as many samples two different sets would need."""
        if not self.basis.noise or not self.basis.unpaired or not self.basis.noise.variance:
            return None
        unpaired, paired = self.basis.unpaired, self.basis.noise
        return unpaired.variance * unpaired.design_effect / (paired.variance * paired.design_effect)


@dataclass(frozen=True)
class OverallSizing:
    """The answer for a benchmark's overall.

    Attributes:
        n: samples of all its tasks; mde: what they can detect, in printed points.
        factor: how many times as many samples of every task the margin needs.
    """

    name: str
    label: str
    tasks: tuple[str, ...]
    n: int
    margin: float
    mde: float
    factor: float

    @property
    def enough(self) -> bool:
        return self.mde <= self.margin


def size(
    name: str,
    runs: Sequence[RunSegments],
    declared: Task | None,
    asked: Question,
    metric: str | None = None,
) -> Sizing:
    """Size one number of a task, by the best there is.

    Args:
        name: the task.
        runs: none, one, or baseline and candidate; runs without the task are passed over.
        declared: the task in the catalogue, where it is there.
        metric: None: the headline.

    Raises:
        UsageError: the task, or its metric, is neither in a run nor in the catalogue.
    """
    having = [r for r in runs if name in r.tasks]
    if having:
        number = number_in(having[0], name, metric, declared)
    elif declared is not None:
        number = number_of(declared, metric)
    else:
        raise UsageError(f"there is no task {name!r} in these runs or in the catalogue.")
    # A run of other data than the published (a smoke set) tells no size; what is printed is of the published.
    whole_set = number.expected or (declared.expected if declared else None)
    found = basis(number, having, asked, whole_set)
    margin = asked.margin_for(number)
    noise = found.unpaired if asked.unpaired else found.noise
    if noise is None or found.unpaired is None:
        return Sizing(number, found, None, margin, notes=found.notes)
    rule = asked.rule_for(number)
    mde, whole = _mde(noise, found.n, asked, rule), None
    notes = list(found.notes)
    if found.n is not None and number.expected is not None and found.n < number.expected:
        whole = _mde(noise, number.expected, asked, rule)
        if whole is not None:
            notes.append(
                f"{name}: {found.n:,} of the set's {number.expected:,} samples are here; "
                f"all of them would detect {whole:.2g}."
            )
    return Sizing(
        number,
        found,
        noise,
        margin,
        _needed(noise, margin, asked, rule),
        mde,
        whole,
        _needed(found.unpaired, margin, asked, rule),
        _mde(found.unpaired, found.n, asked, rule),
        tuple(notes),
    )


def _needed(noise: Noise, margin: float, asked: Question, rule: Rule) -> int | None:
    if margin <= 0:  # a policy may say so: nothing can be shown to be no worse at all
        return None
    return samples_needed(noise, margin, power=asked.power, alpha=asked.alpha, rule=rule)


def _mde(noise: Noise, n: int | None, asked: Question, rule: Rule) -> float | None:
    if not n:
        return None
    return detectable(noise, n, power=asked.power, alpha=asked.alpha, rule=rule)


def size_overall(
    overall: Overall, sizings: Mapping[tuple[str, str | None], Sizing], asked: Question
) -> OverallSizing | None:
    """Size a benchmark's overall; None where one of its tasks has no samples or no known noise.

    Args:
        sizings: by task and metric, as its parts name them.
    """
    total, n, k = 0.0, 0, len(overall.parts)
    for part in overall.parts:
        found = sizings.get((part.task, part.metric))
        if found is None or found.noise is None or not found.n:
            return None
        total += (part.factor / k * found.noise.se(found.n)) ** 2
        n += found.n
    mde = detectable(Noise(0.0, fixed=total), 1, power=asked.power, alpha=asked.alpha, rule=asked.rule)
    margin = asked.margins.get(overall.name, asked.margin)
    if mde is None or not math.isfinite(mde) or margin <= 0:
        return None
    # The variance of every part, and so of the overall, falls with the samples.
    return OverallSizing(
        overall.name, overall.label, tuple(p.task for p in overall.parts), n, margin, mde, (mde / margin) ** 2
    )
