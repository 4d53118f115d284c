"""The scores of a task that count, and what each sample adds to a metric: alone, or as one of its stratum."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evalkit.interfaces import Answer, Judge
from evalkit.plan import ScoringPlan
from evalkit.pools import stratified, stratum_row
from evalkit.records import Response, Sample, Score
from evalkit.store import Mark, Run
from evalkit.task import Metric

if TYPE_CHECKING:
    from evalkit.pools import Pool
    from evalkit.stats import Array

RECORDED = "recorded"
"""What stands for the model's name where its replies came with the predictions."""


@dataclass
class Segments:
    """The scores of one task that count: by verdict metric, then by sample.

    `answered` holds the names of the models that gave its verdicts, as their endpoints say.
    """

    scored: dict[str, dict[str, tuple[float, Mapping[str, float] | None]]] = field(default_factory=dict)
    reasons: dict[str, dict[str, str]] = field(default_factory=dict)
    touched: dict[str, dict[str, str]] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)
    answered: dict[str, set[str]] = field(default_factory=dict)

    def add(self, score: Score) -> None:
        """Take a score in; a later one for the same sample and metric displaces an earlier one, but no verdict
        gives way to a failure."""
        touched = self.touched.setdefault(score.metric, {})
        if score.value is None:
            if score.sample_id in self.scored.get(score.metric, ()):
                return
            self.reasons.setdefault(score.metric, {})[score.sample_id] = (
                score.reason or "unscored: no reason given"
            )
        else:
            self.scored.setdefault(score.metric, {})[score.sample_id] = (score.value, score.counts)
            self.reasons.get(score.metric, {}).pop(score.sample_id, None)
            if score.detail.get("meaningful") is False:
                self.doubtful.add(score.metric)
            if isinstance(model := score.detail.get("model"), str) and model != RECORDED:
                self.answered.setdefault(score.metric, set()).add(model)
        if score.touched:
            touched[score.sample_id] = score.touched
        else:
            touched.pop(score.sample_id, None)


def collect(run: Run, plan: ScoringPlan, marks: Mapping[str, Mark]) -> Segments:
    """The scores that belong to the responses that count, by the judges of the plan."""
    wanted = {(m, plan.sign(j)) for j in plan.judges for m in j.metrics}
    settled = {plan.sign(j): j for j in plan.judges if j.in_order}
    kept: dict[str, dict[tuple[str, str], Score]] = {signed: {} for signed in settled}
    segments = Segments()
    for score in run.task(plan.task.name).scores():
        mark = marks.get(score.sample_id)
        if mark is None or not mark.ok or score.response != mark.digest:
            continue
        if (score.metric, score.judge) not in wanted:
            continue
        if score.judge in settled:
            kept[score.judge][score.metric, score.sample_id] = score
        else:
            segments.add(score)
    if settled:
        for signed, judge in settled.items():
            found = sorted(kept[signed].values(), key=lambda s: (marks[s.sample_id].order, s.sample_id))
            for score in judge.settle(found):
                segments.add(score)
    if (failing := [j for j in plan.judges if j.judges_failure]) and not all(m.ok for m in marks.values()):
        _add_failures(run, plan, marks, failing, segments)
    return segments


def _add_failures(
    run: Run, plan: ScoringPlan, marks: Mapping[str, Mark], judges: Sequence[Judge], segments: Segments
) -> None:
    """The verdicts of judges to which a failed request is an empty answer."""
    for line in run.task(plan.task.name).final_lines():
        sample_id = line["sample_id"]
        if sample_id not in marks or marks[sample_id].ok:
            continue
        sample = Sample(sample_id, plan.task.name, (), target=(line.get("asked") or {}).get("target"))
        for judge in judges:
            for verdict in judge.score(sample, Answer("", Response(sample_id))):
                segments.add(Score.of(verdict, sample_id=sample_id, judge=plan.sign(judge), response=""))


def segment_row(
    metric: Metric, segments: Segments, sample_id: str, strata: StrataOf | None
) -> list[float] | None:
    """The row one sample adds to a metric, or None when a verdict it needs is missing."""
    if metric.pool.sources:
        held = [segments.scored.get(name, {}).get(sample_id) for name in metric.reads]
        row = [x for found in held for x in ((found[0], 1.0) if found else (0.0, 0.0))]
        return row if any(held) else None
    if metric.pool.paired:
        both = [segments.scored.get(name, {}).get(sample_id) for name in metric.reads]
        row = [(f[1] or {})[c] for f in both if f is not None for c in ("weighted", "weight")]
        return row if None not in both else None
    values = []
    counts: Mapping[str, float] | None = None
    for name in metric.reads:
        found = segments.scored.get(name, {}).get(sample_id)
        if found is None:
            return None
        values.append(found[0])
        counts = found[1]
    value = sum(values) / len(values)
    return strata.row(sample_id, value) if strata else metric.pool.row(value, counts)


@dataclass(frozen=True)
class StrataOf:
    """The strata of one metric in one run: their weights, and which stratum each sample is of."""

    weights: Mapping[str, float]
    of: Mapping[str, str]

    def row(self, sample_id: str, value: float) -> list[float] | None:
        """What a sample adds; None when its stratum doesn't count."""
        return stratum_row(self.weights, self.of.get(sample_id, ""), value)

    def counts(self, sample_id: str) -> bool:
        return self.of.get(sample_id) in self.weights

    def ends(self, metric: Metric, missing: Sequence[str]) -> tuple[Array, Array]:
        """What the missing samples would add to the sums, all as bad and all as good as can be."""
        import numpy as np

        out = []
        for value in (metric.lo, metric.hi):
            sums = np.zeros(2 * len(self.weights))
            for i in missing:
                if (row := self.row(i, value)) is not None:
                    sums += row
            out.append(sums)
        return out[0], out[1]


def strata_of(metric: Metric, groups: Mapping[str, Mapping[str, Sequence[str]]]) -> StrataOf | None:
    """The strata of a metric that has some, from the samples of each group."""
    if metric.strata is None:
        return None
    members = groups[metric.strata.key]
    weights = metric.strata.weights
    if weights is None:
        weights = dict.fromkeys(sorted(members), 1.0)
    return StrataOf(weights, {i: name for name, ids in members.items() for i in ids})


def unscored(
    metric: Metric, segments: Segments, ids: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], Counter[str]]:
    """Why these samples lack a verdict (each sample once per code), and which defects decided the others."""
    reasons: dict[str, dict[str, Any]] = {}
    touched: Counter[str] = Counter()
    missing = [segments.reasons.get(name, {}) for name in metric.reads]
    decided = [segments.touched.get(name, {}) for name in metric.reads]
    known = set().union(*missing, *decided)
    for i in (i for i in ids if i in known):
        found = {r.partition(":")[0]: r for held in reversed(missing) if (r := held.get(i)) is not None}
        for code, reason in found.items():
            reasons.setdefault(code, {"n": 0, "example": reason})["n"] += 1
        touched.update(name for held in decided if i in held for name in held[i].split("+"))
    return dict(sorted(reasons.items())), touched


def pool_for(metric: Metric, strata: StrataOf | None) -> Pool:
    """The pool a metric's rows are made for."""
    return stratified(strata.weights) if strata else metric.pool


def seed_of(*parts: str) -> int:
    """A seed of its own for each number, the same each time."""
    return zlib.crc32("|".join(parts).encode())
