"""Statistics of differences: paired tests, intervals, corrections, power. Arrays in, numbers out; nothing is read."""

from evalkit.inference.combined import combined
from evalkit.inference.compare import NothingToCompare, compare
from evalkit.inference.multiple import holm
from evalkit.inference.rows import Difference, PairedRows
from evalkit.inference.unpaired import OneRun, OneValue, unpaired

__all__ = [
    "Difference",
    "NothingToCompare",
    "OneRun",
    "OneValue",
    "PairedRows",
    "combined",
    "compare",
    "holm",
    "unpaired",
]
