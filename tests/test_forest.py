"""Forest plots: every difference at its place, margins, open ends, and any input whatever."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.figures import ForestRow, forest_svg
from tests.figure_fixtures import SVG, at, corners, parse, parts, texts


def scale_of(root: ET.Element) -> Iterator[tuple[float, float]]:
    """(x, value) of the axis' ticks."""
    lines = root.findall(SVG + "line")
    labels = [
        t
        for t in root.findall(SVG + "text")
        if t.get("font-size") == "11" and t.get("text-anchor") == "middle"
    ]
    for e in lines:
        label = next(t for t in labels if t.get("x") == e.get("x1"))
        yield float(e.attrib["x1"]), float((label.text or "").replace("\u2212", "-"))


def test_a_forest_plot_puts_everything_at_its_place() -> None:
    rows = [
        ForestRow("a", -2.7, (-4.4, -1.0), 1.0, "REGRESSION"),
        ForestRow("wer", -0.3, (-0.6, 0.1), -0.5, "pass", higher_is_better=False),
        ForestRow("rating", 0.1, (-0.1, 0.3), None, "inconclusive", width=4),
        ForestRow("none", None, None, 1.0, "not comparable"),
    ]
    root = parse(forest_svg(rows, standalone=True))
    (x0, v0), *_, (x1, v1) = scale_of(root)

    def x(value: float) -> float:
        return x0 + (x1 - x0) * (value - v0) / (v1 - v0)

    groups = root.findall(SVG + "g")
    assert len(groups) == 4
    want = [(-2.7, -4.4, -1.0, -1.0), (0.3, -0.1, 0.6, -0.5), (2.5, -2.5, 7.5, None)]
    for group, (point, lo, hi, margin) in zip(groups, want, strict=False):
        assert at(parts(group, "ci")[0], "x1", "x2") == pytest.approx([x(lo), x(hi)], abs=0.02)
        shape = parts(group, "point")[0]
        spot = (
            float(shape.attrib["cx"])
            if "cx" in shape.attrib
            else sum(a for a, _ in corners(shape)) / len(corners(shape))
        )
        assert spot == pytest.approx(x(point), abs=0.02)
        drawn = [float(e.attrib["x1"]) for e in parts(group, "margin")]
        assert drawn == ([] if margin is None else [pytest.approx(x(margin), abs=0.02)])
    assert not parts(groups[3], "point") and "\u2013 not comparable" in texts(groups[3])
    assert "\u22122.70 [\u22124.40, \u22121.00] REGRESSION" in texts(groups[0])
    shapes = [parts(g, "point")[0].tag for g in groups[:3]]
    assert shapes == [SVG + "polygon", SVG + "circle", SVG + "polygon"]  # told apart without colour
    about = root.find(SVG + "desc")
    assert about is not None and "wer: \u22120.30 [\u22120.60, +0.10], margin 0.50, pass" in (
        about.text or ""
    )


def test_forest_plots_of_nothing_and_of_open_intervals() -> None:
    assert "No rows." in forest_svg([])
    parse(forest_svg([]))
    root = parse(forest_svg([ForestRow("one-sided", 0.5, (-0.9, math.inf), 1.0)]))
    assert len(list(root.iter(SVG + "path"))) == 1  # an arrow instead of a cap
    assert "+0.50 [\u22120.90, +\u221e]" in " ".join(texts(root))
    parse(forest_svg([ForestRow("same", 0.0, (0.0, 0.0), 0.0)]))


numbers = st.one_of(st.floats(-1e6, 1e6), st.just(math.inf), st.just(-math.inf), st.just(math.nan))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=12), numbers, numbers, numbers, st.booleans()), max_size=5))
def test_a_forest_plot_of_anything_is_a_picture(
    rows: list[tuple[str, float, float, float, bool]],
) -> None:
    made = [ForestRow(t, d, (a, b), abs(a), t, higher_is_better=up) for t, d, a, b, up in rows]
    root = parse(forest_svg(made))
    wide = float(root.attrib["width"])
    for e in parts(root, "ci"):
        assert all(-0.01 <= v <= wide + 0.01 for v in at(e, "x1", "x2"))
