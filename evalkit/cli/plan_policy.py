"""What a gate's policy asks of each task, put as `plan`'s question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalkit.errors import UsageError
from evalkit.inference.power import Rule
from evalkit.pairs import RunSegments
from evalkit.registry import Catalogue
from evalkit.sizing import Number, Question, number_of

RULES: Mapping[str, Rule] = {
    "non-inferiority": "non-inferiority",
    "point": "non-inferiority",
    "superiority": "superiority",
    "no-significant-drop": "two-sided",
}
"""Which question a gate's rule puts. One that goes by the number alone asks none: the default's is planned for."""


def asked_by(
    path: str,
    asked: Question,
    tasks: Sequence[str],
    runs: Sequence[RunSegments],
    known: Catalogue,
    metric: str | None,
) -> tuple[Question, list[str]]:
    """The question with the policy's level, power, margins and rules, and the tasks that the policy gates.

    Raises:
        UsageError: no such policy, or a wrong one; it gates none of the tasks.
    """
    from evalkit.gate.policy import read_policy
    from evalkit.gate.terms import of_overall, of_task

    policy = read_policy(path)
    margins: dict[str, float] = {}
    rules: dict[str, Rule] = {}
    kept = []
    for task in tasks:
        entry = _entry(task, runs, known, metric)
        terms = of_task(policy, task, metric or str(entry["headline"]), entry)
        if terms.skip:
            continue
        kept.append(task)
        rules[task] = RULES[terms.rule]
        # A better candidate has to be better by something: of that, a margin of 0 says nothing.
        if terms.margin > 0 or terms.rule == "non-inferiority":
            margins[task] = terms.margin
    for name in known.overalls:
        if (whole := of_overall(policy, name)) is not None:
            margins[name] = whole.margin
    if not kept:
        raise UsageError(f"{path} gates none of these tasks.")
    alpha = round(1 - policy.level, 12)
    return replace(asked, margins=margins, rules=rules, power=policy.power, alpha=alpha), kept


def _entry(task: str, runs: Sequence[RunSegments], known: Catalogue, metric: str | None) -> Mapping[str, Any]:
    """The task as results.json has it; without a run, as much of it as a policy goes by."""
    for run in runs:
        if task in run.tasks:
            return run.tasks[task]
    found: Number = number_of(known.tasks[task], metric)
    about = {
        "label": found.label,
        "unit": found.unit,
        "scale": found.scale,
        "lo": found.lo,
        "hi": found.hi if found.span is not None else None,
        "higher_is_better": found.higher_is_better,
    }
    return {"metrics": {found.metric: about}, "headline": found.metric, "groups": {}}
