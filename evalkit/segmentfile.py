"""segments.jsonl: what each sample adds to each of a task's numbers, kept beside its scores.

Derived with results.json and as easily rebuilt. Whoever compares runs pools these rows again and gets the numbers of
results.json; nobody has to know how a benchmark is scored. Field by field: docs/run-directory.md.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.errors import UsageError
from evalkit.linefiles import read_lines, write_atomically
from evalkit.pools import DIFFERENCE, MEAN, VOTES, WEIGHTED, Pool, mean_of_means, pooled, stratified
from evalkit.records import JSON, RECORD_VERSION, digest_of
from evalkit.store import Run

SEGMENTS = "segments.jsonl"
LABEL = 60
"""Characters of a cluster's label; a longer one (a question's words) is named by its digest."""
RECORDING = "audio"
"""What samples are clustered by where they share recordings and their task declares nothing."""

Keep = Callable[[str, Iterator[Mapping[str, JSON]]], str]
"""Keeps the lines of a task, by its name; gives their digest."""


def cluster_label(value: object) -> str:
    """A cluster's label on record: the value itself, or the digest of a long one."""
    text = " ".join(str(value).split())
    return text if len(text) <= LABEL else digest_of(text)[:16]


def clusters_of(
    told: Mapping[str, str], heard: Mapping[str, str], declared: str
) -> tuple[str, Mapping[str, str]]:
    """What samples are clustered by, and the cluster of each sample that may be in one with others.

    Args:
        told: by sample, the label on record, where it has one.
        heard: by sample, what names the recordings that were sent.
        declared: `Task.cluster`.

    Returns:
        The declared name and the labels on record; else "audio" and the recordings, where some are shared and not
        all the same one; else "" and nothing.
    """
    if told:
        return declared or "cluster", told
    return (RECORDING, heard) if 1 < len(set(heard.values())) < len(heard) else ("", {})


def cluster_codes(labels: Sequence[str | None]) -> list[int] | None:
    """Codes 0..m-1 in order of first appearance; one without a label is a cluster of its own.

    None where no two share a cluster.
    """
    codes: dict[object, int] = {}
    found = [codes.setdefault(x if x else (k,), len(codes)) for k, x in enumerate(labels)]
    return found if len(codes) < len(found) else None


def _number(x: float) -> float | None:
    return x if math.isfinite(x) else None


def segment_lines(
    failed: Mapping[str, bool],
    rows: Mapping[str, Mapping[str, Sequence[float]]],
    clusters: Mapping[str, str],
    groups: Mapping[str, Mapping[str, Sequence[str]]],
) -> Iterator[Mapping[str, JSON]]:
    """A line per sample, in sample-id order.

    Args:
        failed: every sample on record; True where its request failed.
        rows: by metric and sample, the statistics the sample adds; a sample without is unscored.
        clusters: label by sample.
        groups: sample ids by key and group.
    """
    members: dict[str, dict[str, JSON]] = {}
    for key, found in groups.items():
        for name, ids in found.items():
            for i in ids:
                members.setdefault(i, {})[key] = name
    for i in sorted(failed):
        line: dict[str, JSON] = {
            "v": RECORD_VERSION,
            "sample_id": i,
            "status": "error" if failed[i] else "answered",
        }
        if i in clusters:
            line["cluster"] = clusters[i]
        if i in members:
            line["groups"] = members[i]
        line["rows"] = {name: [_number(x) for x in held[i]] for name, held in rows.items() if i in held}
        yield line


def write_segments(run: Run, task: str, lines: Iterator[Mapping[str, JSON]]) -> str:
    """Replace a task's segments.jsonl; returns the digest that results.json names it by.

    Raises:
        StoreError: the disk is full or the folder can't be written.
    """
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    write_atomically(run.task(task).folder / SEGMENTS, text)
    return _digest(text.encode("utf-8", "replace"))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@dataclass(frozen=True)
class TaskSegments:
    """A task's segments as read.

    Attributes:
        failed: every sample on record; True where its request failed.
        rows: by metric and sample. A row with a statistic that is no finite number holds NaN there.
        clusters: label by sample; cluster: what they name ("speaker"), or "".
        groups: group by key and sample.
    """

    failed: Mapping[str, bool]
    rows: Mapping[str, Mapping[str, Sequence[float]]]
    cluster: str
    clusters: Mapping[str, str]
    groups: Mapping[str, Mapping[str, str]]


def read_segments(run: Run, task: str, entry: Mapping[str, Any]) -> TaskSegments:
    """The segments that belong to a task's entry of results.json.

    Raises:
        UsageError: they aren't there, or belong to other results.
    """
    path = run.task(task).folder / SEGMENTS
    again = "Call the command that made the run again: it asks nothing anew and writes them."
    if "segments" not in entry or not path.is_file():
        raise UsageError(
            f"{run.root} has no {SEGMENTS} for {task} (it was made by an older evalkit). {again}"
        )
    if _digest(path.read_bytes()) != entry["segments"]:
        raise UsageError(f"{path} is not the one that results.json was written with. {again}")
    failed: dict[str, bool] = {}
    rows: dict[str, dict[str, list[float]]] = {}
    clusters: dict[str, str] = {}
    groups: dict[str, dict[str, str]] = {}
    for _, line in read_lines(path):
        i = line["sample_id"]
        failed[i] = line["status"] == "error"
        for name, row in line["rows"].items():
            rows.setdefault(name, {})[i] = [math.nan if x is None else x for x in row]
        if "cluster" in line:
            clusters[i] = line["cluster"]
        for key, name in (line.get("groups") or {}).items():
            groups.setdefault(key, {})[i] = name
    return TaskSegments(failed, rows, str(entry.get("cluster") or ""), clusters, groups)


def pool_of(metric: Mapping[str, Any]) -> Pool:
    """The pool that a metric of results.json was made with.

    Raises:
        UsageError: results of another evalkit, whose pool isn't known here.
    """
    name, columns = str(metric["pool"]), list(metric.get("columns") or ())
    for pool in (MEAN, VOTES, WEIGHTED, DIFFERENCE):
        if pool.name == name:
            return pool
    if name == "mean-of-means":
        return mean_of_means(len(columns) // 2)
    if name == "weighted-strata":
        return stratified(metric["weights"])
    if name.startswith("pooled(") and len(columns) == 2:
        return pooled(columns[0], columns[1])
    if (declared := _declared(name, columns)) is not None:
        return declared
    raise UsageError(f"results.json pools by {name!r}, which this evalkit doesn't know. Update evalkit.")


def _declared(name: str, columns: Sequence[str]) -> Pool | None:
    """A pool that only a benchmark knows (IFEval's, a plug-in's), or None."""
    from evalkit.registry import catalogue

    metrics = (m for t in catalogue().tasks.values() for v in t.variants.values() for m in v.metrics)
    return next(
        (m.pool for m in metrics if m.pool.name == name and list(m.pool.columns) == list(columns)), None
    )
