"""Runs compared sample by sample: which numbers differ, by how much, how sure that is, and in which samples."""

from __future__ import annotations

from reports.comparison.build import compare_runs
from reports.comparison.model import Comparison, Coverage, Line, Pairs, Part, Side
from reports.comparison.settings import ALLOWABLE

__all__ = ["ALLOWABLE", "Comparison", "Coverage", "Line", "Pairs", "Part", "Side", "compare_runs"]
