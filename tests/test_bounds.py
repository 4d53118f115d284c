"""Bounds and intervals hold the number, whatever a public scorer takes for a verdict; a rating is no proportion."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.asr import DELETIONS
from evalkit.pools import VOTES, WEIGHTED, Strata
from evalkit.results import build_results
from evalkit.stats import estimate
from evalkit.store import RunWriter
from evalkit.task import Metric
from tests.run_fixtures import CARD, TASK, Known, answer, fail, score, toy_plan, toy_task

RATING: dict[str, Any] = {"scale": 1.0, "lo": 1.0, "hi": 5.0}
RATINGS = (
    Metric("acc", "Rating", **RATING),
    Metric("acc", "Votes", pool=VOTES, **RATING),
    Metric("acc", "Weighted", pool=WEIGHTED, **RATING),
    Metric("acc", "Strata", strata=Strata("domain"), **RATING),
    Metric("acc", "Rounded", rounds=1, **RATING),
)


def of(folder: Path, metric: Metric, values: list[float | None]) -> dict[str, Any]:
    """The metric's entry where the samples have these values; None is a request that failed."""
    writer = RunWriter(folder)
    writer.write_manifest({"v": 1})
    for k, value in enumerate(values):
        if value is None:
            fail(writer, f"s{k}", group="xy"[k % 2])
        else:
            counts = {"sum": 3 * value, "votes": 3, "weighted": value / 2, "weight": 0.5}
            score(writer, answer(writer, f"s{k}", group="xy"[k % 2]), "acc", value, counts)
    writer.close()
    task = toy_task(metric, judges=(Known("rules@1", "acc"),), groups=("domain",))
    found: dict[str, Any] = build_results(writer, [toy_plan(task, n=len(values))], CARD)["tasks"][TASK]
    return found["metrics"]["acc"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("metric", RATINGS, ids=lambda m: m.label)
@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.sampled_from([0.0, 1.0, 3.3, 5.0, 8.0, 10.0])), max_size=8))
def test_bounds_and_interval_hold_the_value(metric: Metric, values: list[float | None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = of(Path(folder), metric, values)
    if found["value"] is None:
        return
    for pair in (found["bounds"], found["ci"]):
        assert pair is None or pair[0] - 1e-9 <= found["value"] <= pair[1] + 1e-9


def test_a_rating_beyond_the_scale_widens_the_bounds(tmp_path: Path) -> None:
    """A public scorer that reads an 8 on a scale to 5 could have read another."""
    assert of(tmp_path, RATINGS[0], [8.0, 2.0, None])["bounds"] == pytest.approx([11 / 3, 6.0])


def test_what_is_rounded_is_rounded_with_its_bounds(tmp_path: Path) -> None:
    metric = Metric("acc", "Accuracy", rounds=3)
    found = of(tmp_path, metric, [1.0, 1.0, 0.0])
    assert found["value"] == 66.7 and found["bounds"] == [66.7, 66.7]


def test_ratings_of_one_are_no_proportion() -> None:
    rows = [[1.0, 1.0]] * 4
    found = estimate(rows, RATINGS[0].pool, lo=1.0, hi=5.0)
    assert found.ci_method == "score(all alike)" and found.ci == pytest.approx(
        (1.0, 1 + 4 * 3.8415 / 7.8415), abs=1e-3
    )
    assert estimate(rows, RATINGS[0].pool).ci_method == "wilson"


def test_a_rate_above_one_stays_within_its_bounds() -> None:
    """What wasn't reached adds at worst its deletions, or as many errors as the others have."""
    found = estimate([[30.0, 10.0]], DELETIONS, missing=1, hi=float("inf"))
    assert found.value == 3.0 and found.bounds == (1.5, 3.0)
    assert estimate([[1.0, 10.0]], DELETIONS, missing=1, hi=float("inf")).bounds == (0.05, 0.55)
