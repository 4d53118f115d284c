"""Is a results.json what results.json has to be? Asked before runs are compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from evalkit.errors import UsageError

_TEXTS = ("label", "unit", "signature")
_LISTS = ("judges", "reads")
_COUNTS = ("decimals", "n", "n_scored", "n_errors", "n_pending")
_FLAGS = ("higher_is_better", "meaningful")
_AGAIN = "Call the command that made the run again: it asks nothing anew and writes it."


def check(results: Mapping[str, Any], where: object) -> None:
    """Raises UsageError for the first field that isn't what it has to be.

    Args:
        where: the file, for the message.
    """
    for key in _defects(results):
        raise UsageError(f"{where} is damaged at {key}. {_AGAIN}")


def _defects(results: Mapping[str, Any]) -> Iterator[str]:
    tasks = results.get("tasks")
    if not isinstance(tasks, Mapping):
        yield "tasks"
        return
    for name in ("model", "overall"):
        if not isinstance(results.get(name) or {}, Mapping):
            yield name
            return
    if not isinstance((results.get("model") or {}).get("generation") or {}, Mapping):
        yield "model.generation"
    for task, entry in tasks.items():
        at = f"tasks.{task}"
        if not isinstance(entry, Mapping):
            yield at
            continue
        metrics, groups = entry.get("metrics"), entry.get("groups") or {}
        yield from _metrics(metrics, f"{at}.metrics")
        headline = entry.get("headline")
        if not isinstance(metrics, Mapping) or not isinstance(headline, str) or headline not in metrics:
            yield f"{at}.headline"
        if not _count(entry.get("n_truncated", 0)):
            yield f"{at}.n_truncated"
        if not isinstance(entry.get("data") or {}, Mapping):
            yield f"{at}.data"
        if not _of_mappings(groups):
            yield f"{at}.groups"
            continue
        for key, members in groups.items():
            for member, held in members.items():
                yield from _metrics(held, f"{at}.groups.{key}.{member}")


def _of_mappings(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(v, Mapping) for v in value.values())


def _metrics(metrics: object, at: str) -> Iterator[str]:
    if not isinstance(metrics, Mapping) or not metrics or not _of_mappings(metrics):
        yield at
        return
    for name, found in metrics.items():
        yield from (f"{at}.{name}.{k}" for k in _fields(found))


def _fields(found: Mapping[str, Any]) -> Iterator[str]:
    yield from (k for k in _TEXTS if not isinstance(found.get(k), str))
    yield from (k for k in _LISTS if not _texts(found.get(k)))
    yield from (k for k in _FLAGS if not isinstance(found.get(k), bool))
    yield from (k for k in _COUNTS if not _count(found.get(k)))
    yield from (k for k in ("lo", "hi", "scale") if found.get(k, 0.0) is None or not _number(found.get(k)))
    if "value" not in found or not _number(found["value"]):
        yield "value"
    ci = found.get("ci")
    if ci is not None and not (isinstance(ci, list) and len(ci) == 2 and all(map(_number, ci))):
        yield "ci"


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(x, str) for x in value)


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: object) -> bool:
    """A finite number, or none."""
    return value is None or (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    )
