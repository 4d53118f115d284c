"""Figure 1: every value at its place, gaps as gaps, and what of a run stands beside the printed models."""

from __future__ import annotations

import math
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_fixtures import HOSTILE, make_run

from reports.cells import Cell
from reports.figures import ForestRow, axes_filled, draw_figure, figure_svg, forest_svg, inline_figure
from reports.figures.bars import BarPlaces
from reports.figures.drawing import composed, panel_size, sign
from reports.figures.palette import COLOURS, pattern, style
from reports.figures.points import GAP, NO_VALUE, Column, Point, Series, columns_of, point_of, run_cell
from reports.figures.radar import Spokes
from reports.figures.spec import Axis, FigureSpec, Panel, chosen_models, figure_1
from reports.figures.svg import cut, number, ticks, width, wrap
from reports.runs import RunView, load_runs
from tests.figure_fixtures import SVG, at, corners, middle, parse, parts, texts, titled

SPEC = FigureSpec(
    "mine",
    "Mine",
    (
        Panel("bars", "Bars", (Axis("A"), Axis("B", scale=(1.0, 5.0)))),
        Panel("radar", "Radar", tuple(Axis(f"R{k}") for k in range(4))),
    ),
)


def series(label: str, values: Sequence[Sequence[float | None]], **more: Any) -> Series:
    """A series at these places, as published, or ours with intervals of 3 to both sides."""
    ours = bool(more.get("ours"))
    points = tuple(
        tuple(
            GAP if v is None else Point(f"{v:.2f}", v, (max(0, v - 3), min(100, v + 3)) if ours else None)
            for v in panel
        )
        for panel in values
    )
    return Series(label, ours, points)


@pytest.mark.parametrize("models", ["Kimi-Audio", "Fun-Audio-Chat-8B,Kimi-Audio", "8B", "large", "all"])
def test_every_printed_value_stands_at_its_place(models: str) -> None:
    spec = figure_1()
    root = parse(figure_svg([], models=models, standalone=True))
    names = chosen_models(models, spec)
    bars, radar = spec.panels
    places = BarPlaces(*panel_size(bars, len(names)), len(bars.axes), len(names))
    seen = 0
    for g, axis in enumerate(bars.axes):
        for b, model in enumerate(names):
            group = titled(root, f"{model}, {axis.label}: ")
            row = next((r for r in axis.rows if model in r.values), None)
            drawn = parts(group, "bar")
            if row is None:
                assert not drawn and len(parts(group, "gap")) == 1
                continue
            assert len(drawn) == 1
            x, y, wide, high = at(drawn[0], "x", "y", "width", "height")
            value = row.value(model)
            assert value is not None and row.values[model] in "".join(texts(group))
            assert 100 * high / (places.floor - places.y(100)) == pytest.approx(value, abs=0.01)
            assert y + high == pytest.approx(places.floor, abs=0.02)
            assert places.left(g, b) <= x < x + wide <= places.left(g, b + 1) + 0.01
            seen += 1
    assert seen == sum(m in r.values for m in names for a in bars.axes for r in a.rows)
    spokes = Spokes(*panel_size(radar, len(names)), len(radar.axes))
    for model in names:
        shares = {
            k: 100 * (float(r.values[model]) - r.range[0]) / (r.range[1] - r.range[0])
            for k, axis in enumerate(radar.axes)
            for r in axis.rows
            if model in r.values and r.range
        }
        for k, axis in enumerate(radar.axes):
            if k not in shares:
                assert not any(f"{model}, {axis.label}: " in (t.text or "") for t in root.iter(SVG + "title"))
                continue
            mark = parts(titled(root, f"{model}, {axis.label}: "), "point")[0]
            x, y = middle(mark)
            want = spokes.at(k, shares[k])
            assert math.dist((x, y), want) < 0.05
    whole = [m for m in names if all(any(m in r.values for r in a.rows) for a in radar.axes)]
    lines = [e for e in parts(root, "line") if e.tag == SVG + "polygon"]
    assert len(lines) == len(whole)
    for model, e in zip(whole, lines, strict=True):
        for k, corner in enumerate(corners(e)):
            row = next(r for r in radar.axes[k].rows if model in r.values)
            assert math.dist(corner, spokes.at(k, radar.axes[k].share(float(row.values[model])))) < 0.02


def test_the_grid_says_the_places() -> None:
    """The axis that readers read off: 0 at the bars' foot, 100 as high as a full bar, rings at their share."""
    root = parse(draw_figure(SPEC, [series("full", [[100.0, 0.0], [100.0, 25.0, 50.0, 0.0]])]))
    bars, radar = (e for e in root if e.get("data-part") in ("bars", "radar"))
    y = {
        t.text: float(t.attrib["y"]) - 4 for t in bars.findall(SVG + "text") if t.get("text-anchor") == "end"
    }
    full = parts(titled(root, "full, A: 100.00"), "bar")[0]
    assert [y["100"], y["0"]] == pytest.approx(
        [float(full.attrib["y"]), sum(at(full, "y", "height"))], abs=0.01
    )
    assert [y["20"], y["80"]] == pytest.approx(
        [y["0"] + (y["100"] - y["0"]) * k for k in (0.2, 0.8)], abs=0.01
    )
    rings = [corners(e) for e in radar.findall(SVG + "polygon")][:4]
    line = corners(parts(root, "line")[0])
    assert line[0] == rings[3][0] and line[1] == rings[0][1] and line[2] == rings[1][2]


def test_intervals_are_whiskers_of_our_runs_alone() -> None:
    ours = series("run", [[70.0, 40.0], [50.0, 98.0, 10.0, 60.0]], ours=True)
    theirs = series("print", [[60.0, 30.0], [40.0, 40.0, 40.0, 40.0]])
    root = parse(draw_figure(SPEC, [theirs, ours]))
    places = BarPlaces(*panel_size(SPEC.panels[0], 2), 2, 2)
    group = titled(root, "run, A: 70.00")
    upright = [e for e in group.findall(SVG + "line") if e.get("x1") == e.get("x2")]
    assert len(upright) == 2  # the whisker, and its halo
    for e in upright:
        assert sorted(at(e, "y1", "y2")) == pytest.approx([places.y(73), places.y(67)], abs=0.01)
    assert not titled(root, "print, A: 60.00").findall(SVG + "line")
    spokes = Spokes(*panel_size(SPEC.panels[1], 2), 4)
    whiskers = parts(root, "ci")
    assert len(whiskers) == 4
    for k, (lo, hi) in enumerate([(47, 53), (95, 100), (7, 13), (57, 63)]):
        x1, y1, x2, y2 = at(whiskers[k], "x1", "y1", "x2", "y2")
        assert math.dist((x1, y1), spokes.at(k, lo)) < 0.02 and math.dist((x2, y2), spokes.at(k, hi)) < 0.02


def test_a_missing_value_is_a_gap_and_never_zero() -> None:
    holes = series("holes", [[None, 50.0], [50.0, None, 60.0, 70.0]], ours=True)
    root = parse(draw_figure(SPEC, [holes]))
    group = titled(root, "holes, A: no value")
    assert not parts(group, "bar") and list(texts(group)) == ["\u2013"]
    lines = parts(root, "line")
    spokes = Spokes(*panel_size(SPEC.panels[1], 1), 4)
    ends = {
        (round(x1), round(y1), round(x2), round(y2))
        for x1, y1, x2, y2 in (at(e, "x1", "y1", "x2", "y2") for e in lines)
    }
    spot = {k: tuple(round(v) for v in spokes.at(k, s)) for k, s in ((0, 50), (2, 60), (3, 70))}
    assert ends == {(*spot[2], *spot[3]), (*spot[3], *spot[0])}  # nothing crosses the gap at axis 1
    assert len(parts(root, "point")) == 3
    assert "holes (4 of 6)" in texts(root)
    assert "A: holes no value." in (root.find(SVG + "desc").text or "")  # type: ignore[union-attr]
    zero = parse(draw_figure(SPEC, [series("zero", [[0.0, 50.0], [0.0, 0.0, 0.0, 0.0]])]))
    assert len(parts(titled(zero, "zero, A: 0.00"), "bar")) == 1  # a true zero is no gap
    assert not parts(zero, "gap")


def test_a_withheld_value_shows_between_what_it_lies() -> None:
    point = Point("\u2013", None, None, (40.0, 60.0), (NO_VALUE,), "3 of 4")
    held = Series("held", True, ((point, point), (point,) * 4))
    root = parse(draw_figure(SPEC, [held, series("other", [[1.0, 2.0], [3.0, 4.0, 5.0, 6.0]])]))
    places = BarPlaces(*panel_size(SPEC.panels[0], 2), 2, 2)
    drawn = parts(titled(root, "held, A: no value"), "bounds")
    assert sorted(at(drawn[0], "y1", "y2")) == pytest.approx([places.y(60), places.y(40)], abs=0.01)
    assert len(parts(root, "bounds")) == 6 and len(parts(root, "bar")) == 2
    assert any("held, A 3 of 4; held, B 3 of 4" in t for t in [" ".join(texts(root))])


def test_values_off_the_scale_and_inverted_axes() -> None:
    wer = Axis("WER", scale=None, invert=True)
    assert (wer.share(4.13), wer.share(140.0), wer.scale_note) == (
        pytest.approx(95.87),
        0.0,
        "100 \u2212 value",
    )
    likert = Axis("VStyle", scale=(1.0, 5.0))
    assert [likert.share(v) for v in (1.0, 3.0, 5.0)] == [0.0, 50.0, 100.0]
    off = point_of(Cell(value=112.0, text="112.00"), wer)
    assert (off.text, off.at, off.notes) == ("112.00", 0.0, ("off its axis: drawn at the end",))
    assert not point_of(Cell(value=5.0, text="5.00"), likert).notes
    assert likert.scale_note == "1\u20135" and Axis("A").scale_note == ""


def test_many_series_stay_apart() -> None:
    """Colour, hatch, marker and dash all differ up to eight; colour with hatch far beyond."""
    eight = [style(i) for i in range(8)]
    for feature in ("fill", "hatch", "marker", "dash"):
        assert len({getattr(s, feature) for s in eight}) == 8
    assert len({(style(i).fill, style(i).hatch) for i in range(64)}) == 64
    assert {bool(pattern("x", s)) for s in eight if s.hatch != "solid"} == {True}
    many = [series(f"m{i}", [[50.0, 50.0], [50.0] * 4]) for i in range(30)]
    assert len(parts(parse(draw_figure(SPEC, many)), "bar")) == 60
    assert len({sign(i) for i in range(40)}) == 40


def test_panels_without_room_stand_below_and_none_leaves_the_picture() -> None:
    wide = Panel("bars", "Wide", tuple(Axis(f"axis number {k}") for k in range(16)))
    spec = FigureSpec("w", "W", (*SPEC.panels, wide, SPEC.panels[1]))
    values = [[10.0, 20.0], [30.0] * 4, [40.0] * 16, [50.0] * 4]
    root = parse(draw_figure(spec, [series("m", values)]))
    groups = [e for e in root if e.get("data-part") in ("bars", "radar")]
    spots = [tuple(map(float, re.findall(r"[\d.]+", e.attrib["transform"]))) for e in groups]
    sizes = [panel_size(p, 1) for p in spec.panels]
    boxes = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(spots, sizes, strict=True)]
    assert all(b[2] <= float(root.attrib["width"]) and b[3] <= float(root.attrib["height"]) for b in boxes)
    for i, a in enumerate(boxes):
        assert not any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for b in boxes[i + 1 :])
    assert len({y for _, y in spots}) > 1


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_strokes_are_seen_on_white_and_on_the_dark_page() -> None:
    for _, stroke in COLOURS:
        for paper_colour in ("#ffffff", "#171a1e"):
            a, b = sorted((luminance(stroke), luminance(paper_colour)))
            assert (b + 0.05) / (a + 0.05) >= 3.0, stroke


NASTY = (
    HOSTILE,
    "</svg><script>alert(1)</script>",
    "'\" onload=x &amp; ]]>",
    "\ud800\x00\u202e\ufffe",
    "中文" * 300,
)


@pytest.mark.parametrize("label", NASTY)
def test_hostile_labels_stay_text(label: str) -> None:
    spec = FigureSpec("x", label, tuple(replace(p, title=label) for p in SPEC.panels))
    spec = replace(
        spec,
        panels=tuple(replace(p, axes=tuple(replace(a, label=label) for a in p.axes)) for p in spec.panels),
    )
    one = series(label, [[50.0, None], [50.0, 60.0, 70.0, None]], ours=True)
    for standalone in (True, False):
        svg = draw_figure(spec, [one], standalone=standalone)
        parse(svg)
        svg.encode("utf-8")
        assert "<script" not in svg and "\u202e" not in svg
    forest = forest_svg([ForestRow(label, 1.0, (0.0, 2.0), 1.0, label)], title=label)
    parse(forest)
    assert "<script" not in forest and "\x00" not in forest


def test_a_picture_in_a_page_takes_its_colours_and_needs_no_style() -> None:
    svg = figure_svg([], models="8B")
    root = parse(svg)
    assert root.get("fill") == "currentColor" and "font-family" not in root.attrib
    assert not [e for e in root.iter(SVG + "rect") if e.get("fill") == "#ffffff"]
    alone = parse(figure_svg([], models="8B", standalone=True))
    assert alone.findall(SVG + "rect")[0].get("fill") == "#ffffff" and alone.get("font-family")
    assert "currentColor" not in ET.tostring(alone, encoding="unicode")


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> list[RunView]:
    return load_runs([make_run(tmp_path_factory.mktemp("figures") / "real")])


def test_marks_of_a_cell_are_told(views: list[RunView]) -> None:
    axis = figure_1().panels[0].axes[1]
    cell = run_cell(views, axis)
    assert cell is not None and cell.value is not None
    demo = point_of(replace(cell, marks=("demo", "smoke")), axis)
    assert demo.notes[:2] == ("embedded demo: no baseline of anything", "smoke data: not the benchmark")
    root = parse(draw_figure(SPEC, [Series("d", True, ((demo, demo), (demo,) * 4))]))
    assert any(t.startswith("d*\u2020") for t in texts(root))
    assert any("* embedded demo" in t for t in texts(root))
    nothing = point_of(replace(cell, value=None, bounds=(0.0, 100.0)), axis)
    assert nothing is GAP
    known = point_of(replace(cell, value=None, bounds=(20.0, 50.0), n=10, n_scored=7), axis)
    assert (known.at, known.bounds, known.detail) == (None, (20.0, 50.0), "7 of 10")


def test_a_doubtful_print_says_why() -> None:
    root = parse(figure_svg([], models="GLM-4-Voice", standalone=True))
    said = " ".join(texts(root))
    assert "59.83*" in said and "misplaced IFEval" in said


def part(view: RunView, key: str, tasks: Sequence[str], overalls: Sequence[str] = ()) -> RunView:
    """The run with some of its tasks only."""
    results = {**view.results, "tasks": {t: view.tasks[t] for t in tasks}}
    results["overall"] = {o: view.overalls[o] for o in overalls}
    return replace(view, key=key, label=f"my-model ({key})", results=results)


def test_runs_of_one_model_make_one_series(views: list[RunView]) -> None:
    tasks = list(views[0].tasks)
    halves = [part(views[0], "x", tasks[:2]), part(views[0], "y", tasks[2:])]
    assert [(c.label, len(c.runs)) for c in columns_of(halves)] == [("my-model", 2)]
    assert len(columns_of(halves, merge=False)) == 2
    twice = [part(views[0], "x", tasks[:2]), part(views[0], "y", tasks[1:])]
    assert [c.label for c in columns_of(twice)] == ["my-model (x)", "my-model (y)"]
    named = [Column("Kimi-Audio", tuple(halves))]
    labels = [s.label for s in composed(named, figure_1(), "Kimi-Audio")[1]]
    assert labels == ["Kimi-Audio", "Kimi-Audio (run)"]


def test_the_page_shows_the_picture_from_three_axes_on(views: list[RunView]) -> None:
    entry = views[0].tasks["voicebench/sd-qa"]

    def with_rows(*rows: str) -> list[RunView]:
        """The run, whose overall fills one axis, with tasks that fill these rows of Table 3."""
        cells = {r: [{"table": "3", "section": "Audio Understanding", "row": r}] for r in rows}
        tasks = {**views[0].tasks, **{f"t/{r}": {**entry, "cells": c} for r, c in cells.items()}}
        return [replace(views[0], results={**views[0].results, "tasks": tasks})]

    assert axes_filled(with_rows("MMAU")) == 2 and inline_figure(with_rows("MMAU")) == ""
    three = with_rows("MMAU", "MMSU")
    assert axes_filled(three) == 3
    titled(parse(inline_figure(three)), "my-model, MMSU: ")


@given(st.floats(-1e5, 1e5))
def test_coordinates_are_short_and_true(value: float) -> None:
    text = number(value)
    assert abs(float(text) - value) <= 0.00501 and text != "-0" and "e" not in text


def test_no_place_for_what_is_no_number() -> None:
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="no place"):
            number(value)


def test_a_name_of_100000_letters_is_cut_at_once() -> None:
    began = time.perf_counter()
    assert cut("L" * 100_000, 200.0) == cut("L" * 100, 200.0)
    assert time.perf_counter() - began < 5  # letter by letter it took minutes


@given(st.text(max_size=60), st.floats(20, 300))
def test_cut_text_fits(text: str, room: float) -> None:
    assert width(cut(text, room)) <= room
    assert all(width(x) <= room for x in wrap(text, room))


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4))
def test_ticks_cover_the_range(lo: float, span: float) -> None:
    found = ticks(lo, lo + span)
    assert found[0] <= lo + 1e-6 and found[-1] >= lo + span - 1e-6 and 2 <= len(found) <= 12
    assert found == sorted(set(found))
