"""A benchmark's overall: the mean of its parts, with an interval that resamples each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evalkit.plan import ScoringPlan
from evalkit.records import digest_of
from evalkit.segments import pool_for, seed_of, strata_of
from evalkit.stats import json_number, percentile_interval, replicates, round_half_up
from evalkit.task import Metric, Overall, Part

if TYPE_CHECKING:
    from evalkit.stats import Array, Pool


def _pool_of(metric: Metric, groups: Mapping[str, Mapping[str, Any]]) -> Pool:
    """The pool a metric's rows were made for; an entry's groups name the strata."""
    return pool_for(metric, strata_of(metric, {key: dict.fromkeys(m, ()) for key, m in groups.items()}))


def _term(part: Part, entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A part as readers can add it up again: the task, its metric (null while the run hasn't the task), its factor."""
    metric = part.metric or (entries.get(part.task) or {}).get("headline")
    return {"task": part.task, "metric": metric, "factor": part.factor}


def overall_result(
    overall: Overall,
    entries: Mapping[str, Mapping[str, Any]],
    matrices: Mapping[str, Mapping[str, Array]],
    plans: Mapping[str, ScoringPlan],
) -> dict[str, Any] | None:
    """A benchmark's overall, or None when the run has none of its parts or used another protocol.

    The value is given only when every part has one; the interval resamples every part independently.
    """
    present = [p for p in overall.parts if p.task in entries]
    if not present or (overall.protocol and any(plans[p.task].protocol != overall.protocol for p in present)):
        return None
    total, draws, missing = 0.0, 0.0, []
    signatures = []
    for part in overall.parts:
        entry = entries.get(part.task)
        name = part.metric or (entry or {}).get("headline")
        found = entry["metrics"].get(name) if entry and name else None
        if found is None or found["value"] is None:
            missing.append(part.task)
            continue
        metric = next(m for m in plans[part.task].variant.metrics if m.name == name)
        value = found["value"]
        total += (
            value if overall.round_parts is None else round_half_up(value, overall.round_parts)
        ) * part.factor
        rows = matrices[part.task][metric.name]
        pool = _pool_of(metric, entries[part.task].get("groups") or {})
        draws = draws + replicates(rows, pool, seed=seed_of(part.task)) * metric.scale * part.factor  # type: ignore[assignment]
        signatures.append(found["signature"])
    k = len(overall.parts)
    import numpy as np

    ci = percentile_interval(np.asarray(draws) / k) if not missing else None
    return {
        "label": overall.label,
        "formula": overall.formula,
        "value": None if missing else json_number(total / k),
        "ci": [json_number(x) for x in ci] if ci else None,
        "decimals": overall.decimals,
        "parts": [p.task for p in overall.parts],
        "terms": [_term(p, entries) for p in overall.parts],
        **({"round_parts": overall.round_parts} if overall.round_parts is not None else {}),
        "missing": missing,
        "complete": not missing
        and all(
            entries[p.task]["metrics"][p.metric or entries[p.task]["headline"]]["n_scored"]
            == entries[p.task]["n"]
            for p in overall.parts
        ),
        "meaningful": all(
            e["metrics"][e["headline"]]["meaningful"] for p in present for e in [entries[p.task]]
        ),
        "cells": [c.to_json() for c in overall.cells],
        "signature": digest_of(signatures)[:16],
    }
