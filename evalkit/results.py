"""From scores on record to results.json: pooled numbers with interval, bounds, coverage and signature.

A pure function of the run directory and the scoring plan: rebuilt at any time, the same bytes each time.
Field by field: docs/run-directory.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from evalkit import __version__
from evalkit.overalls import overall_result
from evalkit.plan import ModelCard, ScoringPlan
from evalkit.records import digest_of
from evalkit.segmentfile import Keep, cluster_codes, clusters_of, segment_lines
from evalkit.segments import (
    Segments,
    StrataOf,
    collect,
    pool_for,
    seed_of,
    segment_row,
    strata_of,
    unscored,
)
from evalkit.signature import data_part, signature
from evalkit.stats import estimate, json_number
from evalkit.store import RESULTS_VERSION, Mark, Run
from evalkit.task import Metric, Overall

if TYPE_CHECKING:
    from evalkit.stats import Estimate


def _withheld(plan: ScoringPlan, metric: Metric, segments: Segments, ids: Sequence[str]) -> bool:
    """Does what is missing depend on the verdict? Asked of the verdicts that can go missing that way.

    A mean of several verdicts is withheld for the one whose own metric is (PEDANT); that a judge's reply
    can't be read says nothing about the answer. What a public scorer leaves out isn't missing.
    """
    if not metric.withhold:
        return False
    own = {m.name for m in plan.variant.metrics if m.withhold and m.reads == (m.name,)}
    names = own.intersection(metric.reads) or metric.reads
    held = [{*segments.scored.get(name, {}), *segments.touched.get(name, {})} for name in names]
    return any(i not in there for there in held for i in ids)


def _spoilt(
    metric: Metric,
    segments: Segments,
    ids: Sequence[str],
    held: Mapping[str, Any],
    strata: StrataOf | None,
    touched: Mapping[str, int],
) -> bool:
    """Has the public scorer no number here, because of a defect that it carries on into the mean?"""
    if any(touched.get(name) for name in metric.spoils):
        return True
    if not any(touched.get(name) for name in metric.spoils_alone):
        return False
    place = strata.of if strata else {}
    scored = {place.get(i) for i in held}
    decided = [segments.touched.get(name, {}) for name in metric.reads]
    alone = {place.get(i) for i in ids for d in decided if d.get(i) in metric.spoils_alone}
    return not alone <= scored


def _too_many(metric: Metric, touched: Mapping[str, int], n: int) -> list[str]:
    """Defects that decided more of the verdicts than the metric tolerates."""
    return [name for name, share in metric.tolerates.items() if touched.get(name, 0) > share * n]


def _warning(metric: Metric, value: float | None) -> dict[str, str]:
    """What has to be told of a value so low, if anything."""
    if metric.warns_below is None or value is None or not value * metric.scale < metric.warns_below[0]:
        return {}
    return {"warning": metric.warns_below[1]}


def _pooling(metric: Metric, strata: StrataOf | None) -> dict[str, Any]:
    """What it takes to pool the metric's rows again."""
    pool = pool_for(metric, strata)
    weights = {"weights": dict(strata.weights)} if strata else {}
    return {"pool": pool.name, "columns": list(pool.columns), "scale": metric.scale, **weights}


@dataclass(frozen=True)
class _Samples:
    """The samples that a number is of: the answered ones, those whose request failed, how many weren't reached."""

    answered: Sequence[str]
    failed: Sequence[str]
    pending: int = 0

    @property
    def n(self) -> int:
        return len(self.answered) + len(self.failed) + self.pending

    def within(self, strata: StrataOf) -> _Samples:
        """Those whose stratum counts."""
        answered, failed = (list(filter(strata.counts, ids)) for ids in (self.answered, self.failed))
        return _Samples(answered, failed, self.pending)


def _pooled(
    metric: Metric,
    samples: _Samples,
    segments: Segments,
    seed: int,
    strata: StrataOf | None,
    clusters: Mapping[str, str],
) -> tuple[Estimate, dict[str, list[float]]]:
    """The metric's number on its own scale, and the row of each sample that has one."""
    import numpy as np

    pool, known = pool_for(metric, strata), (*samples.answered, *samples.failed)
    # A failed request has a row only where the rule takes it for an empty answer.
    held = {i: r for i in known if (r := segment_row(metric, segments, i, strata)) is not None}
    metric = _as_wide(metric, segments, held)
    matrix = np.asarray(list(held.values()), dtype=np.float64).reshape(len(held), len(pool.columns))
    missing = [i for i in known if i not in held]
    # Of a sample not reached, nobody knows the stratum.
    ends = strata.ends(metric, missing) if strata and not samples.pending else None
    codes = cluster_codes([clusters.get(i) for i in held]) if clusters else None
    shared = None if codes is None else np.asarray(codes, dtype=np.int64)
    lo, hi, gaps = metric.lo, metric.hi, samples.n - len(held)
    found = estimate(matrix, pool, missing=gaps, lo=lo, hi=hi, seed=seed, ends=ends, clusters=shared)
    found = _rounded(found, metric.rounds) if metric.rounds is not None else found
    return found, held


def _as_wide(metric: Metric, segments: Segments, ids: Iterable[str]) -> Metric:
    """The metric with a range that holds all its values: a public scorer takes ratings beyond its scale, too."""
    reads = [segments.scored.get(name, {}) for name in metric.reads]
    values = [v for i in ids for held in reads if i in held and math.isfinite(v := held[i][0])]
    return replace(metric, lo=min([metric.lo, *values]), hi=max([metric.hi, *values]))


def _rounded(found: Estimate, decimals: int) -> Estimate:
    """The number as a public scorer rounds it, and its interval and bounds alike, so that they still hold it."""

    def pair(ends: tuple[float, float] | None) -> tuple[float, float] | None:
        return (round(ends[0], decimals), round(ends[1], decimals)) if ends else None

    value = None if found.value is None else round(found.value, decimals)
    return replace(found, value=value, ci=pair(found.ci), bounds=pair(found.bounds))


def _metric_result(
    plan: ScoringPlan,
    metric: Metric,
    samples: _Samples,
    segments: Segments,
    seed: int,
    groups: Mapping[str, Mapping[str, Sequence[str]]],
    clusters: Mapping[str, str],
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    strata = strata_of(metric, groups)
    samples = samples.within(strata) if strata else samples
    ids = samples.answered
    found, held = _pooled(metric, samples, segments, seed, strata, clusters)
    answered = [held[i] for i in ids if i in held]
    scored = sum(all(r[1::2]) for r in answered) if metric.pool.sources else len(answered)
    withheld = _withheld(plan, metric, segments, ids)
    reasons, touched = unscored(metric, segments, ids)
    if _spoilt(metric, segments, ids, held, strata, touched):
        found = replace(found, value=None, ci=None, ci_method="none")
    scale = metric.scale

    def printed(pair: tuple[float, float] | None) -> list[float | None] | None:
        return [json_number(x * scale) for x in pair] if pair else None

    result = {
        "label": metric.label,
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        "decimals": metric.decimals,
        "primary": metric.primary,
        "reads": list(metric.reads),
        # An open end has no place in JSON: it is left out.
        **{k: v for k, v in (("lo", metric.lo), ("hi", metric.hi)) if math.isfinite(v)},
        "value": None if withheld or found.value is None else json_number(found.value * scale),
        "ci": None if withheld else printed(found.ci),
        "ci_method": "none" if withheld else found.ci_method,
        "bounds": printed(found.bounds),
        "n": samples.n,
        "n_scored": scored,
        "n_unscored": len(ids) - scored,
        "n_errors": len(samples.failed),
        "n_pending": samples.pending,
        "withheld": withheld,
        "reasons": reasons,
        "touched": dict(sorted(touched.items())),
        **({"too_many": too_many} if (too_many := _too_many(metric, touched, len(ids))) else {}),
        **_warning(metric, None if withheld else found.value),
        "meaningful": not any(name in segments.doubtful for name in metric.reads),
        "judges": [plan.sign(j) for j in plan.judges_of(metric)],
        **_pooling(metric, strata),
    }
    return result, held


def _groups(run: Run, plan: ScoringPlan, marks: Mapping[str, Mark]) -> dict[str, dict[str, list[str]]]:
    """Sample ids by group key and group."""
    out: dict[str, dict[str, list[str]]] = {key: {} for key in plan.group_keys}
    if not out:
        return out
    for line in run.task(plan.task.name).final_lines():
        if line["sample_id"] not in marks:
            continue
        given = (line.get("asked") or {}).get("groups") or {}
        for key, members in out.items():
            members.setdefault(str(given.get(key, "?")), []).append(line["sample_id"])
    return out


def _clusters(plan: ScoringPlan, marks: Mapping[str, Mark]) -> tuple[str, Mapping[str, str]]:
    told = {i: m.cluster for i, m in marks.items() if m.cluster}
    heard = {i: m.heard for i, m in marks.items() if m.heard}
    return clusters_of(told, heard, plan.task.cluster)


def _strata_missing(
    metric: Metric, segments: Segments, groups: Mapping[str, Mapping[str, Sequence[str]]]
) -> list[str]:
    """Declared strata without a score: their weight is shared out among the others."""
    assert metric.strata is not None and metric.strata.weights is not None
    members = groups[metric.strata.key]
    held = set.intersection(*(set(segments.scored.get(name, {})) for name in metric.reads))
    return [s for s in metric.strata.weights if not held.intersection(members.get(s, ()))]


def _split(ids: Iterable[str], marks: Mapping[str, Mark], pending: int = 0) -> _Samples:
    """These samples, the answered ones and the failed ones each sorted."""
    known = sorted(i for i in ids if i in marks)
    return _Samples([i for i in known if marks[i].ok], [i for i in known if not marks[i].ok], pending)


def _pending(plan: ScoringPlan, known: int) -> int:
    """Samples of the run that were not reached: of its own count, or of the published one while it has none."""
    published = (plan.task.expected or 0) if not plan.limited else 0
    return max(0, (plan.n if plan.n is not None else published) - known)


def _described(plan: ScoringPlan) -> dict[str, Any]:
    """What an entry says of its task and of how it is scored."""
    task = plan.task
    return {
        "title": task.title,
        "benchmark": task.benchmark,
        "subset": task.subset,
        "modality": str(task.modality),
        "protocol": plan.protocol,
        "default_protocol": task.default_protocol,
        "rule": plan.variant.rule,
        "sheet": task.sheet,
        "headline": plan.variant.headline.name,
        "prompt": task.prompt,
    }


def task_results(run: Run, plan: ScoringPlan, model: ModelCard, keep: Keep | None = None) -> dict[str, Any]:
    """The entry of one task in results.json.

    Args:
        keep: keeps the segments for whoever compares runs (see `segmentfile`).
    """
    marks = run.task(plan.task.name).marks()
    if plan.ids is not None:
        marks = {i: m for i, m in marks.items() if i in plan.ids}
    groups = _groups(run, plan, marks)
    cluster, clusters = _clusters(plan, marks)
    samples = _split(marks, marks, _pending(plan, len(marks)))
    segments = collect(run, plan, marks)
    digest = digest_of([[i, marks[i].question, marks[i].judged] for i in sorted(marks)])
    data = data_part(plan.data, digest)

    def signed(what: str, result: Mapping[str, Any]) -> str:
        return signature(
            what,
            protocol=plan.protocol,
            prompt=plan.task.prompt,
            data=data,
            n=result["n"],
            runner=model.runner,
            generation=model.generation,
            judges=result["judges"],
        )

    def of_group(key: str, name: str, ids: Sequence[str]) -> dict[str, Any]:
        out, members = {}, _split(ids, marks)
        for metric in plan.variant.metrics:
            result, _ = _metric_result(plan, metric, members, segments, 0, groups, clusters)
            out[metric.name] = result | {"signature": signed(f"{plan.task.name}[{key}={name}]", result)}
        return out

    metrics: dict[str, Any] = {}
    rows: dict[str, dict[str, list[float]]] = {}
    for metric in plan.variant.metrics:
        seed = seed_of(plan.task.name, plan.protocol, metric.name)
        result, rows[metric.name] = _metric_result(plan, metric, samples, segments, seed, groups, clusters)
        if metric.strata is not None and metric.strata.weights is not None:
            result["strata_missing"] = _strata_missing(metric, segments, groups)
        if answered := set().union(*(segments.answered.get(name, ()) for name in metric.reads)):
            result["answered_by"] = sorted(answered)
        metrics[metric.name] = result | {"signature": signed(plan.task.name, result)}
    entry = {
        **_described(plan),
        "n": samples.n,
        "n_expected": plan.task.expected,
        "n_truncated": sum(m.ok and m.cut for m in marks.values()),
        "limited": plan.limited,
        "complete": plan.n is not None and samples.pending == 0,
        "data": {**plan.data, "digest": digest},
        "metrics": metrics,
        "groups": {
            key: {name: of_group(key, name, ids) for name, ids in sorted(members.items())}
            for key, members in groups.items()
        },
        "cells": [c.to_json() for c in plan.task.cells],
        "cluster": cluster,
    }
    if keep is not None:
        failed = {i: not m.ok for i, m in marks.items()}
        entry["segments"] = keep(plan.task.name, segment_lines(failed, rows, clusters, groups))
    return entry


def build_results(
    run: Run,
    plans: Iterable[ScoringPlan],
    model: ModelCard,
    overalls: Iterable[Overall] = (),
    keep: Keep | None = None,
) -> dict[str, Any]:
    """Everything in results.json, from what is on disk; `keep` keeps each task's segments beside it."""
    by_name = {p.task.name: p for p in plans}
    entries: dict[str, dict[str, Any]] = {}
    for name, plan in by_name.items():
        entries[name] = task_results(run, plan, model, keep)
    found = {o.name: overall_result(o, entries, by_name) for o in overalls}
    return {
        "v": RESULTS_VERSION,
        "evalkit": __version__,
        "model": model.to_json(),
        "tasks": entries,
        "overall": {name: value for name, value in found.items() if value is not None},
    }
