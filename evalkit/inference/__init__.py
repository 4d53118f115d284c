"""Statistics of differences: paired tests, intervals, corrections, power. Arrays in, numbers out; nothing is read."""

from evalkit.inference.compare import NothingToCompare, compare
from evalkit.inference.multiple import holm
from evalkit.inference.rows import Difference, PairedRows

__all__ = ["Difference", "NothingToCompare", "PairedRows", "compare", "holm"]
