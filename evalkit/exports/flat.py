"""A run as flat names and values, as trackers want it: metrics, parameters, signatures, files."""

from __future__ import annotations

import json
import re
from pathlib import Path

from evalkit.exports.numbers import numbers
from evalkit.store import MANIFEST, RESULTS
from reports.runs import RunView

FILES = (RESULTS, MANIFEST, "costs.json", "report.html", "report.md")
_ODD = re.compile(r"[^\w/. -]")


def _name(*parts: str) -> str:
    """A name that trackers take: letters, digits, "_", "-", ".", blank and "/"."""
    return _ODD.sub("_", "/".join(parts))


def metrics(run: RunView) -> dict[str, float]:
    """Every number that has a value, with the ends of its interval and its coverage, by name:
    "voicebench/sd-qa/acc", ".../acc.ci_low", ".../acc.n_scored"."""
    out: dict[str, float] = {}
    for n in numbers(run):
        name = _name(n.task, n.metric)
        if n.value is not None:
            out[name] = float(n.value)
        for key, pair in (("ci", n.found.get("ci")), ("bound", n.found.get("bounds"))):
            if pair and None not in pair:
                out[f"{name}.{key}_low"], out[f"{name}.{key}_high"] = map(float, pair)
        for key in ("n", "n_scored", "n_errors", "n_unscored"):
            if key in n.found:
                out[f"{name}.{key}"] = float(n.found[key])
    return out


def parameters(run: RunView) -> dict[str, str]:
    """What the run was made with, as run.json holds it (no secrets there)."""
    model, held = run.results.get("model") or {}, run.manifest
    out = {
        "model": run.label,
        "runner": str(model.get("runner") or ""),
        "suite": run.suite,
        "limit": "" if held.get("limit") is None else str(held["limit"]),
        "directory": run.root.resolve().name,
    }
    groups = (
        ("generation", model.get("generation")),
        ("model", (held.get("model") or {}).get("options")),
        ("role", held.get("roles")),
        ("option", held.get("options")),
    )
    for group, values in groups:
        for key, value in (values or {}).items():
            out[_name(f"{group}.{key}")] = value if isinstance(value, str) else json.dumps(value)
    return out | {_name(f"protocol.{t}"): str(e["protocol"]) for t, e in run.tasks.items()}


def signatures(run: RunView) -> dict[str, str]:
    """The signature of every number, by the metric's name."""
    return {_name(n.task, n.metric): str(n.found["signature"]) for n in numbers(run)}


def artifacts(run: RunView) -> list[Path]:
    """The files of a run that say what came of it, as far as they are there."""
    return [p for name in FILES if (p := run.root / name).is_file()]
