"""Comparisons in notebooks: `evalkit.compare("runs/a", "runs/b").frame()`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import UsageError
from reports.comparison.build import compare_runs
from reports.comparison.csvout import COLUMNS, PAIR_COLUMNS, line_rows, pair_rows
from reports.comparison.model import Comparison
from reports.comparison.settings import HEADLINE

if TYPE_CHECKING:
    import pandas as pd


def compare(
    *runs: Path | str,
    all_pairs: bool = False,
    tasks: Sequence[str] = (),
    metrics: Sequence[str] = (HEADLINE,),
    groups: bool = False,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
    allow: Sequence[str] = (),
    published: Sequence[str] = (),
) -> Comparison:
    """Compare run directories, the baseline first: `evalkit.compare("runs/main", "runs/pr-412")`.

    What the options mean, what comes back and what is raised: `reports.comparison.compare_runs`.
    """
    return compare_runs(
        runs,
        all_pairs=all_pairs,
        tasks=tasks,
        metrics=metrics,
        groups=groups,
        level=level,
        draws=draws,
        seed=seed,
        allow=allow,
        published=published,
    )


def frame_of(c: Comparison) -> pd.DataFrame:
    """One row per line, with the columns of compare.csv. Raises UsageError where pandas isn't installed."""
    return _frame(line_rows(c), COLUMNS)


def pairs_of(c: Comparison) -> pd.DataFrame:
    """One row per sample and line, with the columns of compare_pairs.csv. Raises UsageError without pandas."""
    return _frame(pair_rows(c), PAIR_COLUMNS)


def _frame(rows: Iterator[list[Any]], columns: Sequence[str]) -> pd.DataFrame:
    try:
        import pandas as pd
    except ImportError as exc:
        raise UsageError("a comparison's frame needs pandas: pip install pandas") from exc
    return pd.DataFrame([[_sound(x) for x in row] for row in rows], columns=list(columns))


def _sound(value: Any) -> Any:
    """Text that Arrow can hold: a lone surrogate is no character."""
    return (
        value.encode("utf-8", "replace").decode() if isinstance(value, str) and not value.isascii() else value
    )
