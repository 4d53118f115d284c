"""The samples of a line for the page: who lost, who won, who stayed, who has no pair; both runs' answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.records import JSON
from evalkit.stats import json_number
from reports.comparison.model import Comparison, Line, Pairs, Side
from reports.pagedata import sample_json
from reports.samples import SampleView
from reports.sound import Clip, clips_of

LOST, WON, ALIKE, APART = range(4)
BINS = (("lost", "0"), ("won", "4"), ("alike", "2"), ("without a pair", "unscored"))
"""Bars of a line's samples: label and tone."""


@dataclass(frozen=True)
class Flips:
    """A line's samples as the page has them.

    Attributes:
        order: sample ids, lost ones first, then won, without a pair, alike; each with its bar.
        shown: how many of them the page holds.
        total: how many there are.
        counts: samples per bar.
        mine, theirs: blocks for the script: the other run's samples, and the baseline's.
    """

    order: Sequence[tuple[str, int]]
    shown: int
    total: int
    counts: tuple[int, int, int, int]
    mine: dict[str, JSON]
    theirs: dict[str, JSON]


def ordered(pairs: Pairs) -> Iterator[tuple[str, int]]:
    """Every sample of a line with its bar: the largest losses first."""
    for k in pairs.flipped():
        yield pairs.ids[k], LOST if pairs.outcome[k] < 0 else WON
    yield from ((i, APART) for i, _, _ in pairs.missing)
    yield from ((pairs.ids[k], ALIKE) for k in pairs.place("tie"))


def binary(line: Line, c: Comparison) -> bool:
    """Are the samples of a line right or wrong, and nothing between?"""
    import numpy as np

    view = c.by_key[line.b].view
    if view is None or line.pairs is None:
        return False
    m = view.tasks[line.task]["metrics"][line.metric]
    both = np.concatenate([line.pairs.a, line.pairs.b])
    return (m.get("lo"), m.get("hi")) == (0.0, 1.0) and bool(np.isin(both, (0.0, 1.0)).all())


def clips(line: Line, c: Comparison, views: tuple[Mapping[str, SampleView], ...], count: int) -> list[Clip]:
    """The sound of the first `count` samples that flipped, of both runs: what was heard, and both answers."""
    assert line.pairs is not None
    out: list[Clip] = []
    for i, _ in list(ordered(line.pairs))[:count]:
        for side, held in zip((line.a, line.b), views, strict=True):
            run = c.by_key[side].view
            if run is not None and i in held:
                out += clips_of(held[i], run.root)
    return out


def flips(
    line: Line, c: Comparison, views: tuple[Mapping[str, SampleView], ...], limit: int, other: str
) -> Flips:
    """Both blocks of a line.

    Args:
        views: the task's samples in the baseline and in the other run, by id.
        limit: samples the page may hold.
        other: id of the baseline's block.
    """
    pairs = line.pairs
    assert pairs is not None
    a, b = c.by_key[line.a], c.by_key[line.b]
    order = list(ordered(pairs))
    counts = tuple(sum(place == k for _, place in order) for k in range(4))
    values = {i: (float(x), float(y)) for i, x, y in zip(pairs.ids, pairs.a, pairs.b, strict=True)}
    status = {i: (x, y) for i, x, y in pairs.missing}
    right = binary(line, c)
    blocks = []
    for at, side in enumerate((a, b)):
        judges: dict[str, int] = {}
        samples = []
        for i, place in order[:limit]:
            found = _sample(views[at].get(i), i, place, side, judges)
            if found is None and at == 1:
                found = _absent(views[0].get(i), i, place)
            if found is None:
                continue
            samples.append(_valued(found, i, at, values, status, right, line.higher_is_better))
        blocks.append(_block(line, side, samples, judges, counts if at else None, right))
    blocks[1]["others"] = [{"label": a.label, "block": other}]
    return Flips(order, min(limit, len(order)), len(order), counts, blocks[1], blocks[0])  # type: ignore[arg-type]


def _sample(
    view: SampleView | None, i: str, place: int, side: Side, judges: dict[str, int]
) -> dict[str, Any] | None:
    if view is None or side.view is None:
        return None
    return dict(sample_json(view, place, side.view, judges))


def _absent(view: SampleView | None, i: str, place: int) -> dict[str, Any]:
    """A sample that only the baseline has, where the other run's would stand."""
    asked: Mapping[str, Any] = view.asked if view is not None else {}
    return {
        "i": i,
        "b": place,
        "q": str(asked.get("question") or ""),
        "r": "absent: this run has no such sample",
    }


def _valued(
    found: dict[str, Any],
    i: str,
    at: int,
    values: Mapping[str, tuple[float, float]],
    status: Mapping[str, tuple[str, str]],
    right: bool,
    up: bool,
) -> dict[str, Any]:
    """The sample with the value that was compared, and what its row says."""
    found.pop("v", None)
    if i in values:
        if math.isfinite(values[i][at]):
            found["v"] = json_number(values[i][at])
        said = [_said(x, right, up) for x in values[i]]
    else:
        said = list(status.get(i, ("", "")))
    found["l"] = said[at]
    if at == 1:
        found["f"] = said[0] if said[0] == said[1] else f"{said[0]} \u2192 {said[1]}"
    return found


def _said(value: float, right: bool, up: bool) -> str:
    if not math.isfinite(value):
        return "\u2013"
    if right:
        return "right" if (value == 1.0) == up else "wrong"
    return f"{value:.3g}"


def _block(
    line: Line,
    side: Side,
    samples: list[dict[str, Any]],
    judges: Mapping[str, int],
    counts: Sequence[int] | None,
    right: bool,
) -> dict[str, Any]:
    entry = side.view.tasks[line.task] if side.view is not None else {}
    signature = entry["metrics"][line.metric]["signature"] if entry else ""
    bins = [
        {"label": label, "tone": tone, "n": n}
        for (label, tone), n in zip(BINS, counts or (0,) * 4, strict=True)
    ]
    return {
        "task": line.task,
        "run": side.label,
        "signature": signature,
        "metric": line.label,
        "binary": right,
        "higher": line.higher_is_better,
        "bins": bins,
        "picks": [],
        "question": _shared_question(samples),
        "judges": list(judges),
        "samples": samples,
    }


def _shared_question(samples: list[dict[str, Any]]) -> str | None:
    """A question that is the same for all samples (an instruction) stands there once."""
    asked = {s.get("q") for s in samples}
    if len(asked) != 1 or len({s.get("t") for s in samples}) < 2:
        return None
    for sample in samples:
        sample.pop("q", None)
    return next(iter(asked))
