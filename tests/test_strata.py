"""Numbers that weigh strata, that settle in the data set's order, that are rounded first; and the cells they fill."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.overalls import overall_result
from evalkit.pools import Strata, stratified, stratum_row
from evalkit.records import Score, Verdict
from evalkit.results import build_results
from evalkit.stats import estimate
from evalkit.store import RunWriter
from evalkit.task import Cell, Metric, Overall, Part
from reports.runs import RunView
from reports.tables import build_tables
from tests.run_fixtures import CARD, TASK, Known, answer, fail, score, toy_plan, toy_task

HALVES = {"x": 0.5, "y": 0.5}
WEIGHED = Metric("acc", "Score", unit="1-5", scale=1.0, lo=1.0, hi=5.0, strata=Strata("domain", HALVES))


def entry_of(
    folder: Path, metric: Metric, answers: Sequence[tuple[str, str, float | None]], **more: Any
) -> dict[str, Any]:
    """Results of one task: (id, domain, value); a value of None fails the sample."""
    writer = RunWriter(folder)
    writer.write_manifest({"v": 1})
    for sample_id, group, value in answers:
        if value is None:
            fail(writer, sample_id, group=group)
        else:
            score(writer, answer(writer, sample_id, group=group), "acc", value)
    writer.close()
    task = toy_task(metric, judges=(Known("rules@1", "acc"),), groups=("domain",), **more)
    plan = toy_plan(task, n=len(answers))
    found: dict[str, Any] = build_results(writer, [plan], CARD)["tasks"][TASK]
    return found


# --- weighted strata -----------------------------------------------------------------------------


def test_strata_weigh_and_not_their_sizes(tmp_path: Path) -> None:
    found = entry_of(tmp_path, WEIGHED, [("a", "x", 5.0), ("b", "x", 4.0), ("c", "x", 3.0), ("d", "y", 1.0)])
    metric = found["metrics"]["acc"]
    assert metric["value"] == 2.5 and metric["pool"] == "weighted-strata"
    assert metric["ci"][0] <= 2.5 <= metric["ci"][1] and metric["bounds"] == [2.5, 2.5]
    assert {k: g["acc"]["value"] for k, g in found["groups"]["domain"].items()} == {"x": 4.0, "y": 1.0}


def test_bounds_know_which_stratum_failed(tmp_path: Path) -> None:
    """One failed sample of a small stratum moves the number further than one of a large stratum."""
    small = entry_of(
        tmp_path / "s", WEIGHED, [("a", "x", 3.0), ("b", "x", 3.0), ("c", "y", 3.0), ("d", "y", None)]
    )
    large = entry_of(
        tmp_path / "l", WEIGHED, [("a", "x", 3.0), ("b", "x", None), ("c", "x", 3.0), ("d", "y", 3.0)]
    )
    assert small["metrics"]["acc"]["bounds"] == [2.5, 3.5]
    assert large["metrics"]["acc"]["bounds"] == pytest.approx([3 - 1 / 3, 3 + 1 / 3])


def test_a_stratum_without_samples_gives_its_weight_away_and_one_without_weight_does_not_count(
    tmp_path: Path,
) -> None:
    found = entry_of(tmp_path, WEIGHED, [("a", "x", 4.0), ("b", "other", 1.0)])["metrics"]["acc"]
    assert (found["value"], found["n"], found["n_scored"]) == (4.0, 1, 1)


def test_equal_weights_are_the_macro_average(tmp_path: Path) -> None:
    macro = replace(WEIGHED, strata=Strata("domain"))
    answers = [("a", "x", 5.0), ("b", "x", 5.0), ("c", "y", 2.0), ("d", "z", 2.0)]
    assert entry_of(tmp_path, macro, answers)["metrics"]["acc"]["value"] == 3.0


def test_an_overall_of_strata_reaches_as_far_as_its_part(tmp_path: Path) -> None:
    answers = [("a", "x", 5.0), ("b", "x", 3.0), ("c", "y", 1.0), ("d", "y", 2.0)]
    entry = entry_of(tmp_path, WEIGHED, answers)
    task = toy_task(WEIGHED, judges=(Known("rules@1", "acc"),), groups=("domain",))
    parts = (Part(TASK), Part(TASK, 3.0))
    found = overall_result(Overall("o", "O", parts[:1], "itself"), {TASK: entry}, {TASK: toy_plan(task)})
    assert found is not None and found["value"] == 2.75
    assert found["ci"] == pytest.approx(entry["metrics"]["acc"]["ci"])
    both = overall_result(Overall("o", "O", parts, "twice"), {TASK: entry}, {TASK: toy_plan(task)})
    assert both is not None and both["value"] == 5.5
    low = 2.75 - entry["metrics"]["acc"]["ci"][0]
    assert both["ci"][0] == pytest.approx(5.5 - low * math.sqrt(1 + 9) / 2)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(1, 5)), min_size=1, max_size=30),
    st.fixed_dictionaries({k: st.floats(0.01, 1) for k in "abc"}),
)
def test_stratified_is_the_weighted_mean_of_means(
    samples: list[tuple[str, float]], weights: dict[str, float]
) -> None:
    rows = [stratum_row(weights, s, v) for s, v in samples]
    found = estimate([r for r in rows if r], stratified(weights), lo=1, hi=5).value
    means = {s: np.mean([v for t, v in samples if t == s]) for s in {s for s, _ in samples}}
    expected = sum(weights[s] * m for s, m in means.items()) / sum(weights[s] for s in means)
    assert found == pytest.approx(expected)


# --- settling and rounding -----------------------------------------------------------------------


class Stale(Known):
    """Repeats the verdict before where it has none of its own."""

    in_order = True

    def settle(self, scores: Sequence[Score]) -> list[Score]:
        out: list[Score] = []
        for s in scores:
            known = s.value if s.value is not None else (out[-1].value if out else None)
            out.append(replace(s, value=known, touched=None if s.value is not None else "stale"))
        return out


def test_verdicts_settle_in_the_order_of_the_data(tmp_path: Path) -> None:
    """Ids in another order than the data, answers on record in a third."""
    writer = RunWriter(tmp_path)
    writer.write_manifest({"v": 1})
    order: Mapping[str, tuple[int, float | None]] = {
        "c": (0, 1.0),
        "a": (1, None),
        "b": (2, 0.0),
        "d": (3, None),
    }
    for sample_id in ("d", "b", "a", "c"):
        place, value = order[sample_id]
        response = answer(writer, sample_id)
        line = {"question": "", "order": place}
        writer.append_response(TASK, response, input=f"in-{sample_id}", asked=line)
        score(writer, response, "acc", value, reason=None if value is not None else "stale: the one before")
    writer.close()
    plan = toy_plan(toy_task(Metric("acc", "Accuracy"), judges=(Stale("rules@1", "acc"),)), n=4)
    found = build_results(writer, [plan], CARD)["tasks"][TASK]["metrics"]["acc"]
    assert (found["value"], found["n_scored"], found["touched"]) == (50.0, 4, {"stale": 2})


def test_an_excluded_sample_is_counted_as_touched(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    writer.write_manifest({"v": 1})
    for sample_id, value in (("a", 1.0), ("b", None)):
        verdict = Verdict(
            "acc", value, reason="excluded: as the public scorer does" if value is None else None
        )
        response = answer(writer, sample_id)
        touched = "excluded" if value is None else None
        score(writer, response, "acc", value, reason=verdict.reason, touched=touched)
    writer.close()
    plan = toy_plan(toy_task(Metric("acc", "Accuracy"), judges=(Known("rules@1", "acc"),)), n=2)
    found = build_results(writer, [plan], CARD)["tasks"][TASK]["metrics"]["acc"]
    assert (found["value"], found["n"], found["n_scored"], found["touched"]) == (100.0, 2, 1, {"excluded": 1})


def test_a_fraction_is_rounded_before_it_is_scaled(tmp_path: Path) -> None:
    """142 of 208 prints 68.30, not 68.27: the sheet's own example in small (2 of 3)."""
    found = entry_of(
        tmp_path, Metric("acc", "Accuracy", rounds=3), [("a", "x", 1.0), ("b", "x", 1.0), ("c", "y", 0.0)]
    )
    assert found["metrics"]["acc"]["value"] == 66.7


# --- cells ---------------------------------------------------------------------------------------


def test_groups_and_languages_fill_their_own_rows(tmp_path: Path) -> None:
    """Rows of Table 5 that share a name are told apart by section and language, and filled by groups."""
    cells = (
        Cell("5", "Overall", "Overall", "en"),
        Cell("5", "Acoustic Attributes", "Emotion", "en", group=("domain", "x")),
        Cell("5", "Instruction", "Emotion", "en", group=("domain", "y")),
    )
    entry_of(tmp_path, WEIGHED, [("a", "x", 5.0), ("b", "y", 2.0)])
    task = toy_task(WEIGHED, judges=(Known("rules@1", "acc"),), groups=("domain",), cells=cells)
    results = build_results(RunWriter(tmp_path), [toy_plan(task, n=2)], CARD)
    (table,) = build_tables([RunView(tmp_path, "r1", "toy", results, {})])
    ours = {(s.title.split(": ")[-1], r.label): r.cells[-1].value for s in table.sections for r in s.rows}
    assert list(dict.fromkeys(s for s, _ in ours)) == [
        "Overall",
        "Acoustic Attributes",
        "Instruction",
    ]  # as printed
    assert not any("zh" in name for _, name in ours), "nobody ran Mandarin"
    assert {k: v for k, v in ours.items() if v is not None} == {
        ("Acoustic Attributes", "Emotion (en)"): 5.0,
        ("Instruction", "Emotion (en)"): 2.0,
        ("Overall", "Overall (en)"): 3.5,
    }
    printed = [r for s in table.sections for r in s.rows if r.label == "Emotion (en)"]
    assert all("[domain=" in r.cells[-1].signature for r in printed if r.cells[-1].value is not None)


def test_strata_before_the_first_answer_are_no_error(tmp_path: Path) -> None:
    """A run stopped before its first answer knows neither samples nor strata."""
    macro = replace(WEIGHED, strata=Strata("domain"))
    found = entry_of(tmp_path, macro, [])["metrics"]["acc"]
    assert (found["value"], found["ci"], found["bounds"], found["n"]) == (None, None, None, 0)
