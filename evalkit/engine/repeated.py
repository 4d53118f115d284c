"""The number in the table as one turn of asking again would have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.engine.state import TaskState
from evalkit.pools import stratified
from evalkit.records import Score
from evalkit.segments import Segments, collect, segment_row, strata_of
from evalkit.store import Run
from evalkit.task import Metric


def metric_of(state: TaskState, verdict: str) -> Metric | None:
    """The first metric of the task that pools this verdict; the headline where it does."""
    return next((m for m in state.plan.variant.metrics if verdict in m.reads), None)


def numbers(
    run: Run, state: TaskState, metric: Metric, verdict: str, turns: Sequence[Mapping[str, Score]]
) -> list[float | None]:
    """The metric of each turn, in printed units, its other verdicts as on record; None where it has no number.

    Over the samples of the turn alone: the same in every turn that is complete.
    """
    import numpy as np

    files = run.task(state.name)
    marks = files.marks()
    base = collect(run, state.plan, marks)
    groups: dict[str, dict[str, list[str]]] = {key: {} for key in state.plan.group_keys}
    for line in files.final_lines() if groups else ():
        given = (line.get("asked") or {}).get("groups") or {}
        for key, members in groups.items():
            members.setdefault(str(given.get(key, "?")), []).append(str(line["sample_id"]))
    strata = strata_of(metric, groups)
    pool = stratified(strata.weights) if strata else metric.pool
    out: list[float | None] = []
    for turn in turns:
        held = {i: (s.value, s.counts) for i, s in turn.items() if s.value is not None}
        segments = Segments(scored={**base.scored, verdict: held})
        rows = [r for i in sorted(held) if (r := segment_row(metric, segments, i, strata)) is not None]
        value = float(pool.formula(np.asarray(rows, dtype=np.float64).sum(axis=0))) if rows else float("nan")
        if metric.rounds is not None and np.isfinite(value):
            value = round(value, metric.rounds)
        out.append(value * metric.scale if np.isfinite(value) else None)
    return out
