"""What a score is made of: how many samples were right, wrong, rated 3, unscored for this reason."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reports.runs import headline
from reports.samples import SampleView

MAX_DISTINCT = 11
BINS = 10


@dataclass(frozen=True)
class Bin:
    """One bar: its label, how many samples, and a tone from 0 (bad) to 4 (good), "unscored" or "error"."""

    label: str
    n: int
    tone: str


def _tone(position: float) -> str:
    return str(min(4, int(position * 5)))


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _value_bins(
    values: Sequence[float], higher_is_better: bool, scale: tuple[float, float]
) -> list[tuple[float, Bin]]:
    """(lower edge, bin) from bad to good."""
    counts = Counter(values)
    if scale == (0.0, 1.0) and set(counts) <= {0.0, 1.0}:  # on a wider scale 1 is a rating, maybe the lowest
        good, bad = (1.0, 0.0) if higher_is_better else (0.0, 1.0)
        return [(bad, Bin("wrong", counts[bad], "0")), (good, Bin("right", counts[good], "4"))]
    lo, hi = min(scale[0], min(values)), max(scale[1], max(values))
    width = (hi - lo) or 1.0
    if all(v.is_integer() for v in (lo, hi, *counts)) and width < MAX_DISTINCT:
        counts.update({lo + i: 0 for i in range(int(width) + 1)})  # a rating nobody got is news as well

    def tone(value: float) -> str:
        place = (value - lo) / width
        return _tone(place if higher_is_better else 1.0 - place)

    if len(counts) <= MAX_DISTINCT:
        bins = [(v, Bin(_short(v), n, tone(v))) for v, n in sorted(counts.items())]
    else:
        lo, hi = min(values), max(values)
        step = (hi - lo) / BINS
        edges = [lo + i * step for i in range(BINS)]
        sizes = Counter(min(BINS - 1, int((v - lo) / step)) for v in values)
        bins = [
            (edge, Bin(f"{_short(edge)}\u2013{_short(edge + step)}", sizes[i], tone(edge + step / 2)))
            for i, edge in enumerate(edges)
        ]
    return bins if higher_is_better else bins[::-1]


def _scale(metric: Mapping[str, Any], values: Sequence[float]) -> tuple[float, float]:
    """The range of one sample's value: as results.json has it, or as the unit and the values suggest."""
    if metric.get("lo") is not None and metric.get("hi") is not None:
        return float(metric["lo"]), float(metric["hi"])
    lo, hi = min(values), max(values)
    if metric["unit"] in ("1-5", "MOS") and lo >= 1 and hi <= 5:
        return 1.0, 5.0
    return (0.0, 1.0) if lo >= 0 and hi <= 1 else (lo, hi)


def _nearest(value: float) -> float:
    return float(math.floor(value + 0.5))


def _stepped(metric: Mapping[str, Any], values: Sequence[float]) -> bool:
    """Are these ratings between the steps of a scale (G-Eval, means of votes), to be shown at the nearest step?

    Opinion scores (MOS) are no steps: what tells models apart lies between them.
    """
    lo, hi = (min(_scale(metric, values)[0], *values), max(_scale(metric, values)[1], *values))
    whole = float(lo).is_integer() and float(hi).is_integer() and 1 < hi - lo < MAX_DISTINCT
    return whole and metric["unit"] != "MOS" and not all(float(v).is_integer() for v in values)


def _place(value: float, edges: Sequence[float], binned: bool) -> int:
    if not binned:
        return edges.index(value)
    below = [i for i, edge in enumerate(edges) if edge <= value]
    return max(below, key=lambda i: edges[i])


def anatomy(views: Sequence[SampleView], entry: Mapping[str, Any]) -> tuple[list[Bin], list[int]]:
    """The bars of a task's headline score, and for each sample the bar it is in.

    Ratings between the steps of their scale have a bar per step, each at the nearest (a half at the upper one).
    """
    metric = headline(entry)
    values = [v.value for v in views if v.value is not None]
    if values and _stepped(metric, values):
        views = [replace(v, value=None if v.value is None else _nearest(v.value)) for v in views]
        values = [_nearest(v) for v in values]
    found = _value_bins(values, metric["higher_is_better"], _scale(metric, values)) if values else []
    binned = len(set(values)) > MAX_DISTINCT
    edges = [edge for edge, _ in found]
    failures = Counter((v.status, v.code) for v in views if v.value is None)
    bins = [b for _, b in found]
    places: dict[tuple[str, str], int] = {}
    for (status, code), n in sorted(failures.items()):
        places[status, code] = len(bins)
        bins.append(Bin(f"{'error' if status == 'error' else 'unscored'}: {code}", n, status))
    spots = [places[v.status, v.code] if v.value is None else _place(v.value, edges, binned) for v in views]
    return bins, spots
