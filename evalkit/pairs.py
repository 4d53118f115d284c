"""The same samples in two runs: their segment statistics side by side, and what stands on one side only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.inference.rows import PairedRows
from evalkit.resultshape import check
from evalkit.segmentfile import TaskSegments, cluster_codes, pool_of, read_segments
from evalkit.signature import differences, parse
from evalkit.store import RESULTS, Run

Group = tuple[str, str]
"""Key and name of a group of a task's samples: ("domain", "law")."""


@dataclass
class RunSegments:
    """A finished run whose samples are to be compared; each task's segments are read once.

    Attributes:
        results: the content of results.json.
    """

    run: Run
    results: Mapping[str, Any]
    _read: dict[str, TaskSegments] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, path: Path | str) -> RunSegments:
        """Raises UsageError where there is no run, one without results, or one whose results are damaged."""
        run = Run(path)
        results = run.results()
        check(results, run.root / RESULTS)
        return cls(run, results)

    @property
    def tasks(self) -> Mapping[str, Mapping[str, Any]]:
        """Entries of results.json by task."""
        found: Mapping[str, Mapping[str, Any]] = self.results.get("tasks") or {}
        return found

    def entry(self, task: str) -> Mapping[str, Any]:
        """Raises UsageError where the run hasn't this task."""
        if task not in self.tasks:
            raise UsageError(f"{self.run.root} has no results for {task}; it has: {', '.join(self.tasks)}.")
        return self.tasks[task]

    def segments(self, task: str) -> TaskSegments:
        """Raises UsageError where they aren't there or don't belong to the results."""
        if task not in self._read:
            self._read[task] = read_segments(self.run, task, self.entry(task))
        return self._read[task]


@dataclass(frozen=True)
class Paired:
    """One metric of one task (or of a group of its samples) in two runs.

    Attributes:
        ids: the samples that both runs scored, in order of `rows`.
        rows: their statistics.
        cluster: what samples are clustered by, "" where each stands alone.
        missing_a, missing_b: samples both runs know that the one (the other) has no score for: errored or unscored.
            A sample that both lack is in both.
        only_a, only_b: samples that the other run doesn't know.
        partial: samples of `ids` of which one run lacks a verdict (of a mean of several judges) that the other has;
            that verdict counts in neither.
    """

    task: str
    metric: str
    group: Group | None
    ids: tuple[str, ...]
    rows: PairedRows
    cluster: str
    missing_a: tuple[str, ...]
    missing_b: tuple[str, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    partial: int = 0


def metric_of(entry: Mapping[str, Any], metric: str, group: Group | None = None) -> Mapping[str, Any]:
    """A metric's results, of the whole task or of a group. Raises UsageError where there is none."""
    at = (
        entry["metrics"] if group is None else (entry.get("groups") or {}).get(group[0], {}).get(group[1], {})
    )
    if metric not in at:
        where = "" if group is None else f" of group {group[0]}={group[1]}"
        raise UsageError(f"there is no metric {metric!r}{where} here; there are: {', '.join(at) or 'none'}.")
    found: Mapping[str, Any] = at[metric]
    return found


def incomparable(
    a: Mapping[str, Any], b: Mapping[str, Any], metric: str, group: Group | None = None
) -> dict[str, tuple[str, str]]:
    """Parts of the two numbers' signatures, beside the runner's, that differ, with both values; empty where they agree.

    Args:
        a, b: the task's entries in the two results.json.
    """
    first, second = (str(metric_of(e, metric, group)["signature"]) for e in (a, b))
    left, right = parse(first), parse(second)
    return {part: (left.get(part, ""), right.get(part, "")) for part in differences(first, second)}


def pairs_of(
    a: RunSegments, b: RunSegments, task: str, metric: str | None = None, group: Group | None = None
) -> Paired:
    """Pair two runs' samples of a task, for one of its metrics (None: the headline of `a`).

    Whether the two numbers may be compared is another question: see `incomparable`.

    Raises:
        UsageError: a run lacks the task, the metric, the group or its segments, or the two pool in different ways.
    """
    one, two = a.entry(task), b.entry(task)
    name = metric or str(one["headline"])
    held, other = metric_of(one, name, group), metric_of(two, name, group)
    if any(held.get(k) != other.get(k) for k in ("pool", "columns", "weights", "scale")):
        raise UsageError(f"{task}: the two runs pool {name} in different ways; score both with one evalkit.")
    left, right = a.segments(task), b.segments(task)
    known_a, known_b = _within(left, group), _within(right, group)
    shared = sorted(known_a & known_b)
    rows_a, rows_b, partial = _verdicts_of_both(held, _finite(left, name), _finite(right, name))
    ids = tuple(i for i in shared if i in rows_a and i in rows_b)
    return Paired(
        task,
        name,
        group,
        ids,
        _rows(held, [rows_a[i] for i in ids], [rows_b[i] for i in ids], _codes(left, right, ids)),
        left.cluster or right.cluster,
        missing_a=tuple(i for i in shared if i not in rows_a),
        missing_b=tuple(i for i in shared if i not in rows_b),
        only_a=tuple(sorted(known_a - known_b)),
        only_b=tuple(sorted(known_b - known_a)),
        partial=sum(i in partial for i in ids),
    )


def _within(segments: TaskSegments, group: Group | None) -> set[str]:
    if group is None:
        return set(segments.failed)
    return {i for i, name in segments.groups.get(group[0], {}).items() if name == group[1]}


def _finite(segments: TaskSegments, metric: str) -> dict[str, Any]:
    rows = segments.rows.get(metric, {})
    return {i: row for i, row in rows.items() if all(map(math.isfinite, row))}


_Rows = dict[str, Any]


def _verdicts_of_both(metric: Mapping[str, Any], a: _Rows, b: _Rows) -> tuple[_Rows, _Rows, set[str]]:
    """Rows with the verdicts that both runs have, and the samples of which one has more.

    A mean of several judges takes each sample's verdicts as they come. One that a single run has is of no pair: left
    in, it would hold the judge's mean over some samples against its mean over others.
    """
    if metric["pool"] != "mean-of-means":
        return a, b, set()
    a, b, partial = dict(a), dict(b), set()
    for i in a.keys() & b.keys():
        both = [bool(x and y) for x, y in zip(a[i][1::2], b[i][1::2], strict=True)]
        if both == list(map(bool, a[i][1::2])) == list(map(bool, b[i][1::2])):
            continue
        partial.add(i)
        for rows in (a, b):
            rows[i] = [x if both[k // 2] else 0.0 for k, x in enumerate(rows[i])]
            if not any(both):
                del rows[i]
    return a, b, partial


def _codes(a: TaskSegments, b: TaskSegments, ids: tuple[str, ...]) -> list[int] | None:
    """The clusters of samples, as either run names them."""
    return cluster_codes([a.clusters.get(i) or b.clusters.get(i) for i in ids])


def _rows(metric: Mapping[str, Any], a: list[Any], b: list[Any], codes: list[int] | None) -> PairedRows:
    import numpy as np

    pool = pool_of(metric)
    shape = (len(a), len(pool.columns))
    return PairedRows(
        np.asarray(a, dtype=np.float64).reshape(shape),
        np.asarray(b, dtype=np.float64).reshape(shape),
        pool,
        scale=float(metric.get("scale", 1.0)),
        clusters=None if codes is None else np.asarray(codes, dtype=np.int64),
        lo=float(metric.get("lo", -math.inf)),
        hi=float(metric.get("hi", math.inf)),
        higher_is_better=bool(metric["higher_is_better"]),
    )
