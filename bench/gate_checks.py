"""How often a gate is wrong: verdicts on simulated pairs whose true difference is known.

    python -m bench.gate_checks [--trials 4000]

Prints the table of docs/gates.md. The margin is three standard errors wide, so that an equal candidate passes with
about 85 % power.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable

import numpy as np

from evalkit.gate.verdicts import place
from evalkit.inference import PairedRows, compare
from evalkit.pools import MEAN, Pool, pooled

WER = pooled("errors", "length")
Maker = Callable[[np.random.Generator, float], PairedRows]


def accuracy(rng: np.random.Generator, drop: float) -> PairedRows:
    """1,000 answers, 80 % right, 10 % of them different in the other run; `drop` in points."""
    n, psi = 1000, 0.10
    kind = rng.random(n)
    lost, won = (psi + drop / 100) / 2, (psi - drop / 100) / 2
    a = np.where(kind < lost, 1.0, np.where(kind < lost + won, 0.0, (rng.random(n) < 0.8) * 1.0))
    b = np.where(kind < lost, 0.0, np.where(kind < lost + won, 1.0, a))
    return _rows(a, b, np.ones(n), MEAN, 100.0)


def ratings(rng: np.random.Generator, drop: float) -> PairedRows:
    """400 ratings of 1 to 5, two in three alike in both runs; `drop` in steps of the scale."""
    n = 400
    a = rng.choice([2.0, 3.0, 4.0], n, p=[0.2, 0.5, 0.3])
    change = rng.choice([-1.0, 1.0], n, p=[0.5 + 1.5 * drop, 0.5 - 1.5 * drop]) * (rng.random(n) < 1 / 3)
    return _rows(a, a + change, np.ones(n), MEAN, 1.0, lo=1.0, hi=5.0)


def wer(rng: np.random.Generator, drop: float) -> PairedRows:
    """600 utterances of 3 to 40 words, 6 % wrong, speakers' hardness in common; `drop` is a rise in points."""
    n = 600
    length = rng.integers(3, 41, n)
    hard = rng.gamma(1.0, 1.0, n)  # of the utterance, for both runs
    # Words of one utterance go wrong together, so that the mean over them is what has the true rate.
    rates = [np.minimum(0.9, rate * hard) for rate in (0.06, 0.06 + drop / 100)]
    a, b = (rng.binomial(length, r) for r in rates)
    return _rows(a * 1.0, b * 1.0, length * 1.0, WER, 100.0, hi=math.inf, higher=False)


def _rows(
    a: np.ndarray, b: np.ndarray, weight: np.ndarray, pool: Pool, scale: float, lo: float = 0.0, hi: float = 1.0,
    higher: bool = True,
) -> PairedRows:  # fmt: skip
    return PairedRows(
        np.stack([a, weight], axis=1), np.stack([b, weight], axis=1), pool, scale, None, lo, hi, higher
    )


CASES: tuple[tuple[str, Maker, float], ...] = (
    ("accuracy, n = 1,000", accuracy, 3.0),
    ("ratings 1-5, n = 400", ratings, 0.087),
    ("WER, n = 600", wer, 1.08),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=4000)
    parser.add_argument("--draws", type=int, default=1000)
    args = parser.parse_args()
    print("| numbers | margin | true loss | regression | inconclusive | pass |\n|---|---|---|---|---|---|")
    for name, make, margin in CASES:
        for share in (0.0, 0.5, 1.0, 2.0):
            rng = np.random.default_rng(7)
            said: Counter[str] = Counter()
            for trial in range(args.trials):
                found = compare(make(rng, share * margin), seed=trial, draws=args.draws)
                said[place(found.gain, found.gain_ci, "non-inferiority", margin).verdict] += 1
            shares = [f"{100 * said[v] / args.trials:.1f} %" for v in ("regression", "inconclusive", "pass")]
            print(f"| {name} | {margin:g} | {share:g} x margin | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
