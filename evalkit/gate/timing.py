"""Seconds to an answer, from the responses on record, and whether they hold a policy's limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from evalkit.gate.model import Check
from evalkit.gate.policy import Latency
from evalkit.gate.verdicts import Verdict, worst
from evalkit.pairs import RunSegments


@dataclass(frozen=True)
class Timing:
    """What a run's answers to one task took.

    Attributes:
        n: answers with a time of their own.
        cached: answers taken from the cache: their time is another run's, and isn't counted.
        p50, p95: seconds; NaN without answers.
        given: the answers came from files of predictions: what time they took isn't known.
    """

    n: int
    cached: int
    p50: float
    p95: float
    given: bool = False

    @property
    def told(self) -> bool:
        """Are most answers timed? The few that a cache did not have are no sample of them all."""
        return self.n > 0 and self.n >= self.cached


def timing_of(run: RunSegments, task: str) -> Timing:
    """Percentiles of `timing.generate` over the answered samples of a task."""
    import numpy as np

    if str((run.results.get("model") or {}).get("runner", "")).startswith("replay/"):
        return Timing(0, 0, math.nan, math.nan, given=True)
    seconds: list[float] = []
    cached = 0
    for line in run.run.task(task).final_lines():
        if "error" in line:
            continue
        if (line.get("meta") or {}).get("cached"):
            cached += 1
            continue
        took = (line.get("timing") or {}).get("generate")
        if isinstance(took, int | float) and math.isfinite(took):
            seconds.append(float(took))
    if not seconds:
        return Timing(0, cached, math.nan, math.nan)
    p50, p95 = (float(x) for x in np.quantile(seconds, [0.5, 0.95]))
    return Timing(len(seconds), cached, p50, p95)


def latency_check(limits: Latency, a: Timing, b: Timing) -> Check:
    """The candidate's percentiles (`b`) against absolute limits and multiples of the baseline's (`a`)."""
    verdicts: list[Verdict] = []
    said: dict[Verdict, list[str]] = {}

    def note(verdict: Verdict, words: str) -> None:
        verdicts.append(verdict)
        said.setdefault(verdict, []).append(words)

    for name in ("p50", "p95"):
        limit, ratio = getattr(limits, name), getattr(limits, f"{name}_ratio")
        mine, theirs = getattr(b, name), getattr(a, name)
        if limit is not None:
            if b.told:
                sign = "over" if mine > limit else "within"
                note("regression" if mine > limit else "pass", f"{name} {mine:.2f} s is {sign} {limit:g} s")
            else:
                note("inconclusive", _untimed("candidate", b))
        if ratio is not None:
            if not b.told or not a.told:
                note("inconclusive", _untimed("baseline", a) if b.told else _untimed("candidate", b))
            else:
                over = mine > ratio * theirs
                words = (
                    f"{name} {mine:.2f} s is {'over' if over else 'within'} {ratio:g} times {theirs:.2f} s"
                )
                note("regression" if over else "pass", words)
    verdict = worst(verdicts) if verdicts else "pass"
    return Check("latency", verdict, "; ".join(dict.fromkeys(said.get(verdict, ()))))


def _untimed(who: str, timing: Timing) -> str:
    if timing.given:
        return f"the {who}'s answers were made elsewhere: what time they took isn't known"
    if timing.cached and timing.n:
        few = f"only {timing.n:,} of the {who}'s {timing.n + timing.cached:,} answers are not from the cache"
        return f"{few}: run it with --no-cache to time them"
    if timing.cached:
        return f"the {who}'s {timing.cached} answers are from the cache: run it with --no-cache to time them"
    return f"the {who} has no answer with a time on record"
