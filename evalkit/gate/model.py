"""What a gate found: numbers, the checks on each, and the verdict of all. Every output is made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from evalkit.gate.terms import Terms
from evalkit.gate.verdicts import CODES, ORDER, Verdict, worst
from reports.safe import shorten

if TYPE_CHECKING:
    from evalkit.gate.policy import Policy
    from evalkit.inference import Difference
    from evalkit.pairs import Paired

CheckName = Literal[
    "present",
    "signature",
    "difference",
    "floor",
    "ceiling",
    "max_lost",
    "min_scored",
    "max_errors",
    "latency",
]


@dataclass(frozen=True)
class Check:
    """One thing that was asked of a number.

    Attributes:
        name: what was asked.
        verdict: what counts. `found` is what the data say, where the policy counts something else (`on_inconclusive`).
        reason: a sentence without a full stop.
        value, limit: what was compared with what, where that is two numbers.
    """

    name: CheckName
    verdict: Verdict
    reason: str
    value: float | None = None
    limit: float | None = None
    found: Verdict | None = None


@dataclass(frozen=True)
class Row:
    """One number, with all that was asked of it.

    Attributes:
        name: "voicebench/sd-qa", "voicebench/sd-qa [region=usa]", "voicebench/sd-qa (gpt)", "voicebench overall".
        kind: what it is.
        label, unit, decimals, higher_is_better: as in results.json.
        a, b: both runs' numbers over the samples compared; those of results.json where none are compared.
        whole_a, whole_b: the numbers of results.json.
        identical: every sample has the same answer in both runs.
        needed: samples that would settle an inconclusive difference, with the policy's power.
        lost: samples scored in the baseline that the candidate has no score for, and why, in words.
        notes: sentences for the reader.
        paired: the samples; None where none are compared.
    """

    name: str
    kind: Literal["task", "metric", "group", "overall"]
    task: str
    metric: str
    label: str
    unit: str
    decimals: int
    higher_is_better: bool
    terms: Terms
    checks: tuple[Check, ...]
    group: tuple[str, str] | None = None
    a: float | None = None
    b: float | None = None
    whole_a: float | None = None
    whole_b: float | None = None
    difference: Difference | None = None
    identical: bool = False
    needed: int | None = None
    lost: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    paired: Paired | None = field(default=None, repr=False, compare=False)

    @property
    def verdict(self) -> Verdict:
        """The gravest of its checks."""
        return worst([c.verdict for c in self.checks])

    @property
    def reasons(self) -> list[str]:
        """Why the verdict is what it is: the reasons of the checks that made it."""
        return [c.reason for c in self.checks if c.verdict == self.verdict and c.reason]


@dataclass(frozen=True)
class Outcome:
    """A gate's verdict.

    Attributes:
        baseline, candidate: what tables call the runs.
        baseline_dir, candidate_dir: their directories, as given.
        policy: the policy in force; policy_file: its file's name, "" for the built-in one.
        notes: sentences about the whole (tasks of the candidate alone, keys of the policy that fit nothing).
    """

    baseline: str
    candidate: str
    baseline_dir: str
    candidate_dir: str
    policy: Policy
    policy_file: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    only_candidate: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[Verdict, int]:
        """Numbers by verdict, the gravest first."""
        found = Counter(r.verdict for r in self.rows)
        return {v: found[v] for v in reversed(ORDER) if found[v]}

    @property
    def verdict(self) -> Verdict:
        """The gravest of all numbers; nothing gated at all is not comparable."""
        verdicts = [r.verdict for r in self.rows]
        return worst(verdicts) if set(verdicts) - {"skipped"} else "not comparable"

    @property
    def code(self) -> int:
        """The exit code: 1 before 5 before 4 before 0."""
        return CODES[self.verdict]

    def find(self, name: str) -> list[Row]:
        """The rows of a task (or benchmark's overall), or the one row of this name."""
        exact: list[Row] = [r for r in self.rows if r.name == name]
        return exact or [r for r in self.rows if r.task == name]


def first_ids(ids: Sequence[Any], most: int = 5) -> str:
    """ "q01, q02 and 7 more"."""
    named = ", ".join(shorten(str(i), 80) for i in ids[:most])
    return named + (f" and {len(ids) - most} more" if len(ids) > most else "")
