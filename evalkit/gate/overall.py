"""The difference of a benchmark's overall, from the paired differences of its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evalkit.errors import UsageError
from evalkit.gate.checks import (
    bound_check,
    coverage_checks,
    difference_check,
    lost_samples,
    settled,
    signature_check,
)
from evalkit.gate.model import Check, Row, first_ids
from evalkit.gate.terms import Terms, of_overall, of_task
from evalkit.inference import Difference, combined

if TYPE_CHECKING:
    from evalkit.gate.evaluate import Pair
    from evalkit.pairs import Paired


def overall_rows(pair: Pair) -> Iterator[Row]:
    """The benchmarks' overalls that the policy gates."""
    theirs = pair.b.results.get("overall") or {}
    for name, one in (pair.a.results.get("overall") or {}).items():
        terms = of_overall(pair.policy, name)
        if terms is None:
            continue
        row = Row(
            f"{name} overall", "overall", name, "overall", str(one["label"]), "", int(one["decimals"]), True,
            terms, (), a=one["value"], whole_a=one["value"],
        )  # fmt: skip
        if terms.skip or name not in theirs:
            yield replace(row, checks=(settled(terms, "the candidate has no such overall"),))
        else:
            yield _checked(pair, row, one, theirs[name])


def _checked(pair: Pair, row: Row, one: Mapping[str, Any], two: Mapping[str, Any]) -> Row:
    """An overall that both runs have, with its checks."""
    row = replace(row, b=two["value"], whole_b=two["value"])
    terms, found, why = row.terms, None, _without_value(one, two)
    parts = [(str(t["task"]), str(t["metric"]), float(t["factor"])) for t in one.get("terms") or ()]
    if not why and not parts:
        why = "the baseline's results do not hold its parts; call the command that made the run again"
    shared = [(t, m) for t, m, _ in parts if t in pair.a.tasks and t in pair.b.tasks]
    for task, metric in shared:
        own = _terms_of(pair, task)
        refused, allowed = signature_check(pair.a.tasks[task], pair.b.tasks[task], metric, None, own.allow)
        if refused is not None:
            return replace(row, checks=(replace(refused, reason=f"{task}: {refused.reason}"),))
        if own.skip:  # else the task's own row says it
            row = replace(row, notes=(*row.notes, *(f"{task}: {x}" for x in allowed)))
    paired = [pair.paired(t, m) for t, m in shared] if shared else []
    if not why:
        try:
            differences = [(pair.difference(pair.paired(t, m)), factor) for t, m, factor in parts]
            found = combined(differences, round_parts=one.get("round_parts"))
        except UsageError as exc:
            why = str(exc).rstrip(".")
    alike = pair.nothing_differs if found is None else pair.same_answers
    same = bool(paired) and one["missing"] == two["missing"] and all(alike(p) for p in paired)
    check = difference_check(found, terms, same, why=why)
    row = row if found is None else replace(row, a=found.a, b=found.b)
    checks = (check, *_lost(pair, paired), *bound_check(terms, two))
    return replace(row, difference=found, identical=same, checks=checks)


def _lost(pair: Pair, parts: list[Paired]) -> Iterator[Check]:
    """Samples without a score in the candidate hide as much here as in their task, which may not be gated itself."""
    found = []
    for p in parts:
        terms = _terms_of(pair, p.task)
        two = pair.b.tasks[p.task]["metrics"][p.metric]
        lost = lost_samples(pair.a.segments(p.task), pair.b.segments(p.task), p, terms.allow, two)
        limit = replace(terms, min_scored=None, max_errors=None)
        for check in coverage_checks(limit, p, lost, two):
            found.append(replace(check, reason=f"{p.task}: {check.reason}"))
    broken = [c for c in found if c.verdict == "regression"]
    if broken:
        yield replace(broken[0], reason="; ".join(c.reason for c in broken))
    elif any(c.value for c in found):
        said = [c for c in found if c.value]
        yield replace(said[0], reason="; ".join(c.reason for c in said))
    elif found:
        yield Check("max_lost", "pass", "no sample was lost")


def _terms_of(pair: Pair, task: str) -> Terms:
    """What a part has to hold as a task of its own."""
    entry = pair.a.tasks[task]
    return of_task(pair.policy, task, str(entry["headline"]), entry)


def _without_value(one: Mapping[str, Any], two: Mapping[str, Any]) -> str:
    for who, found in (("baseline", one), ("candidate", two)):
        if found["value"] is None:
            return f"the {who} has no value: it lacks {first_ids(found['missing'])}"
    return ""


def upper_reach(found: Difference) -> float:
    """How far the interval of the gain reaches above it, in printed points; NaN without an interval."""
    ends = found.gain_ci
    return float("nan") if ends is None else ends[1] - found.gain
