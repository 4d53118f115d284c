"""The comparison object: runs side by side, a line per number, why a line has no number. All formats are made of it.

Gates read it, too: `reports.comparison.compare_runs` makes it, and nothing in it depends on how it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from evalkit.inference import Difference

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from reports.runs import RunView

Kind = Literal["task", "metric", "group", "overall"]
Verdict = Literal["better", "worse", "undecided", "untested", "refused"]
Outcome = Literal["win", "loss", "tie"]

HEADLINES, OTHERS, GROUPS, OVERALLS = "headlines", "other metrics", "groups", "overalls"
"""The families of tests that Holm's correction is made over, each on its own."""


@dataclass(frozen=True)
class Side:
    """A run, or a model of the report as printed.

    Attributes:
        key: short name inside the comparison: "a" is the baseline, then "b", "c", ...
        label: what columns call it.
        kind: "run", or "published": printed numbers without samples.
        folder: name of the run's directory; "" of a published model.
        view: the run; None of a published model.
    """

    key: str
    label: str
    kind: Literal["run", "published"] = "run"
    folder: str = ""
    view: RunView | None = field(default=None, repr=False, compare=False)

    @property
    def tags(self) -> tuple[str, ...]:
        """What has to stand beside the name wherever it stands."""
        if self.view is None:
            return ("as printed",)
        return ("embedded demo",) * self.view.demo + ("smoke data",) * self.view.smoke


@dataclass(frozen=True)
class Part:
    """A part of the signature in which two numbers differ.

    Attributes:
        name: "protocol", "prompt", "data", "n", "judges", "evalkit".
        a, b: both values; "" where a signature lacks the part.
    """

    name: str
    a: str
    b: str


@dataclass(frozen=True)
class Coverage:
    """What a run has of the samples behind a number.

    Attributes:
        n: samples the run set out to answer.
        scored, unscored, errored, pending: how they ended; pending were not reached.
        only: samples on record here, and not in the other run.
        unpaired: samples scored here that are left out, because the other run has no score for them (or no such
            sample).
    """

    n: int
    scored: int
    unscored: int = 0
    errored: int = 0
    pending: int = 0
    only: int = 0
    unpaired: int = 0

    @property
    def complete(self) -> bool:
        """Is every sample scored?"""
        return self.scored == self.n

    def words(self) -> str:
        """ "98 of 100 scored, 1 unscored, 1 errored"."""
        said = [f"{self.scored:,} of {self.n:,} scored"]
        named = (
            (self.unscored, "unscored"),
            (self.errored, "errored"),
            (self.pending, "not run yet"),
            (self.only, "not in the other run"),
        )
        return ", ".join(said + [f"{k:,} {word}" for k, word in named if k])


@dataclass(frozen=True)
class Pairs:
    """The samples behind a line, one by one, in order of their ids.

    Attributes:
        ids: samples scored in both runs.
        a, b: each one's value in both, on the scale of a verdict (0/1, a rating, an error rate of this one sample);
            shape (n,).
        outcome: 1 where the other run did better than the baseline, -1 where worse, 0 where alike; shape (n,).
        missing: samples without a pair, and what either run has of them: "scored", "unscored", "errored" or "absent".
    """

    ids: Sequence[str]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    outcome: NDArray[np.int8]
    missing: Sequence[tuple[str, str, str]] = ()

    def flipped(self) -> Iterator[int]:
        """Places of the samples that got worse, the largest change first; then of those that got better."""
        import numpy as np

        change = np.abs(self.b - self.a)
        change[~np.isfinite(change)] = np.inf
        for sign in (-1, 1):
            places = np.flatnonzero(self.outcome == sign)
            yield from places[np.argsort(-change[places], kind="stable")].tolist()

    def place(self, outcome: Outcome) -> list[int]:
        """Places of the wins, losses or ties, the largest change first."""
        import numpy as np

        sign = {"win": 1, "loss": -1, "tie": 0}[outcome]
        if sign == 0:
            return [int(i) for i in np.flatnonzero(self.outcome == 0)]
        return [i for i in self.flipped() if self.outcome[i] == sign]


@dataclass(frozen=True)
class Line:
    """One number of two sides, compared; or why it can't be.

    Attributes:
        a, b: keys of the sides; `a` is what `b` is measured against.
        kind: "task" (a task's headline), "metric" (another of its numbers), "group" (one of a task's subsets) or
            "overall" (a benchmark's).
        task: the task's name; of an overall, the overall's.
        benchmark, title, metric, label, unit, decimals, higher_is_better: what is measured, as in results.json.
        group: key and name of the subset.
        paired: compared sample by sample. False: against a printed number, or an overall.
        difference: the outcome; None when there is none, and `why` says why.
        p_holm: p, corrected for all tests of the line's family in this comparison (Holm 1979).
        family: which tests those are.
        refused: parts of the signature in which the sides differ and may not.
        allowed: parts in which they differ, by leave of the caller.
        coverage_a, coverage_b: None of a published model and of an overall.
        whole_a, whole_b: each side's own number over all its samples, as its results.json or the report has it.
        bound: what the difference could be if every missing sample of either run were as bad, or as good, as can be;
            None when nothing is missing, or nothing bounds it.
        clustered: what samples are clustered by ("speaker"), or "".
        printed_n: samples that a printed number is taken to be of; None where that isn't known, or nothing is printed.
        marks: "not-meaningful", "demo", "smoke", "limited", "own-data", "withheld", "misprint", "footnote",
            "decoding", "truncated" (answers), "changed" (questions), "partial" (verdicts).
        notes: sentences for the reader.
        pairs: the samples; None where there are none.
    """

    a: str
    b: str
    kind: Kind
    task: str
    benchmark: str
    title: str
    metric: str
    label: str
    unit: str
    decimals: int
    higher_is_better: bool
    group: tuple[str, str] | None = None
    paired: bool = True
    difference: Difference | None = None
    p_holm: float | None = None
    family: str = HEADLINES
    why: str = ""
    refused: tuple[Part, ...] = ()
    allowed: tuple[Part, ...] = ()
    coverage_a: Coverage | None = None
    coverage_b: Coverage | None = None
    whole_a: float | None = None
    whole_b: float | None = None
    bound: tuple[float, float] | None = None
    clustered: str = ""
    printed_n: int | None = None
    marks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pairs: Pairs | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The task, with the subset where there is one: "voicebench/sd-qa [region=usa]"."""
        return f"{self.task} [{self.group[0]}={self.group[1]}]" if self.group else self.task

    def verdict(self, alpha: float = 0.05) -> Verdict:
        """What the corrected p says at this level: "undecided" is no proof that there is no difference."""
        if self.refused:
            return "refused"
        if self.difference is None or self.p_holm is None:
            return "untested"
        if self.p_holm >= alpha or self.difference.gain == 0:
            return "undecided"
        return "better" if self.difference.gain > 0 else "worse"


@dataclass(frozen=True)
class Comparison:
    """Runs compared number by number.

    Attributes:
        sides: the baseline first.
        lines: in order of the pairs of sides, then of the baseline's tasks; overalls after their benchmark's tasks.
        level, draws, seed: of intervals and of tests that resample.
        allowed: parts of signatures that the caller lets differ.
        alone: tasks that not both sides of a pair have: (a, b, task, key of the side that has it).
    """

    sides: tuple[Side, ...]
    lines: tuple[Line, ...]
    level: float = 0.95
    draws: int = 10_000
    seed: int = 0
    allowed: tuple[str, ...] = ()
    alone: tuple[tuple[str, str, str, str], ...] = ()

    @cached_property
    def by_key(self) -> dict[str, Side]:
        """The sides by their keys."""
        return {s.key: s for s in self.sides}

    @property
    def alpha(self) -> float:
        """The level of tests that belongs to that of the intervals (0.05 for 95 %)."""
        return round(1.0 - self.level, 12)

    @property
    def pairs(self) -> list[tuple[Side, Side]]:
        """The pairs of sides compared, in order."""
        keys = dict.fromkeys((x.a, x.b) for x in self.lines)
        return [(self.by_key[a], self.by_key[b]) for a, b in keys]

    @property
    def refused(self) -> list[Line]:
        """Lines that were not compared because the numbers were made in different ways."""
        return [x for x in self.lines if x.refused]

    @property
    def shown(self) -> bool:
        """Is there more to show than refusals? An overall without its parts is nothing of its own."""
        return any(not x.refused and (x.kind != "overall" or x.difference is not None) for x in self.lines)

    @property
    def compared(self) -> list[Line]:
        """Lines with a difference."""
        return [x for x in self.lines if x.difference is not None]

    def __repr__(self) -> str:
        """What is compared, short enough for the end of a notebook's cell."""
        sides = ", ".join(f"{s.key}={s.label!r}" for s in self.sides)
        return f"Comparison({sides}, {len(self.lines)} lines; .frame() is the table)"

    def frame(self) -> pd.DataFrame:
        """One row per line, with the columns of compare.csv."""
        return _frames().frame_of(self)

    def samples(self) -> pd.DataFrame:
        """One row per sample and line, with the columns of compare_pairs.csv: outcome, both values, both answers."""
        return _frames().pairs_of(self)

    def find(self, task: str, metric: str | None = None, *, b: str | None = None) -> Line | None:
        """The line of a task's headline, or of one of its metrics; `b` picks the side where there are several."""
        for x in self.lines:
            wanted = metric == x.metric or (metric is None and x.kind in ("task", "overall"))
            if wanted and x.task == task and x.group is None and b in (None, x.b):
                return x
        return None


def _frames() -> Any:
    """What makes pandas tables; it reads this file, so that it is looked up late."""
    return import_module("reports.comparison.frames")
