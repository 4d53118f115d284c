"""`plan`: how many samples each task needs, and what difference the samples there are can detect."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from evalkit.cli import plan_text
from evalkit.errors import UsageError
from evalkit.pairs import RunSegments
from evalkit.published import models
from evalkit.registry import Catalogue, catalogue, suggestion
from evalkit.sizing import REFERENCE, OverallSizing, Question, Sizing, size, size_overall
from evalkit.task import Task

FORMATS = {"text": plan_text.text, "md": plan_text.markdown, "csv": plan_text.csv_text}


def call(args: argparse.Namespace) -> int:
    """Print the plan; 0."""
    formats = _formats(args)
    if len(args.runs) > 2:
        raise UsageError(f"plan takes no run, one, or baseline and candidate; these are {len(args.runs)}.")
    runs = [RunSegments.open(path) for path in args.runs]
    known = catalogue()
    asked, tasks = _question(args), _tasks(args, runs, known)
    if args.metric and not any(_has(t, args.metric, runs, known) for t in tasks):
        raise UsageError(f"none of these tasks has a metric {args.metric!r}.")
    tasks = [t for t in tasks if not args.metric or _has(t, args.metric, runs, known)]
    if args.policy:
        asked, tasks = _by_policy(args, asked, tasks, runs, known)
    found = [size(t, runs, _declared(t, known), asked, args.metric) for t in tasks]
    overalls, left_out = _overalls(found, runs, asked, known)
    plan = plan_text.Plan(asked, tuple(args.runs), tuple(found), tuple(overalls), tuple(left_out))
    if args.json:
        print(json.dumps(plan_text.as_json(plan), indent=1, ensure_ascii=False))
    elif args.out is None:
        print(FORMATS[formats[0]](plan), end="")
    else:
        _write(plan, formats, Path(args.out))
    return 0


def _formats(args: argparse.Namespace) -> list[str]:
    """Names of the formats asked for."""
    names = [n.strip() for n in (args.format or "text").split(",") if n.strip()]
    if unknown := [n for n in names if n not in FORMATS]:
        raise UsageError(
            f"plan has no format {unknown[0]!r}; it has: {', '.join(FORMATS)}. For JSON: --json."
        )
    if not names:
        raise UsageError(f"--format names none of {', '.join(FORMATS)}.")
    if len(names) > 1 and args.out is None:
        raise UsageError(
            "several formats can't be printed into one another; say where to write them with --out DIR."
        )
    if args.out and Path(args.out).suffix in (".md", ".csv", ".txt", ".json") and not Path(args.out).is_dir():
        raise UsageError(
            f"--out {args.out} names a file; name the folder to write into (and --format picks)."
        )
    return names


def _write(plan: plan_text.Plan, formats: Sequence[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in formats:
        path = folder / f"plan.{'txt' if name == 'text' else name}"
        path.write_text(FORMATS[name](plan), encoding="utf-8")
        print(path)


def _question(args: argparse.Namespace) -> Question:
    """What is asked, from the arguments and the policy."""
    reference = args.reference or REFERENCE
    if reference not in models():
        near = suggestion(reference, list(models()))
        raise UsageError(f"the report prints no model {reference!r}.{near} Known: {', '.join(models())}.")
    asked = Question(
        margin_rating=args.margin_rating,
        margin_wer=args.margin_wer,
        correlation=args.correlation,
        sd=args.sd,
        reference=reference,
        unpaired=args.unpaired,
    )
    given = {
        k: getattr(args, k) for k in ("margin", "rule", "power", "alpha") if getattr(args, k) is not None
    }
    return replace(asked, **given)


def _by_policy(
    args: argparse.Namespace, asked: Question, tasks: list[str], runs: Sequence[RunSegments], known: Catalogue
) -> tuple[Question, list[str]]:
    """What the policy asks; what is said on the command line wins."""
    from evalkit.cli.plan_policy import asked_by

    if args.margin or args.margin_rating or args.margin_wer or args.rule:
        raise UsageError(
            "--policy says margins and rules; leave --margin, --margin-rating, --margin-wer, --rule out."
        )
    found, kept = asked_by(args.policy, asked, tasks, runs, known, args.metric)
    said = {k: getattr(args, k) for k in ("power", "alpha") if getattr(args, k) is not None}
    return replace(found, **said), kept


def _declared(name: str, known: Catalogue) -> Task | None:
    return known.select([name])[0] if name.endswith((".yaml", ".yml", ".json")) else known.tasks.get(name)


def _tasks(args: argparse.Namespace, runs: Sequence[RunSegments], known: Catalogue) -> list[str]:
    """Names of the tasks asked for: of the suite, of the globs, of the runs, or all."""
    held = list(dict.fromkeys(t for r in runs for t in r.tasks))
    if args.task and args.suite:
        raise UsageError("--task and --suite both say which tasks; give one of them.")
    if args.suite:
        return [t.name for t in known.select(list(known.suite(args.suite).tasks))]
    if args.task:
        out: dict[str, None] = {}
        for pattern in args.task:
            mine = [t for t in held if fnmatchcase(t, pattern) or t.startswith(pattern.rstrip("/") + "/")]
            out |= dict.fromkeys(mine or [t.name for t in known.select([pattern])])
        return list(out)
    return held or list(known.tasks)


def _has(task: str, metric: str, runs: Sequence[RunSegments], known: Catalogue) -> bool:
    """Has the task this metric, where its number would be taken from?"""
    for run in runs:
        if task in run.tasks:
            return metric in run.tasks[task]["metrics"]
    declared = _declared(task, known)
    return declared is not None and any(m.name == metric for m in declared.variant(None)[1].metrics)


def _overalls(
    found: Sequence[Sizing], runs: Sequence[RunSegments], asked: Question, known: Catalogue
) -> tuple[list[OverallSizing], list[str]]:
    """The overalls all of whose tasks are planned, and a sentence for each that can't be told."""
    # Not by the headline's name alone: a part that names no metric means the headline, whatever --metric says.
    sized: dict[tuple[str, str | None], Sizing] = {(s.number.task, s.number.metric): s for s in found}
    tasks = {s.number.task for s in found}
    out, left_out = [], []
    for overall in known.overalls.values():
        if not tasks.issuperset(p.task for p in overall.parts):
            continue
        for part in overall.parts:
            key = (part.task, part.metric)
            if key not in sized:
                sized[key] = size(part.task, runs, known.tasks.get(part.task), asked, part.metric)
        if (held := size_overall(overall, sized, asked)) is not None:
            out.append(held)
        elif lacking := [p.task for p in overall.parts if not sized[p.task, p.metric].mde]:
            left_out.append(f"{overall.name}: left out, nothing is known of {', '.join(lacking)}.")
    return out, left_out
