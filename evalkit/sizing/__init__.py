"""How many samples a task needs to tell two checkpoints apart, and what the samples there are can tell.

The noise of a task is taken from the best there is: two runs, one run, a printed number, an assumption. Which one
it was stands in every row. The formulas: `evalkit.inference.power`; in words: docs/plan.md.
"""

from evalkit.sizing.answers import OverallSizing, Sizing, size, size_overall
from evalkit.sizing.numbers import Number, number_in, number_of
from evalkit.sizing.question import REFERENCE, Question

__all__ = [
    "REFERENCE",
    "Number",
    "OverallSizing",
    "Question",
    "Sizing",
    "number_in",
    "number_of",
    "size",
    "size_overall",
]
