"""A gate's verdict for machines. Field by field: docs/gates.md."""

from __future__ import annotations

import json
from typing import Any

from evalkit import __version__
from evalkit.gate import words
from evalkit.gate.markdown import losses
from evalkit.gate.model import Check, Outcome, Row
from evalkit.inference import Difference
from evalkit.stats import json_number
from reports.safe import plain

LISTED = 100
"""Ids of samples that got worse, per number; `n_worse` counts them all."""


def as_object(outcome: Outcome) -> dict[str, Any]:
    """The verdict as plain objects."""
    return {
        "v": 1,
        "evalkit": __version__,
        "verdict": outcome.verdict,
        "exit_code": outcome.code,
        "counts": dict(outcome.counts),
        "baseline": outcome.baseline,
        "candidate": outcome.candidate,
        "policy": {
            "file": outcome.policy_file,
            **outcome.policy.model_dump(exclude_none=True, exclude={"version"}),
        },
        "numbers": [_row(r) for r in outcome.rows],
        "only_in_candidate": list(outcome.only_candidate),
        "notes": words.notes(outcome),
    }


def as_json(outcome: Outcome) -> str:
    """The same as text; the same verdict gives the same bytes."""
    return json.dumps(plain(as_object(outcome)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _row(row: Row) -> dict[str, Any]:
    terms = row.terms
    worse = losses(row)
    return {
        "name": row.name,
        "kind": row.kind,
        "task": row.task,
        "metric": row.metric,
        "group": list(row.group) if row.group else None,
        "label": row.label,
        "unit": row.unit,
        "higher_is_better": row.higher_is_better,
        "verdict": row.verdict,
        "reason": words.reason(row),
        "baseline": json_number(row.a),
        "candidate": json_number(row.b),
        "baseline_whole": json_number(row.whole_a),
        "candidate_whole": json_number(row.whole_b),
        "difference": _difference(row.difference),
        "rule": terms.rule,
        "margin": terms.margin,
        "terms_from": dict(sorted(terms.source.items())),
        "identical_answers": row.identical,
        "samples_needed": row.needed,
        "n_worse": len(worse),
        "worse": worse[:LISTED],
        "lost": dict(row.lost),
        "checks": [_check(c) for c in row.checks],
        "notes": list(row.notes),
    }


def _difference(found: Difference | None) -> dict[str, Any] | None:
    if found is None:
        return None
    out: dict[str, Any] = {name: json_number(getattr(found, name)) for name in ("delta", "p", "se", "effect")}
    out["ci"] = [json_number(x) for x in found.ci] if found.ci else None
    names = ("ci_method", "test", "n", "clusters", "wins", "losses", "ties", "level", "effect_name")
    return out | {name: getattr(found, name) for name in names}


def _check(check: Check) -> dict[str, Any]:
    out: dict[str, Any] = {"name": check.name, "verdict": check.verdict, "reason": check.reason}
    for name in ("value", "limit", "found"):
        if (value := getattr(check, name)) is not None:
            out[name] = json_number(value) if isinstance(value, float) else value
    return out
