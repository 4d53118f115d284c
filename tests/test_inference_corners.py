"""Differences of two runs: corners, clusters, the same bytes whatever the order, chunks and threads."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.inference import (
    Difference,
    NothingToCompare,
    PairedRows,
    compare,
)
from evalkit.pools import MEAN, stratified
from tests.inference_fixtures import (
    AGAIN,
    ERRORS,
    LENGTH,
    OTHERS,
    RATED,
    RNG,
    Array,
    ratings,
    words,
)

ROOT = Path(__file__).parent.parent


# --- corners ---------------------------------------------------------------------------------------


def finite(d: Difference) -> bool:
    numbers = [d.a, d.b, d.delta, *(d.ci or ()), *(x for x in (d.p, d.se, d.effect) if x is not None)]
    return all(math.isfinite(x) for x in numbers)


cells = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 3), st.integers(0, 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(cells, min_size=1, max_size=9), st.booleans())
def test_no_nan_leaks(found: list[tuple[int, int, int, int]], grouped: bool) -> None:
    a, b, length, codes = (np.array(x) for x in zip(*found, strict=True))
    rows = words(a, b, length, clusters=codes if grouped else None)
    if length.sum() == 0:
        with pytest.raises(NothingToCompare):
            compare(rows, seed=0, draws=200)
        return
    d = compare(rows, seed=0, draws=200)
    assert finite(d)
    assert d.wins + d.losses + d.ties == d.n == len(a)
    if d.ci is not None:
        assert d.ci[0] <= d.delta + 1e-9 and d.delta - 1e-9 <= d.ci[1]
    if d.clusters < 2:
        assert d.ci is None or d.test == "mcnemar-exact"


def test_no_samples_is_a_sentence() -> None:
    with pytest.raises(NothingToCompare, match="nothing to compare"):
        compare(PairedRows(np.zeros((0, 2)), np.zeros((0, 2)), MEAN), seed=0)
    with pytest.raises(ValueError, match="level"):
        compare(ratings([1, 2], [2, 2]), seed=0, level=95)
    with pytest.raises(ValueError, match="paired"):
        compare(PairedRows(np.ones((3, 2)), np.ones((2, 2)), MEAN), seed=0)
    with pytest.raises(ValueError, match="draws"):
        compare(ratings([1, 2], [2, 2]), seed=0, draws=10)


def test_one_sample_and_one_cluster_have_no_interval() -> None:
    one = compare(ratings([2], [4]), seed=0)
    assert (one.ci, one.p, one.se, one.delta, one.wins) == (None, None, None, 2.0, 1)
    lone = compare(words(ERRORS, OTHERS, LENGTH, clusters=np.zeros(300, dtype=int)), seed=0)
    assert (lone.ci, lone.p, lone.clusters) == (None, None, 1)


def test_two_samples_say_next_to_nothing() -> None:
    found = compare(ratings([2, 3], [4, 4]), seed=0)
    assert found.ci == (-4.0, 4.0) and found.p == 0.5


def test_all_ties_are_no_proof_of_equality() -> None:
    same = compare(ratings([3] * 96, [3] * 96), seed=0)
    z2 = 1.959963984540054**2
    assert same.ci == pytest.approx((-4 * z2 / (96 + z2), 4 * z2 / (96 + z2)))
    assert (same.p, same.ties, same.ci_method) == (1.0, 96, "score(all alike)")
    heard = compare(words(ERRORS, ERRORS, LENGTH), seed=0)
    assert heard.ci == pytest.approx((-100 * z2 / (300 + z2), 100 * z2 / (300 + z2)))


def test_an_interval_stays_within_what_is_possible() -> None:
    found = compare(ratings([1, 1, 1, 5], [5, 5, 5, 4]), seed=0)
    assert found.ci is not None and found.ci[1] == 4.0


def test_a_sample_without_words_is_decided_by_its_errors() -> None:
    found = compare(words([0, 2, 1], [1, 0, 1], [0, 0, 5]), seed=0)
    assert (found.wins, found.losses, found.ties) == (1, 1, 1)


def test_draws_without_a_number_are_told() -> None:
    """Nine of ten utterances without words: many draws have nothing to divide by."""
    found = compare(words([1] * 10, [2] * 10, [5] + [0] * 9), seed=0, draws=400)
    assert found.ci_method == "student-t" and found.ci is not None and finite(found)


def test_clusters_widen_the_interval() -> None:
    codes = np.repeat(np.arange(30), 10)
    gain = np.repeat(RNG.choice([-1, 0, 1], 30), 10)
    rows = words(ERRORS + 1, ERRORS + 1 + gain, LENGTH)
    alone, grouped = compare(rows, seed=0), compare(replace(rows, clusters=codes * 7 + 3), seed=0)
    assert alone.ci is not None and grouped.ci is not None and alone.p is not None and grouped.p is not None
    assert grouped.ci[1] - grouped.ci[0] > 1.5 * (alone.ci[1] - alone.ci[0])
    assert grouped.p > alone.p and (grouped.clusters, grouped.wins) == (30, alone.wins)


# --- the same bytes --------------------------------------------------------------------------------


def test_the_same_call_gives_the_same_bytes_and_order_does_not_matter() -> None:
    rows = words(ERRORS + 0.1, OTHERS + 0.1, LENGTH + 0.3)
    turned = replace(rows, a=rows.a[::-1], b=rows.b[::-1])
    first = compare(rows, seed=5)
    assert first == compare(rows, seed=5)
    again = compare(turned, seed=5)
    assert (first.ci, first.p, first.se) == (again.ci, again.p, again.se)
    assert first.ci != compare(rows, seed=6).ci


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = words(ERRORS, OTHERS + 0.3, LENGTH)
    whole = compare(rows, seed=5, draws=700)
    monkeypatch.setattr("evalkit.resampling.CELLS", 4000)
    monkeypatch.setattr("evalkit.resampling.BLOCK", 900)
    assert compare(rows, seed=5, draws=700) == whole


def test_threads_do_not_matter() -> None:
    code = (
        "import numpy as np; from evalkit.inference import *; from evalkit.pools import pooled\n"
        "r = np.random.default_rng(0); n = 9000; a = r.random((n, 2)) + .1\n"
        "b = a + np.array([1, 0]) * r.normal(0, .1, (n, 1))\n"
        "print(repr(compare(PairedRows(a, b, pooled('e', 'l'), hi=np.inf), seed=1, draws=300)))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(said) == 1 and "bootstrap-t(300)" in said.pop()


def test_swapping_the_runs_turns_the_difference_round() -> None:
    there, back = compare(ratings(RATED, AGAIN), seed=0), compare(ratings(AGAIN, RATED), seed=0)
    assert there.ci is not None and back.ci is not None
    assert (there.delta, there.wins) == (-back.delta, back.losses)
    assert there.ci == pytest.approx((-back.ci[1], -back.ci[0]), abs=0.02)


def test_a_few_speakers_who_hold_most_of_the_samples() -> None:
    """Eight clusters of which one holds most: the spread is seen as by fewer, so the interval is wider."""
    rng = np.random.default_rng(3)
    held = 0
    for seed in range(150):
        sizes = np.maximum(1, (20 * rng.pareto(1.5, 8)).astype(int)).clip(1, 240)
        codes = np.repeat(np.arange(8), sizes)
        gap = rng.normal(0.0, 0.05, 8)[codes]
        a = rng.normal(3.0, 0.3, len(codes))
        d = compare(
            ratings(a, a + gap + rng.normal(0, 0.1, len(codes)), clusters=codes), seed=seed, draws=200
        )
        assert d.ci is not None
        held += d.ci[0] <= 0 <= d.ci[1]
    assert held >= 0.93 * 150  # 89 % where clusters are only counted


def test_no_difference_but_rounding() -> None:
    """A macro mean of thirds: what rounding leaves of no difference is none, and p is 1."""
    pool = stratified({str(k): 1 / 3 for k in range(3)})
    strata = np.repeat(np.arange(3), 3)

    def rows(*values: int) -> Array:
        out = np.zeros((9, 6))
        out[np.arange(9), 2 * strata], out[np.arange(9), 2 * strata + 1] = values, 1.0
        return out

    a, b = rows(1, 1, 1, 0, 1, 1, 0, 0, 1), rows(1, 0, 1, 0, 1, 0, 1, 1, 1)
    d = compare(PairedRows(a, b, pool, 100.0), seed=1, draws=1000)
    assert (d.delta, d.p, d.effect) == (0.0, 1.0, 0.0) and d.ci is not None and d.ci[0] < 0 < d.ci[1]
