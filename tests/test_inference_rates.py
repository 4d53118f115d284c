"""Tests and intervals hold their level: a small version of bench/inference_checks.py (docs/statistics.md shows it)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import bench.inference_checks as checks
from bench.inference_worlds import TOP, Rng, World, accuracy, clustered, ratings, wer
from evalkit.inference import Difference, combined, compare

REPS = 300
FAR = 4.0
"""Percentage points: rates of 5 % and 95 % stray further once in a thousand times of 300 repetitions."""


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "DRAWS", 400)


@pytest.mark.parametrize(
    "world",
    [
        accuracy(100, 0.7, 0.3, 15.0),
        ratings(100, TOP, 0.6, -0.4, "near the top"),
        wer(200, 0.0, 2.5, "usual"),
        clustered(12, 15, 9.0, "groups"),
    ],
    ids=lambda w: w.what,
)
def test_levels_are_held_and_differences_found(world: World) -> None:
    found = checks.paired(world, REPS)
    assert found.type_1 is not None and found.null is not None and found.power is not None
    assert found.type_1 <= 5 + FAR
    assert found.null == pytest.approx(95.5, abs=FAR) and found.held == pytest.approx(95.0, abs=FAR + 0.5)
    assert found.power > 60 - FAR * 4


def test_what_is_blind_to_groups_finds_too_much() -> None:
    """The same simulation sees a wrong analysis: 40 samples of a group that are taken to be independent."""
    world = clustered(20, 40, 5.0, "groups")

    def blind(rng: Rng, delta: float, seed: int) -> Difference:
        return compare(replace(world.draw(rng, delta), clusters=None), seed=seed, draws=checks.DRAWS)

    found = checks.measured("blind", blind, 5.0, REPS)
    assert found.type_1 is not None and found.type_1 > 5 + FAR
    assert found.held < 95 - FAR


def test_a_printed_number_and_an_overall_hold_theirs() -> None:
    printed = checks.against_printed(accuracy(200, 0.7, 0.2, 0.0), 200, 15.0, REPS)
    assert printed.type_1 == pytest.approx(5.0, abs=FAR) and printed.held == pytest.approx(95.0, abs=FAR)
    parts = [(accuracy(100, 0.7, 0.2, 0.0), 1.0), (accuracy(200, 0.8, 0.2, 0.0), 1.0)]

    def whole(rng: Rng, delta: float, seed: int) -> Difference:
        return combined([(compare(w.draw(rng, delta), seed=seed), f) for w, f in parts])

    overall = checks.measured("overall", whole, 8.0, REPS)
    assert overall.type_1 == pytest.approx(5.0, abs=FAR) and overall.held == pytest.approx(95.0, abs=FAR)


def test_one_number_is_where_its_interval_says() -> None:
    for world in (wer(300, 0.0, 0.0, "usual"), ratings(100, TOP, 0.6, 0.0, "near the top")):
        assert checks.one_number(world, 200).held == pytest.approx(95.0, abs=FAR + 1)


def test_worlds_have_the_difference_they_say() -> None:
    """Else coverage would be of something else."""
    for world in checks.WORLDS:
        rng, told, drawn = np.random.default_rng(3), [], 0
        while drawn < 60_000:
            rows = world.draw(rng, world.effect)
            of = [float(rows.pool.formula(x.sum(axis=0))) * rows.scale for x in (rows.a, rows.b)]
            told.append(of[1] - of[0])
            drawn += rows.n
        error = float(np.std(told, ddof=1)) / len(told) ** 0.5
        assert float(np.mean(told)) == pytest.approx(world.effect, abs=4.5 * error), world.what


def test_the_table_is_markdown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "jobs", lambda reps: iter([(checks.paired, (checks.WORLDS[0].what, reps))]))
    checks.main(["--reps", "20"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| accuracy 70%, 30% differ, n=20 | mcnemar-exact | ")
    assert {line.count("|") for line in lines[:3]} == {len(checks.HEAD) + 1}
    assert "Monte Carlo error" in lines[-1]
