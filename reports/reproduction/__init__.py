"""The reproduction ledger: printed numbers, what runs made of them, how and when. Only reads run directories."""

from __future__ import annotations

from reports.reproduction.book import LEDGER, Ledger, append, appendable, latest, of_run, read
from reports.reproduction.lines import Line, Made, fillers, lines_of
from reports.reproduction.shown import Sheet, sheets
from reports.reproduction.whom import compared_with, models_of, tables

__all__ = [
    "LEDGER",
    "Ledger",
    "Line",
    "Made",
    "Sheet",
    "append",
    "appendable",
    "compared_with",
    "fillers",
    "latest",
    "lines_of",
    "models_of",
    "of_run",
    "read",
    "sheets",
    "tables",
]
