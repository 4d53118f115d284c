"""How fast two runs are compared, as ratios to plain NumPy in the same process.

    python -m bench.statistics --n 20000 --draws 10000

Made-up samples, no two alike: WER (errors and length of two runs), ratings, WER of 500 speakers, 47 strata. The plain
baseline draws indices and adds rows up one draw after another, for a percentile interval; ours also studentises every
draw. Nothing here is a test, because timings on a shared machine are not facts about the code.
"""

from __future__ import annotations

import argparse
import math
import resource
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.overhead import show
from evalkit.inference import PairedRows, compare
from evalkit.inference.units import differing, shared
from evalkit.pools import MEAN, pooled, stratified
from evalkit.resampling import bootstrap_t, sign_flips
from evalkit.stats import estimate

Array = NDArray[np.float64]
TARGET = 2.0


def utterances(n: int) -> PairedRows:
    """WER rows of which no two are alike: lengths and errors with a fraction of their own."""
    rng = np.random.default_rng(0)
    length = 1 + rng.negative_binomial(2, 2 / 11, n) + rng.random(n)
    a = np.stack([rng.binomial(20, 0.1, n) + rng.random(n), length], axis=1)
    b = a + np.stack([rng.integers(-2, 3, n) * rng.random(n), np.zeros(n)], axis=1)
    return PairedRows(a, b, pooled("errors", "length"), 100.0, hi=math.inf, higher_is_better=False)


def rated(n: int) -> PairedRows:
    rng = np.random.default_rng(1)
    a, b = (np.stack([rng.integers(1, 6, n).astype(float), np.ones(n)], axis=1) for _ in range(2))
    return PairedRows(a, b, MEAN, 1.0, lo=1.0, hi=5.0)


def layered(n: int, k: int = 47) -> PairedRows:
    rng = np.random.default_rng(2)
    codes = rng.integers(0, k, n)

    def rows() -> Array:
        out = np.zeros((n, 2 * k))
        out[np.arange(n), 2 * codes], out[np.arange(n), 2 * codes + 1] = rng.integers(0, 2, n), 1.0
        return out

    return PairedRows(rows(), rows(), stratified({str(i): 1.0 for i in range(k)}), 100.0)


def plain_bootstrap(rows: PairedRows, draws: int) -> tuple[float, float]:
    """The percentile bootstrap of the textbooks."""
    rng, n, out = np.random.default_rng(0), rows.n, np.empty(draws)
    for i in range(draws):
        picks = rng.integers(0, n, n)
        out[i] = rows.pool.formula(rows.b[picks].sum(axis=0)) - rows.pool.formula(rows.a[picks].sum(axis=0))
    low, high = np.quantile(out, [0.025, 0.975])
    return float(low), float(high)


def plain_permutation(rows: PairedRows, draws: int) -> float:
    """Swap each sample's rows by a coin, add up, pool; one draw after another."""
    rng = np.random.default_rng(0)
    observed = abs(rows.pool.formula(rows.b.sum(axis=0)) - rows.pool.formula(rows.a.sum(axis=0)))
    extreme = 0
    for _ in range(draws):
        swap = rng.integers(0, 2, rows.n, dtype=bool)[:, None]
        one, two = np.where(swap, rows.b, rows.a), np.where(swap, rows.a, rows.b)
        value = abs(rows.pool.formula(two.sum(axis=0)) - rows.pool.formula(one.sum(axis=0)))
        extreme += bool(value >= observed)
    return (extreme + 1) / (draws + 1)


def timed(what: Callable[[], object]) -> float:
    """Seconds of CPU, the better of two: other processes on the machine don't count."""
    found = []
    for _ in range(2):
        started = time.process_time()
        what()
        found.append(time.process_time() - started)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=20_000, help="paired samples")
    parser.add_argument("--draws", type=int, default=10_000)
    args = parser.parse_args()
    n, draws = args.n, args.draws
    heard = utterances(n)
    units, statistic = shared(heard.pool, heard.a, heard.b)
    varies, gaps = differing(heard.a, heard.b), heard.b - heard.a
    here, there = heard.a.sum(axis=0), heard.b.sum(axis=0)

    def swapped(moved: Array) -> Array:
        out: Array = heard.pool.formula(there - moved) - heard.pool.formula(here + moved)
        return out

    observed = float(swapped(np.zeros(2)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bootstrap = timed(lambda: bootstrap_t(units, statistic, seed=0, draws=draws, level=0.95, varies=varies))
    permutation = timed(lambda: sign_flips(gaps, swapped, observed, seed=0, draws=draws))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    few = max(1, draws // 10)
    plain = draws / few * timed(lambda: plain_bootstrap(heard, few))
    swaps = draws / few * timed(lambda: plain_permutation(heard, few))
    codes = np.random.default_rng(3).integers(0, 500, n)
    rest = {
        "compare: WER": heard,
        "compare: ratings": rated(n),
        "compare: WER of 500 speakers": replace(heard, clusters=codes),
        "compare: 47 strata (5,000 samples)": layered(min(n, 5000)),
    }
    print(f"\n{n} paired samples, {draws} draws")
    show(
        [
            (
                "bootstrap-t, all rows distinct",
                f"{bootstrap:.2f} s",
                f"<= {TARGET:.0f} s   ({plain / bootstrap:.1f} times plain NumPy's speed)",
            ),
            (
                "permutation, all rows distinct",
                f"{permutation:.2f} s",
                f"<= {TARGET:.0f} s   ({swaps / permutation:.1f} times plain NumPy's speed)",
            ),
            ("memory of both", f"{grown:.0f} MB", ""),
            *(
                (name, f"{timed(lambda r=r: compare(r, seed=0, draws=draws)):.2f} s", "")
                for name, r in rest.items()
            ),
            (
                "interval of one number, 2,000 draws",
                f"{timed(lambda: estimate(heard.a, heard.pool, hi=math.inf)):.2f} s",
                "",
            ),
        ]
    )


if __name__ == "__main__":
    main()
