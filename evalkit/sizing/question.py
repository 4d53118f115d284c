"""What is asked of every task: the margin, the rule, and what to assume where nothing was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalkit.inference.power import Rule
from evalkit.sizing.numbers import Number

REFERENCE = "Fun-Audio-Chat-8B"
MARGIN = 1.0
RATING, ERROR_RATE = 0.05, 0.5
"""Printed points of a 1-5 rating, and of an error rate, that stand for one point of 0-100; gates have them by default.

A rating counts 20-fold where it is averaged with percentages (VoiceBench's overall); error rates are small numbers.
"""


@dataclass(frozen=True)
class Question:
    """What is asked of every task.

    Attributes:
        margin: points of a 0-100 scale; 1.0 stands for 0.05 of a 1-5 rating and for 0.5 points of an error rate.
        margin_rating, margin_wer: printed points of those instead.
        rule, power, alpha: see `evalkit.inference.power`.
        correlation: assumed between the values that two checkpoints get on one sample, where no pair of runs tells.
        sd: assumed of ratings without samples, in points of a 1-5 scale; None: guessed from the mean.
        reference: the model whose printed numbers stand in where there is no run.
        unpaired: two sets of samples, or a printed number, instead of the same samples twice.
        margins, rules: printed points (also by overall) and rule by task, before all others.
    """

    margin: float = MARGIN
    margin_rating: float | None = None
    margin_wer: float | None = None
    rule: Rule = "non-inferiority"
    power: float = 0.8
    alpha: float = 0.05
    correlation: float = 0.5
    sd: float | None = None
    reference: str = REFERENCE
    unpaired: bool = False
    margins: Mapping[str, float] = field(default_factory=dict)
    rules: Mapping[str, Rule] = field(default_factory=dict)

    def margin_for(self, number: Number) -> float:
        """The margin in printed points of this number."""
        if number.task in self.margins:
            return self.margins[number.task]
        if not number.higher_is_better:
            return self.margin * ERROR_RATE if self.margin_wer is None else self.margin_wer
        if number.unit in ("1-5", "MOS"):
            return self.margin * RATING if self.margin_rating is None else self.margin_rating
        return self.margin * (100.0 if number.span is None else number.span) / 100

    def rule_for(self, number: Number) -> Rule:
        """The rule that this number is held to."""
        return self.rules.get(number.task, self.rule)
