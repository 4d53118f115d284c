"""The comparison for machines. Field by field: docs/compare.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from evalkit import __version__
from evalkit.records import JSON
from evalkit.stats import json_number
from reports.comparison import words
from reports.comparison.model import Comparison, Line, Pairs, Side
from reports.safe import plain

VERSION = 1


def _side(side: Side) -> dict[str, Any]:
    model: Mapping[str, Any] = side.view.results.get("model") or {} if side.view is not None else {}
    return {
        "key": side.key,
        "label": side.label,
        "kind": side.kind,
        "folder": side.folder,
        "runner": model.get("runner", ""),
        "tags": list(side.tags),
    }


def _two(ends: tuple[float, float] | None) -> list[Any] | None:
    return [json_number(x) for x in ends] if ends is not None else None


def line_json(line: Line, c: Comparison, *, samples: bool = True) -> dict[str, JSON]:
    """One line, without its texts. Values and intervals on the printed scale; samples' values on that of a verdict."""
    d = line.difference
    out: dict[str, Any] = {
        "a": line.a,
        "b": line.b,
        "kind": line.kind,
        "task": line.task,
        "benchmark": line.benchmark,
        "title": line.title,
        "metric": line.metric,
        "label": line.label,
        "unit": line.unit,
        "decimals": line.decimals,
        "higher_is_better": line.higher_is_better,
        "group": {"key": line.group[0], "name": line.group[1]} if line.group else None,
        "paired": line.paired,
        "verdict": line.verdict(c.alpha),
        "value_a": json_number(d.a) if d else None,
        "value_b": json_number(d.b) if d else None,
        "delta": json_number(d.delta) if d else None,
        "ci": _two(d.ci) if d else None,
        "ci_method": d.ci_method if d else "",
        "p": json_number(d.p) if d else None,
        "p_holm": json_number(line.p_holm),
        "family": line.family,
        "test": d.test if d else "",
        "n": d.n if d else 0,
        "clusters": d.clusters if d else 0,
        "clustered_by": line.clustered,
        "printed_n": line.printed_n,
        "wins": d.wins if d else 0,
        "losses": d.losses if d else 0,
        "ties": d.ties if d else 0,
        "effect": json_number(d.effect) if d else None,
        "effect_name": d.effect_name if d else "",
        "se": json_number(d.se) if d else None,
        "whole_a": json_number(line.whole_a),
        "whole_b": json_number(line.whole_b),
        "bound": _two(line.bound),
        "coverage_a": asdict(line.coverage_a) if line.coverage_a else None,
        "coverage_b": asdict(line.coverage_b) if line.coverage_b else None,
        "why": line.why,
        "refused": [{"part": p.name, "a": p.a, "b": p.b} for p in line.refused],
        "allowed": [{"part": p.name, "a": p.a, "b": p.b} for p in line.allowed],
        "marks": list(line.marks),
        "notes": list(line.notes),
    }
    if samples and line.pairs is not None and line.kind != "group":
        out["samples"] = _samples(line.pairs)
    return out


def _samples(pairs: Pairs) -> dict[str, Any]:
    def told(places: list[int]) -> list[dict[str, Any]]:
        return [
            {"id": pairs.ids[i], "a": json_number(float(pairs.a[i])), "b": json_number(float(pairs.b[i]))}
            for i in places
        ]

    return {
        "losses": told(pairs.place("loss")),
        "wins": told(pairs.place("win")),
        "unpaired": [{"id": i, "a": a, "b": b} for i, a, b in pairs.missing],
    }


def as_json(c: Comparison, *, samples: bool = True) -> dict[str, Any]:
    """The comparison as plain data; `samples` adds who won and lost to each line."""
    return {
        "v": VERSION,
        "evalkit": __version__,
        "level": c.level,
        "draws": c.draws,
        "seed": c.seed,
        "allowed": list(c.allowed),
        "sides": [_side(s) for s in c.sides],
        "summary": [
            {"a": a.key, "b": b.key, "sentence": words.verdict_sentence(c, a, b)} for a, b in c.pairs
        ],
        "lines": [line_json(x, c, samples=samples) for x in c.lines],
        "alone": [{"a": a, "b": b, "task": task, "only_in": key} for a, b, task, key in c.alone],
        "refusals": words.refusals(c),
    }


def json_text(c: Comparison) -> str:
    """The document as text: the same comparison gives the same bytes."""
    return json.dumps(plain(as_json(c)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
