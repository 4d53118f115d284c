"""Made-up evaluations whose true difference is known: what bench/inference_checks.py draws again and again.

Each world draws the rows of two runs over the same samples, given how far the second run's true number lies from the
first one's, on the printed scale. Shapes follow what evaluations of speech models give: few or many samples, values
near the top, ratings that mostly agree, utterances whose transcript runs away, speakers that differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.inference import PairedRows
from evalkit.pools import MEAN, VOTES, WEIGHTED, mean_of_means, pooled, stratified

Rng = np.random.Generator
Array = NDArray[np.float64]
WER = pooled("errors", "length")
TOP = np.array([0.02, 0.03, 0.10, 0.25, 0.60])
"""Shares of the ratings 1 to 5 that a good model gets."""
MIDDLE = np.array([0.08, 0.17, 0.30, 0.30, 0.15])


@dataclass(frozen=True)
class World:
    """A kind of evaluation.

    Attributes:
        what: for the table.
        draw: rows of two runs, given the true difference.
        effect: a difference in which power is measured.
    """

    what: str
    draw: Callable[[Rng, float], PairedRows]
    effect: float


def columns(*parts: Array) -> Array:
    return np.stack([np.asarray(p, dtype=np.float64) for p in parts], axis=1)


def accuracy(n: int, share: float, discordant: float, effect: float) -> World:
    """0/1 values: so many right in the first run, so many samples that one run alone gets right."""

    def draw(rng: Rng, delta: float) -> PairedRows:
        gap, u = delta / 100, rng.random(n)
        up, down = (discordant + gap) / 2, (discordant - gap) / 2
        both = share - down
        a, b = u < both + down, (u < both) | ((u >= both + down) & (u < both + down + up))
        return PairedRows(columns(a, np.ones(n)), columns(b, np.ones(n)), MEAN, 100.0)

    return World(f"accuracy {share:.0%}, {discordant:.0%} differ, n={n}", draw, effect)


def _rated(rng: Rng, n: int, shares: Array, keep: float, delta: float) -> tuple[Array, Array]:
    """Ratings of two runs: most agree, others are drawn afresh, and some of the top ones lose points."""
    a = rng.choice(5, n, p=shares) + 1
    b = np.where(rng.random(n) < keep, a, rng.choice(5, n, p=shares) + 1).astype(float)
    # A rating above 1 falls to 1 by chance: skewed, as failures are. On average each loses (mean - 1).
    fallen = rng.random(n) < -delta / (shares @ np.arange(1, 6) - 1)
    return a.astype(float), np.where(fallen, 1.0, b)


def ratings(n: int, shares: Array, keep: float, effect: float, name: str) -> World:
    """1-5 ratings."""

    def draw(rng: Rng, delta: float) -> PairedRows:
        a, b = _rated(rng, n, shares, keep, delta)
        return PairedRows(columns(a, np.ones(n)), columns(b, np.ones(n)), MEAN, 1.0, lo=1.0, hi=5.0)

    return World(f"ratings 1-5 {name}, n={n}", draw, effect)


def votes(n: int, effect: float) -> World:
    """Three ratings of each answer, correlated."""

    def draw(rng: Rng, delta: float) -> PairedRows:
        a, b = _rated(rng, n, MIDDLE, 0.5, delta)
        one, two = (np.clip(x[:, None] + rng.integers(-1, 2, (n, 3)), 0, 6).sum(axis=1) for x in (a, b))
        return PairedRows(
            columns(one, np.full(n, 3)), columns(two, np.full(n, 3)), VOTES, 1.0, lo=0.0, hi=6.0
        )

    return World(f"three votes of each answer, n={n}", draw, effect)


def weighted(n: int, effect: float) -> World:
    """1-5 ratings, each sample with its own weight."""

    def draw(rng: Rng, delta: float) -> PairedRows:
        a, b = _rated(rng, n, MIDDLE, 0.5, delta)
        w = rng.choice([1.0, 2.0, 5.0], n)
        return PairedRows(columns(a * w, w), columns(b * w, w), WEIGHTED, 1.0, lo=1.0, hi=5.0)

    return World(f"weighted ratings, n={n}", draw, effect)


def _errors(rng: Rng, length: Array, hardness: Array, runaway: float) -> Array:
    """Errors of one transcript of each utterance; a few run away to about 1.5 times the length of a usual one."""
    errors = rng.binomial(length.astype(int), hardness)
    loops = rng.random(len(length)) < runaway
    return (errors + np.where(loops, rng.negative_binomial(2, 2 / 16, len(length)), 0)).astype(float)


def wer(n: int, runaway: float, effect: float, name: str) -> World:
    """WER: utterances of 1 to 40 words, some much harder than others; half the transcripts are the same."""

    def draw(rng: Rng, delta: float) -> PairedRows:
        length = 1.0 + rng.negative_binomial(2, 2 / 11, n)
        hardness = rng.beta(0.4, 4.0, n)
        a = _errors(rng, length, hardness, runaway)
        b = np.where(rng.random(n) < 0.5, a, _errors(rng, length, hardness, runaway))
        b = b + rng.poisson(length * delta / 100)
        return PairedRows(
            columns(a, length), columns(b, length), WER, 100.0, hi=math.inf, higher_is_better=False
        )

    return World(f"WER {name}, n={n}", draw, effect)


def clustered(m: int, size: float, effect: float, name: str) -> World:
    """0/1 values in clusters of varying size, whose gain or loss differs from cluster to cluster."""

    def draw(rng: Rng, delta: float) -> PairedRows:
        sizes = 1 + rng.poisson(size - 1, m)
        codes = np.repeat(np.arange(m), sizes)
        own = np.clip(rng.normal(0.0, 0.06, m), -0.14, 0.14)[codes] + delta / 100
        u, n = rng.random(len(codes)), len(codes)
        up, down = 0.12 + own / 2, 0.12 - own / 2
        a, b = u < 0.5 + down, (u < 0.5) | ((u >= 0.5 + down) & (u < 0.5 + down + up))
        return PairedRows(columns(a, np.ones(n)), columns(b, np.ones(n)), MEAN, 100.0, clusters=codes)

    return World(f"accuracy in {m} {name}", draw, effect)


def speakers(m: int, effect: float) -> World:
    """WER of m speakers with 25 utterances each; a speaker is hard or easy for either system."""

    def draw(rng: Rng, delta: float) -> PairedRows:
        codes = np.repeat(np.arange(m), 25)
        length = 1.0 + rng.negative_binomial(2, 2 / 11, len(codes))
        hard = rng.beta(2.0, 18.0, m)
        one, two = (np.clip(hard + rng.uniform(-0.02, 0.02, m), 0, 1) for _ in range(2))
        # Clipping is even-handed: both runs have the same distribution.
        a, b = (rng.binomial(length.astype(int), p[codes]).astype(float) for p in (one, two))
        b = b + rng.poisson(length * delta / 100)
        return PairedRows(
            columns(a, length), columns(b, length), WER, 100.0, clusters=codes, hi=math.inf,
            higher_is_better=False,
        )  # fmt: skip

    return World(f"WER of {m} speakers", draw, effect)


def strata(sizes: tuple[int, ...], effect: float, name: str) -> World:
    """0/1 values in strata of fixed sizes that weigh alike."""
    pool = stratified({str(i): 1.0 for i in range(len(sizes))})
    codes = np.repeat(np.arange(len(sizes)), sizes)
    n = len(codes)

    def rows(values: Array) -> Array:
        out = np.zeros((n, 2 * len(sizes)))
        out[np.arange(n), 2 * codes], out[np.arange(n), 2 * codes + 1] = values, 1.0
        return out

    def draw(rng: Rng, delta: float) -> PairedRows:
        share = 0.3 + 0.5 * codes / max(1, len(sizes) - 1)
        up, down, u = 0.1 + delta / 200, 0.1 - delta / 200, rng.random(n)
        a = u < share
        b = (u < share - down) | ((u >= share) & (u < share + up))
        return PairedRows(rows(a.astype(float)), rows(b.astype(float)), pool, 100.0)

    return World(f"macro accuracy of {name}, n={n}", draw, effect)


def two_judges(n: int, effect: float) -> World:
    """The mean of two judges' accuracies; one judge leaves out a tenth of the samples."""

    def draw(rng: Rng, delta: float) -> PairedRows:
        u = rng.random(n)
        up, down = 0.1 + delta / 200, 0.1 - delta / 200
        a, b = u < 0.6, (u < 0.6 - down) | ((u >= 0.6) & (u < 0.6 + up))
        other = [np.where(rng.random(n) < 0.1, ~x, x) for x in (a, b)]
        seen = (rng.random(n) < 0.9).astype(float)
        one, two = (columns(x, np.ones(n), y * seen, seen) for x, y in zip((a, b), other, strict=True))
        return PairedRows(one, two, mean_of_means(2), 100.0)

    # The second judge errs by 10 %, which takes a fifth of its difference: (1 + 0.8) / 2.
    return World(f"mean of two judges, n={n}", lambda rng, delta: draw(rng, delta / 0.9), effect)


WORLDS = (
    accuracy(20, 0.7, 0.30, 20.0),
    accuracy(50, 0.7, 0.20, 15.0),
    accuracy(100, 0.9, 0.10, 8.0),
    accuracy(200, 0.5, 0.30, 10.0),
    accuracy(500, 0.8, 0.15, 5.0),
    accuracy(1000, 0.95, 0.05, 2.0),
    ratings(30, MIDDLE, 0.4, -0.6, "spread"),
    ratings(50, TOP, 0.6, -0.4, "near the top"),
    ratings(100, TOP, 0.6, -0.25, "near the top"),
    ratings(400, TOP, 0.8, -0.1, "near the top, 80 % alike"),
    votes(100, -0.4),
    weighted(150, -0.3),
    wer(100, 0.0, 2.0, "usual"),
    wer(300, 0.0, 1.2, "usual"),
    wer(300, 0.01, 1.5, "1 % run away"),
    wer(1000, 0.01, 1.0, "1 % run away"),
    wer(3000, 0.01, 0.5, "1 % run away"),
    clustered(10, 20, 7.0, "groups of 20"),
    clustered(20, 20, 5.0, "groups of 20"),
    clustered(40, 20, 4.0, "groups of 20"),
    clustered(250, 3, 5.0, "audios of 3 questions"),
    speakers(10, 1.5),
    speakers(30, 1.0),
    strata((60, 100, 140), 7.0, "3 strata"),
    strata((12,) * 40, 6.0, "40 strata of 12"),
    two_judges(200, 8.0),
)
