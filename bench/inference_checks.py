"""How well tests and intervals hold their level: simulated evaluations with a known truth, as a Markdown table.

    python -m bench.inference_checks

Of each made-up evaluation (bench/inference_worlds.py): how often the test finds a difference where there is none
(nominally 5 %) and where there is one (power), and how often the interval holds the truth (nominally 95 %), with no
difference and with one. The same seed prints the same table. docs/statistics.md shows it.
"""

from __future__ import annotations

import argparse
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from bench.inference_worlds import MIDDLE, TOP, WORLDS, Rng, World, accuracy, ratings, strata, votes, wer
from evalkit.inference import Difference, OneRun, combined, compare, unpaired
from evalkit.stats import estimate

DRAWS = 1000
"""Of each simulated comparison; users have 10,000, which only makes the same numbers steadier."""


@dataclass(frozen=True)
class Rates:
    """Shares of repetitions, in percent.

    Attributes:
        type_1, power: significant at 5 %, without and with a difference; None where nothing was tested.
        null, held: the interval holds the truth, without and with a difference.
        below, above: with a difference, the truth lies below, or above, the interval.
    """

    what: str
    test: str
    interval: str
    effect: str
    type_1: float | None
    power: float | None
    null: float | None
    held: float
    below: float
    above: float


Compared = Callable[[Rng, float, int], Difference]
"""A comparison of made-up evaluations: (random numbers, true difference, seed)."""


def measured(what: str, compared: Compared, effect: float, reps: int) -> Rates:
    """Repeat a comparison without and with a difference."""
    rng = np.random.default_rng(zlib.crc32(what.encode()))
    found: dict[bool, np.ndarray] = {}
    names = ("", "")
    for there in (False, True):
        truth = effect if there else 0.0
        rows = []
        for i in range(reps):
            d = compared(rng, truth, i)
            low, high = d.ci or (-math.inf, math.inf)
            rows.append((d.p is not None and d.p <= 0.05, low <= truth <= high, truth < low, truth > high))
            names = (d.test, d.ci_method)
        found[there] = 100 * np.mean(np.array(rows, dtype=float), axis=0)
    without, with_one = found[False], found[True]
    test, interval = (name.replace(f"({DRAWS})", "") for name in names)
    held = (float(with_one[1]), float(with_one[2]), float(with_one[3]))
    return Rates(
        what, test, interval, f"{effect:+g}", float(without[0]), float(with_one[0]), float(without[1]), *held
    )


def paired(world: World, reps: int) -> Rates:
    """A world's two runs, compared."""
    return measured(
        world.what,
        lambda rng, delta, seed: compare(world.draw(rng, delta), seed=seed, draws=DRAWS),
        world.effect,
        reps,
    )


def against_printed(world: World, n: int, effect: float, reps: int) -> Rates:
    """A world's run against the number of another set of samples; of that, value and n are known."""

    def compared(rng: Rng, delta: float, seed: int) -> Difference:
        theirs, ours = world.draw(rng, 0.0), world.draw(rng, delta)
        printed = float(theirs.pool.formula(theirs.a[:n].sum(axis=0))) * theirs.scale
        return unpaired(
            OneRun(ours.b, ours.pool, ours.scale, None, ours.lo, ours.hi, ours.higher_is_better), printed, n
        )

    return measured(f"printed number: {world.what}, theirs {n}", compared, effect, reps)


def overall(reps: int) -> Rates:
    """The mean of four tasks, two of accuracy and two of ratings x 20."""
    tasks = [
        (accuracy(200, 0.7, 0.2, 0.0), 1.0),
        (accuracy(500, 0.9, 0.1, 0.0), 1.0),
        (ratings(200, TOP, 0.6, 0.0, ""), 20.0),
        (ratings(100, MIDDLE, 0.5, 0.0, ""), 20.0),
    ]

    def compared(rng: Rng, delta: float, seed: int) -> Difference:
        parts = [
            (compare(w.draw(rng, delta / f), seed=seed + 7 * k, draws=DRAWS), f)
            for k, (w, f) in enumerate(tasks)
        ]
        return combined(parts)

    return measured("overall of four tasks", compared, -3.0, reps)


def one_number(world: World, reps: int) -> Rates:
    """The interval of a run's own number (`evalkit.stats.estimate`); the truth is the mean of a million samples."""
    rng = np.random.default_rng(zlib.crc32(world.what.encode()))

    pool = world.draw(rng, 0.0).pool
    sums, drawn = np.zeros(len(pool.columns)), 0
    while drawn < 1_000_000:
        rows = world.draw(rng, 0.0).a
        sums, drawn = sums + rows.sum(axis=0), drawn + len(rows)
    truth, out, method = float(pool.formula(sums)), [], ""
    for i in range(reps):
        one = world.draw(rng, 0.0)
        found = estimate(one.a, pool, lo=one.lo, hi=one.hi, seed=i)
        method = found.ci_method
        low, high = found.ci or (-math.inf, math.inf)
        out.append((low <= truth <= high, truth < low, truth > high))
    held, below, above = (float(100 * x) for x in np.mean(np.array(out, dtype=float), axis=0))
    return Rates(f"one number: {world.what}", "", method, "", None, None, None, held, below, above)


Job = tuple[Callable[..., Rates], tuple[object, ...]]


def jobs(reps: int) -> Iterator[Job]:
    """Everything that is measured, in the table's order."""
    for world in WORLDS:
        yield paired, (world.what, reps)
    for k in range(4):
        yield _other, (k, reps)
    for k in range(len(ONES)):
        yield _one, (k, reps)


ONES = (
    *(accuracy(n, p, 0.1, 0.0) for n, p in ((50, 0.8), (200, 0.5), (500, 0.95))),
    *(ratings(n, TOP, 0.6, 0.0, "near the top") for n in (30, 100, 400)),
    votes(100, 0.0),
    wer(100, 0.0, 0.0, "usual"),
    wer(300, 0.0, 0.0, "usual"),
    wer(300, 0.01, 0.0, "1 % run away"),
    wer(1000, 0.01, 0.0, "1 % run away"),
    strata((60, 100, 140), 0.0, "3 strata"),
)


def _world(what: str, reps: int) -> Rates:
    return paired(next(w for w in WORLDS if w.what == what), reps)


def _other(k: int, reps: int) -> Rates:
    if k == 0:
        return against_printed(accuracy(500, 0.7, 0.2, 0.0), 500, 8.0, reps)
    if k == 1:
        return against_printed(ratings(200, TOP, 0.6, 0.0, "near the top"), 200, -0.3, reps)
    if k == 2:
        return against_printed(wer(1000, 0.0, 0.0, "usual"), 1000, 2.0, reps)
    return overall(reps)


def _one(k: int, reps: int) -> Rates:
    return one_number(ONES[k], reps)


def run(job: Job) -> Rates:
    function, given = job
    return (_world if function is paired else function)(*given)


HEAD = (
    *("made-up evaluation", "test", "type I", "power (at)", "interval"),
    *("coverage, no difference", "coverage, with it", "truth below / above"),
)


def table(found: Iterable[Rates]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield f"| {' | '.join(HEAD)} |"
    yield f"|{' --- |' * len(HEAD)}"
    for r in found:
        tested = ("", "") if r.type_1 is None else (f"{r.type_1:.1f}", f"{r.power:.0f} ({r.effect})")
        null = "" if r.null is None else f"{r.null:.1f}"
        sides = f"{r.below:.1f} / {r.above:.1f}"
        yield f"| {' | '.join((r.what, r.test, *tested, r.interval, null, f'{r.held:.1f}', sides))} |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--reps", type=int, default=2000, help="repetitions of each, without and with a difference"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    args = parser.parse_args(arguments)
    with ProcessPoolExecutor(args.jobs) as pool:
        for line in table(pool.map(run, jobs(args.reps))):
            print(line, flush=True)
    error = 196 * math.sqrt(0.05 * 0.95 / args.reps)
    print(f"\n{args.reps} repetitions: Monte Carlo error of 5 % or 95 % is ± {error:.1f} (95 %).")


if __name__ == "__main__":
    main()
