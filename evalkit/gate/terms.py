"""Which rule holds for which number: the layers of a policy, the most specific last, field by field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from evalkit.errors import UsageError
from evalkit.gate.policy import Bar, Latency, Limits, OnInconclusive, Policy, Rule, TaskRules, entries

MAX_LOST = 0.01
"""Default of `max_lost`: what a hundredth of the samples can hide is as much as the default margin of a share."""
ERROR_RATE_MARGIN, RATING_MARGIN, SHARE = 0.5, 0.05, 0.01
OVERALL_MARGIN = 1.0
GLOB = re.compile(r"[*?\[]")

BUILT_IN = "built in"


@dataclass(frozen=True)
class Terms:
    """What one number has to hold, every field decided.

    Attributes:
        margin: printed points.
        source: by field, the key of the policy that said it, or "built in".
    """

    rule: Rule = "non-inferiority"
    margin: float = 1.0
    floor: float | None = None
    ceiling: float | None = None
    bound_by: str = "value"
    on_inconclusive: OnInconclusive = "inconclusive"
    required: bool | None = None
    skip: bool = False
    max_lost: float | None = MAX_LOST
    min_scored: float | None = None
    max_errors: int | None = None
    latency: Latency | None = None
    allow: tuple[str, ...] = ()
    source: Mapping[str, str] = field(default_factory=dict)


def default_margin(
    unit: str, higher_is_better: bool, lo: float | None, hi: float | None, scale: float
) -> float:
    """The margin of a number that no policy speaks of: docs/gates.md, "Without a policy".

    Shares in percent and 0-100: 1 point; ratings 1-5 and MOS: 0.05; error rates: 0.5 points; other scales with two
    ends: a hundredth of their range. `lo`, `hi`: range of one segment before `scale`.
    """
    if not higher_is_better:
        return ERROR_RATE_MARGIN
    if unit in ("1-5", "MOS"):
        return RATING_MARGIN
    if unit in ("%", "0-100") or lo is None or hi is None:
        return 1.0
    return round(SHARE * (hi - lo) * scale, 6)


def specificity(pattern: str) -> tuple[int, int]:
    """Order of patterns that fit one name: without wildcards beats with, then the one with more letters of its own."""
    return (0 if GLOB.search(pattern) else 1, len(re.sub(r"\[[^\]]*\]|[*?]", "", pattern)))


def layers(policy: Policy, task: str) -> list[tuple[str, TaskRules]]:
    """The entries of a policy that speak of a task, the least specific first; of equals, the later wins."""
    benchmark = task.partition("/")[0]
    found = [("defaults", policy.defaults)]
    found += _fitting("benchmarks", policy.benchmarks, benchmark)
    return found + _fitting("tasks", policy.tasks, task)


def _fitting(section: str, entries: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    fits = sorted((p for p in entries if fnmatchcase(name, p)), key=specificity)
    return [(f"{section}.{p}", entries[p]) for p in fits]


def _apply(terms: Terms, where: str, bar: Bar, fields: Iterable[str], margins: tuple[str, ...]) -> Terms:
    said: dict[str, Any] = {}
    for name in fields:
        value = getattr(bar, name, None) if name else None
        if name == "margin" and isinstance(value, dict):
            value = next((value[k] for k in margins if k in value), None)
        if value is not None:
            said[name] = value
    return replace(terms, **said, source={**terms.source, **dict.fromkeys(said, where)})


_BAR = tuple(Bar.model_fields)
_LIMITS = tuple(Limits.model_fields)
_TASK = (*_LIMITS, "latency", "allow")
_SHARED = ("rule", "on_inconclusive", "required", "skip", "max_lost", "min_scored", "max_errors", "allow")
"""What a task's entry says for all of its numbers; margins, floors and ceilings are of the headline."""
_GROUPED = ("rule", "margin", "on_inconclusive", "allow")
"""What a task's entry says for its subsets, too; limits on lost samples are of the whole: in a few, one is many."""


def of_task(policy: Policy, task: str, metric: str, entry: Mapping[str, Any]) -> Terms:
    """The terms of a task's number. `entry`: the task in the baseline's results.json.

    Raises:
        UsageError: a floor on an error rate, or a ceiling on a score.
    """
    found, headline = entry["metrics"][metric], metric == entry["headline"]
    terms, margins = _start(found), _names(metric, found)
    for where, rules in layers(policy, task):
        # A margin by unit is meant for every number of that unit.
        wide = "margin" if isinstance(rules.margin, dict) else ""
        terms = _apply(terms, where, rules, _TASK if headline else (*_SHARED, wide), margins)
    for where, rules in layers(policy, task):
        if metric in rules.metrics:
            terms = _apply(terms, f"{where}.metrics.{metric}", rules.metrics[metric], _LIMITS, margins)
    return _one_sided(terms, task, found)


def of_group(policy: Policy, task: str, group: tuple[str, str], entry: Mapping[str, Any]) -> Terms | None:
    """The terms of a subset's headline, or None when no entry gates this subset."""
    metric = entry["headline"]
    found = entry["groups"][group[0]][group[1]][metric]
    terms, margins, asked = replace(_start(found), max_lost=None), _names(metric, found), False
    key, one = group[0], f"{group[0]}={group[1]}"
    for where, rules in layers(policy, task):
        terms = _apply(terms, where, rules, _GROUPED, margins)
    for where, rules in layers(policy, task):
        for name in (key, one):
            if name in rules.groups:
                asked = True
                terms = _apply(terms, f"{where}.groups.{name}", rules.groups[name], _LIMITS, margins)
    return _one_sided(terms, f"{task} [{one}]", found) if asked else None


def of_overall(policy: Policy, name: str) -> Terms | None:
    """The terms of a benchmark's overall, or None when no entry gates it."""
    fits = _fitting("overall", policy.overall, name)
    if not fits:
        return None
    terms = replace(Terms(margin=OVERALL_MARGIN, max_lost=None), source={"margin": BUILT_IN})
    terms = _apply(
        terms, "defaults", policy.defaults, ("rule", "margin", "on_inconclusive", "allow"), ("overall",)
    )
    for where, bar in fits:
        terms = _apply(terms, where, bar, _BAR, ("overall",))
    if terms.ceiling is not None:
        raise UsageError(f"{terms.source['ceiling']}.ceiling: of an overall, higher is better; write floor.")
    return terms


def extra_metrics(policy: Policy, task: str) -> list[str]:
    """Metrics beside the headline that entries gate."""
    return list(dict.fromkeys(m for _, rules in layers(policy, task) for m in rules.metrics))


def _start(found: Mapping[str, Any]) -> Terms:
    margin = default_margin(
        str(found.get("unit") or ""),
        bool(found["higher_is_better"]),
        found.get("lo"),
        found.get("hi"),
        float(found.get("scale", 1.0)),
    )
    return Terms(margin=margin, source={"margin": BUILT_IN})


def _names(metric: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    """The names under which a margin by name is looked up, the closest first."""
    return (metric, str(found.get("label")), str(found.get("unit")))


def _one_sided(terms: Terms, name: str, found: Mapping[str, Any]) -> Terms:
    """The terms with the limit that fits the number's direction. Raises UsageError for a wrong one meant for it."""
    wrong, right = ("ceiling", "floor") if found["higher_is_better"] else ("floor", "ceiling")
    if getattr(terms, wrong) is None:
        return terms
    source = terms.source[wrong]
    # `defaults` and globs speak of numbers of both directions.
    if source == "defaults" or GLOB.search(source) or source.startswith("benchmarks."):
        return replace(terms, ceiling=None) if found["higher_is_better"] else replace(terms, floor=None)
    better = "higher" if found["higher_is_better"] else "lower"
    raise UsageError(f"{source}.{wrong}: of {name} ({found['label']}), {better} is better; write {right}.")


def unused(
    policy: Policy,
    tasks: Iterable[str],
    overalls: Iterable[str],
    groups: Mapping[str, set[str]],
    metrics: Mapping[str, set[str]],
) -> list[str]:
    """Keys of a policy that speak of nothing in the two runs: misspelt, perhaps.

    Args:
        groups: by task, its subsets as "key" and "key=name".
        metrics: by task, the names of its numbers.
    """
    names = list(tasks)
    benchmarks = {t.partition("/")[0] for t in names}
    out = []
    for section, said, known in (
        ("benchmarks", policy.benchmarks, benchmarks),
        ("tasks", policy.tasks, names),
        ("overall", policy.overall, list(overalls)),
    ):
        for pattern in said:
            if not any(fnmatchcase(n, pattern) for n in known):
                out.append(f"{section}.{pattern}")
    held: dict[str, bool] = {}
    for task in names:
        for where, rules in layers(policy, task):
            for kind, named, there in (("groups", rules.groups, groups), ("metrics", rules.metrics, metrics)):
                for key in named:
                    at = f"{where}.{kind}.{key}"
                    held[at] = held.get(at, False) or key in there.get(task, ())
    return out + [at for at, used in held.items() if not used]


def unknown_margins(policy: Policy, known: set[str]) -> list[str]:
    """Keys of margins by name ("defaults.margin.WERR") that are none of the known units, labels and metrics."""
    return [
        f"{where}.margin.{name}"
        for where, bar in entries(policy)
        if isinstance(bar.margin, dict)
        for name in bar.margin
        if name not in known
    ]
