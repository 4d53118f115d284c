"""A benchmark's overall: the mean of its parts, with an interval from theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.plan import ScoringPlan
from evalkit.records import digest_of
from evalkit.stats import json_number, round_half_up, square_and_add
from evalkit.task import Overall, Part


def _term(part: Part, entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A part as readers can add it up again: the task, its metric (null while the run hasn't the task), its factor."""
    metric = part.metric or (entries.get(part.task) or {}).get("headline")
    return {"task": part.task, "metric": metric, "factor": part.factor}


def overall_result(
    overall: Overall,
    entries: Mapping[str, Mapping[str, Any]],
    plans: Mapping[str, ScoringPlan],
) -> dict[str, Any] | None:
    """A benchmark's overall, or None when the run has none of its parts or used another protocol.

    The value is given only when every part has one. Parts are different samples, so they vary independently: the
    interval adds up the squared distances of the parts' own (docs/statistics.md).
    """
    present = [p for p in overall.parts if p.task in entries]
    if not present or (overall.protocol and any(plans[p.task].protocol != overall.protocol for p in present)):
        return None
    total, missing = 0.0, []
    signatures, ends = [], []
    for part in overall.parts:
        entry = entries.get(part.task)
        name = part.metric or (entry or {}).get("headline")
        found = entry["metrics"].get(name) if entry and name else None
        if found is None or found["value"] is None:
            missing.append(part.task)
            continue
        value = found["value"]
        settled = value if overall.round_parts is None else round_half_up(value, overall.round_parts)
        total += settled * part.factor
        ends.append((value, found.get("ci"), part.factor))
        signatures.append(found["signature"])
    value = total / len(overall.parts)
    reach = square_and_add(ends) if not missing else None
    ci = (value - reach[0], value + reach[1]) if reach else None
    return {
        "label": overall.label,
        "formula": overall.formula,
        "value": None if missing else json_number(value),
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
