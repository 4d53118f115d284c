"""From two runs and a policy to a verdict: which numbers are gated, and each of them checked."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.gate.checks import (
    as_policy_has_it,
    bound_check,
    coverage_checks,
    difference_check,
    lost_samples,
    needed_of,
    settled,
    signature_check,
    without_value,
)
from evalkit.gate.model import Check, Outcome, Row, first_ids
from evalkit.gate.overall import overall_rows
from evalkit.gate.policy import Policy
from evalkit.gate.terms import Terms, extra_metrics, of_group, of_task, unknown_margins, unused
from evalkit.gate.timing import latency_check, timing_of
from evalkit.inference import Difference, NothingToCompare, compare
from evalkit.pairs import Group, Paired, RunSegments, metric_of, pairs_of
from evalkit.store import Mark
from evalkit.truncation import compared


@dataclass
class Pair:
    """Two runs under one policy, read once."""

    a: RunSegments
    b: RunSegments
    policy: Policy
    found: dict[tuple[str, ...], Difference] = field(default_factory=dict)
    marks: dict[tuple[bool, str], Mapping[str, Mark]] = field(default_factory=dict)

    def paired(self, task: str, metric: str, group: Group | None = None) -> Paired:
        return pairs_of(self.a, self.b, task, metric, group)

    def difference(self, paired: Paired, level: float | None = None) -> Difference:
        """The paired difference, at the policy's level or another one. Raises NothingToCompare."""
        names = (paired.task, paired.metric, *(paired.group or ()))
        at = level if level is not None else self.policy.level
        key = (*names, repr(at))
        if key not in self.found:
            # The seed that `compare` gives the same line: both commands print the same interval.
            seed = zlib.crc32("|".join((str(self.policy.seed), *names)).encode())
            self.found[key] = compare(paired.rows, seed=seed, draws=self.policy.draws, level=at)
        return self.found[key]

    def same_answers(self, paired: Paired) -> bool:
        """Did both runs give the very same answer to every compared sample, and score it alike?"""
        import numpy as np

        return np.array_equal(paired.rows.a, paired.rows.b) and self._alike(paired.task, paired.ids)

    def nothing_differs(self, paired: Paired) -> bool:
        """The same of all samples; those without a score have none in either run."""
        aside = paired.only_a or paired.only_b or paired.missing_a != paired.missing_b
        return not aside and self.same_answers(paired) and self._alike(paired.task, paired.missing_a)

    def _alike(self, task: str, ids: Sequence[str]) -> bool:
        left, right = self._marks(self.a, task), self._marks(self.b, task)
        return all(
            i in left and i in right and (left[i].ok, left[i].answer) == (right[i].ok, right[i].answer)
            for i in ids
        )

    def _marks(self, run: RunSegments, task: str) -> Mapping[str, Mark]:
        key = (run is self.b, task)
        if key not in self.marks:
            self.marks[key] = run.run.task(task).marks()
        return self.marks[key]


def gate(
    baseline: Path | str,
    candidate: Path | str,
    policy: Policy,
    *,
    policy_file: str = "",
    tasks: Sequence[str] = (),
) -> Outcome:
    """Hold a candidate's run against a baseline's.

    Args:
        baseline, candidate: run directories; nothing in them is changed.
        policy_file: name of the policy's file, for the outputs; "" for the built-in policy.
        tasks: globs: only these tasks (and no overalls); none takes everything.

    Raises:
        UsageError: a folder that is no finished run, a policy that asks for what can't be, a glob that fits nothing.
    """
    from evalkit.gate.holm import corrected

    pair = Pair(RunSegments.open(baseline), RunSegments.open(candidate), policy)
    names = [t for t in pair.a.tasks if not tasks or any(fnmatchcase(t, g) for g in tasks)]
    for glob in tasks:
        if not any(fnmatchcase(t, glob) for t in pair.a.tasks):
            have = ", ".join(pair.a.tasks) or "none"
            raise UsageError(f"the baseline has no task that fits {glob!r}; it has: {have}. Check --task.")
    rows = [row for task in names for row in _of_task(pair, task)]
    rows += _required(pair, names) if not tasks else []
    rows += [settle_row(r) for r in overall_rows(pair)] if not tasks else []
    rows = corrected(rows, policy, pair.difference)
    only = tuple(t for t in pair.b.tasks if t not in pair.a.tasks) if not tasks else ()
    mine, theirs = _labels(pair)
    return Outcome(
        mine,
        theirs,
        str(baseline),
        str(candidate),
        policy,
        policy_file,
        tuple(rows),
        tuple(_notes(pair, only)),
        only,
    )


def _labels(pair: Pair) -> tuple[str, str]:
    """What the runs' models are called; with the folders where that is the same."""
    runs = (pair.a, pair.b)
    names = [str((r.results.get("model") or {}).get("label") or r.run.root.name) for r in runs]
    if names[0] == names[1]:
        names = [f"{x} ({r.run.root.resolve().name})" for x, r in zip(names, runs, strict=True)]
    return names[0], names[1]


def _notes(pair: Pair, only: Sequence[str]) -> Iterator[str]:
    if only:
        yield f"only the candidate has {first_ids(only)}: not gated"
    if pair.a.run.root.resolve() == pair.b.run.root.resolve():
        yield "baseline and candidate are the same run"
    models = [r.results.get("model") or {} for r in (pair.a, pair.b)]
    if (one := _decoding(models[0])) != (two := _decoding(models[1])):
        yield f"decoding differs, which belongs to the runner: {one} against {two}"
    if any(m.get("demo") for m in models):
        yield "the embedded demo is no baseline of anything"
    if any((e.get("data") or {}).get("kind") == "smoke" for e in pair.a.tasks.values()):
        yield "smoke data: a few questions of our own in the benchmarks' layout, not the benchmarks"
    for who, run in (("baseline", pair.a), ("candidate", pair.b)):
        if cut := [t for t, e in run.tasks.items() if _pending(e)]:
            yield (
                f"the {who} was interrupted, not all samples were reached of {first_ids(cut)}: "
                "call the command that made it again"
            )
    if any(e.get("limited") for run in (pair.a, pair.b) for e in run.tasks.values()):
        yield "partial data by request (--limit)"
    yield from _unheard(pair)


def _unheard(pair: Pair) -> Iterator[str]:
    """Keys of the policy that hold for nothing here: misspelt, perhaps."""
    tasks = {**pair.b.tasks, **pair.a.tasks}
    groups = {
        t: {
            x
            for key, members in (e.get("groups") or {}).items()
            for x in (key, *(f"{key}={m}" for m in members))
        }
        for t, e in pair.a.tasks.items()
    }
    metrics = {t: set(e["metrics"]) for t, e in tasks.items()}
    overalls = pair.a.results.get("overall") or {}
    required = {
        f"tasks.{t}" for t, rules in pair.policy.tasks.items() if rules.required
    }  # has a row of its own
    for key in unused(pair.policy, dict.fromkeys([*pair.a.tasks, *pair.b.tasks]), overalls, groups, metrics):
        if key not in required:
            yield f"the policy's {key} fits nothing in the runs"
    here = {
        str(x)
        for e in tasks.values()
        for name, m in e["metrics"].items()
        for x in (name, m["label"], m["unit"])
    }
    if unknown_margins(pair.policy, here | {"overall"}):
        for key in unknown_margins(pair.policy, here | {"overall"} | _units()):
            yield f"the policy's {key} is no unit, label or metric"


def _units() -> set[str]:
    """Units, labels and names of every metric there is, in these runs or not."""
    from evalkit.registry import catalogue

    metrics = [m for t in catalogue().tasks.values() for v in t.variants.values() for m in v.metrics]
    return {x for m in metrics for x in (m.name, m.label, m.unit)}


def _pending(entry: Mapping[str, Any]) -> bool:
    return any(m.get("n_pending") for m in entry["metrics"].values())


def _decoding(model: Mapping[str, Any]) -> str:
    given = model.get("generation") or {}
    return ", ".join(f"{k}={v}" for k, v in sorted(given.items())) or "default"


# --- numbers of a task ------------------------------------------------------------------------------


def _of_task(pair: Pair, task: str) -> Iterator[Row]:
    """The headline, the other metrics that the policy names, and the subsets that it names."""
    entry = pair.a.tasks[task]
    headline = str(entry["headline"])
    yield _row(pair, task, headline, None, of_task(pair.policy, task, headline, entry))
    for metric in extra_metrics(pair.policy, task):
        if metric == headline:
            continue
        if metric in entry["metrics"]:
            yield _row(pair, task, metric, None, of_task(pair.policy, task, metric, entry))
        elif task in pair.policy.tasks and metric in pair.policy.tasks[task].metrics:
            known = ", ".join(entry["metrics"])
            raise UsageError(f"tasks.{task}.metrics.{metric}: {task} has no such metric; it has: {known}.")
    for key, members in (entry.get("groups") or {}).items():
        for name in members:
            if (terms := of_group(pair.policy, task, (key, name), entry)) is not None:
                yield _row(pair, task, headline, (key, name), terms)


def _row(pair: Pair, task: str, metric: str, group: Group | None, terms: Terms) -> Row:
    entry = pair.a.tasks[task]
    found = metric_of(entry, metric, group)
    name = task if metric == entry["headline"] else f"{task} ({metric})"
    row = Row(
        name=f"{name} [{group[0]}={group[1]}]" if group else name,
        kind="group" if group else "task" if metric == entry["headline"] else "metric",
        task=task,
        metric=metric,
        label=str(found["label"]),
        unit=str(found["unit"]),
        decimals=int(found["decimals"]),
        higher_is_better=bool(found["higher_is_better"]),
        terms=terms,
        checks=(),
        group=group,
        a=found["value"],
        whole_a=found["value"],
    )
    other = _other(pair, task, metric, group)
    if terms.skip or isinstance(other, str):
        return replace(row, checks=(settled(terms, str(other)),))
    row = replace(row, b=other["value"], whole_b=other["value"])
    refused, allowed = signature_check(pair.a.tasks[task], pair.b.tasks[task], metric, group, terms.allow)
    if refused is not None:
        return replace(row, checks=(refused,))
    return _checked(pair, replace(row, notes=tuple(allowed)), found, other)


def _other(pair: Pair, task: str, metric: str, group: Group | None) -> Mapping[str, Any] | str:
    """The candidate's side of a number, or what it lacks, in words."""
    if task not in pair.b.tasks:
        return "the candidate has no results for this task"
    entry = pair.b.tasks[task]
    try:
        return metric_of(entry, metric, group)
    except UsageError:
        what = f"subset {group[0]}={group[1]}" if group else f"metric {metric}"
        return f"the candidate has no {what} here (its protocol: {entry['protocol']})"


def _checked(pair: Pair, row: Row, one: Mapping[str, Any], two: Mapping[str, Any]) -> Row:
    """A number that both runs have and that may be compared, with all its checks."""
    terms = row.terms
    paired = pair.paired(row.task, row.metric, row.group)
    lost = lost_samples(pair.a.segments(row.task), pair.b.segments(row.task), paired, terms.allow, two)
    checks = coverage_checks(terms, paired, lost, two)
    found: Difference | None = None
    needed = None
    same = False
    missing = without_value(one, two)
    if not missing:
        try:
            found = pair.difference(paired)
        except NothingToCompare as exc:
            missing = str(exc).rstrip(".") if paired.ids else "no sample has a score in both runs"
    if found is not None:
        same = found.wins == found.losses == 0 and pair.same_answers(paired)
        check = difference_check(found, terms, same)
        if (check.found or check.verdict) == "inconclusive":
            needed = needed_of(found, terms, pair.policy.power)
            check = difference_check(found, terms, same, needed=needed, power=pair.policy.power)
        row = replace(row, a=found.a, b=found.b)
    else:
        same = one["value"] is None and two["value"] is None and pair.nothing_differs(paired)
        check = difference_check(None, terms, same, why=missing)
    checks = [check, *checks, *bound_check(terms, two)]
    if row.kind == "task" and terms.latency is not None:
        times = [timing_of(run, row.task) for run in (pair.a, pair.b)]
        checks.append(latency_check(terms.latency, *times))
    return replace(
        row,
        difference=found,
        identical=same,
        needed=needed,
        lost=lost,
        checks=tuple(as_policy_has_it(c, terms) for c in checks),
        notes=(*row.notes, *_said(one, two, paired, lost, found is not None), *_cut_off(pair, row)),
        paired=paired,
    )


def _cut_off(pair: Pair, row: Row) -> Iterator[str]:
    """How many answers the limit of tokens ended, said once per task."""
    sides = {"the baseline": pair.a.tasks[row.task], "the candidate": pair.b.tasks[row.task]}
    if row.kind == "task" and (said := compared(sides)):
        yield said


def settle_row(row: Row) -> Row:
    """The row with what could not be told as the policy counts it."""
    return replace(row, checks=tuple(as_policy_has_it(c, row.terms) for c in row.checks))


def _said(
    one: Mapping[str, Any],
    two: Mapping[str, Any],
    paired: Paired,
    lost: Mapping[str, str],
    compared: bool,
) -> Iterator[str]:
    """What limits trust in a comparison."""
    if not (one["meaningful"] and two["meaningful"]):
        yield "a stand-in judge gave these verdicts: they mean nothing"
    if paired.missing_a and compared:
        kept = f"{len(paired.missing_a)} samples without a score in the baseline are left out"
        yield f"{kept}: {first_ids(paired.missing_a)}"
    if aside := [i for i in paired.only_a if i not in lost]:
        yield f"{len(aside)} samples are in the baseline alone, and left out: {first_ids(aside)}"
    if paired.only_b:
        yield f"{len(paired.only_b)} samples are in the candidate alone, and left out: {first_ids(paired.only_b)}"


# --- what isn't a task of the baseline --------------------------------------------------------------


def _required(pair: Pair, names: Sequence[str]) -> Iterator[Row]:
    """Tasks that the policy requires by name, and that the baseline hasn't: then only the candidate's side is held."""
    for task, rules in pair.policy.tasks.items():
        if task in names or not rules.required or any(c in task for c in "*?["):
            continue
        has = task in pair.b.tasks
        who = "the baseline has no" if has else "neither run has"
        reason = f"the policy requires this task, and {who} results for it"
        checks = (Check("present", "not comparable" if has else "regression", reason),)
        terms = Terms(required=True, source={"required": f"tasks.{task}"})
        yield Row(task, "task", task, "", "", "", 2, True, terms, checks)
