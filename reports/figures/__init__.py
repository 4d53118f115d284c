"""Pictures as SVG (and PNG): Figure 1 of the report, forest plots of differences."""

from __future__ import annotations

from reports.figures.forest import ForestRow, forest_svg

__all__ = ["ForestRow", "forest_svg"]
