"""The numbers of runs that are exported, each with what stands against calling it a result."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from evalkit.errors import UsageError
from evalkit.records import digest_of
from reports.judging import judging
from reports.reproduction.verdicts import against_overall, against_task
from reports.runs import RunView

DOUBTS = ("a stand-in judge gave the verdicts", "data of the user's own, not the set of the printed number")


@dataclass(frozen=True)
class Number:
    """One number of a run.

    Attributes:
        task, metric: where it stands in results.json; an overall has its own name and "overall".
        found: its entry there; `entry`: that of its task ({} of an overall).
        why: why it is no whole result: of part of a benchmark, of smoke data, incomplete, by a stand-in judge, ...
    """

    task: str
    metric: str
    found: Mapping[str, Any]
    entry: Mapping[str, Any]
    why: tuple[str, ...]

    @property
    def value(self) -> float | None:
        value: float | None = self.found["value"]
        return value

    @property
    def judging(self) -> str:
        """In whose words it was judged, and how; "" where no model judges."""
        return judging(self.found.get("judges") or ())


def numbers(run: RunView, *, primary_only: bool = False) -> Iterator[Number]:
    """All numbers of a run, tasks first, overalls last; those that have no value among them.

    Without the overalls of which the run has some parts only: nobody set out to run them.
    """
    for task, entry in run.tasks.items():
        for metric, found in entry["metrics"].items():
            if primary_only and not found["primary"]:
                continue
            against = against_task(run, task, metric)
            why = tuple(dict.fromkeys(w for w, partial in against if partial or w in DOUBTS))
            yield Number(task, metric, found, entry, why)
    for name, found in run.overalls.items():
        if not all(part in run.tasks for part in found["parts"]):
            continue
        against = against_overall(run, name)
        why = tuple(dict.fromkeys(w for w, partial in against if partial or w in DOUBTS))
        yield Number(name, "overall", found, {}, why)


def run_digest(run: RunView) -> str:
    """16 hex digits that name what a run came to: the same results, the same digest."""
    return digest_of(dict(run.results))[:16]


def needed(module: str, extra: str) -> ModuleType:
    """An optional package. Raises UsageError that says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        lacking = exc.name or module
        raise UsageError(
            f'exporting to {extra} needs {lacking}, which is not installed: pip install "evalkit[{extra}]"'
        ) from exc


def told(left_out: Sequence[Number]) -> list[str]:
    """What was left out and why, a sentence per reason."""
    by_reason: dict[str, list[str]] = {}
    for n in left_out:
        by_reason.setdefault("; ".join(n.why) or "no value", []).append(f"{n.task} {n.metric}")
    return [
        f"left out, {why}: {', '.join(names[:6])}" + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        for why, names in by_reason.items()
    ]
