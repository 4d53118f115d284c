"""Pictures as SVG (and PNG): Figure 1 of the report, forest plots of differences."""

from __future__ import annotations

from reports.figures.drawing import axes_filled, draw_figure, figure_svg, inline_figure
from reports.figures.forest import ForestRow, forest_svg

__all__ = ["ForestRow", "axes_filled", "draw_figure", "figure_svg", "forest_svg", "inline_figure"]
