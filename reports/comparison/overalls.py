"""The lines of a benchmark's overalls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reports.comparison.model import Line, Side

if TYPE_CHECKING:
    from reports.comparison.build import Settings


def overall_lines(
    a: Side, b: Side, benchmark: str, tasks: Sequence[Line], chosen: Settings
) -> Iterator[Line]:
    """A line per overall that both runs have."""
    yield from ()
