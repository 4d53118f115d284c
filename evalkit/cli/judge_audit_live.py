"""`judge-audit repeats` and `probes`: the judge is asked again, about answers on record."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalkit.audit import book
from evalkit.audit import repeats as again
from evalkit.audit.figures import Figure, Scale, scale_of
from evalkit.audit.shelf import Shelf, Verdicts, open_run, shelf_of, tasks_of
from evalkit.audit.versus import difference
from evalkit.cli.audit_text import conclude
from evalkit.cli.stored import bench_for, options_of
from evalkit.engine.progress import Progress
from evalkit.engine.reask import PLAIN, Bench, Question, Record, ask_all, ready
from evalkit.engine.retry import Retry
from evalkit.errors import UsageError
from evalkit.interfaces import Judge, Roles
from evalkit.store import Run
from evalkit.task import Metric


def repeats(args: argparse.Namespace) -> int:
    """Self-consistency: the judge asked several times, or the votes on record."""
    run = open_run(args.run)
    tasks = tasks_of(run, [args.task] if args.task else None)
    if not (args.judge or args.lalm_judge):
        return _votes(run, tasks, args)
    bench, roles = bench_of(run, tasks, args)
    told = list(bench.told)
    picked = [(s.name, j) for s in bench.states for j in judges_of(bench, s.name, roles, args.metric)]
    if not picked:
        raise UsageError(
            f"no judge of {args.metric or 'the headline'} asks a model that is bound; check --metric."
        )
    questions = [
        Question(j, bench.state(task).plan.sign(j), held, PLAIN, turn)
        for task, j in picked
        for turn in range(args.repeats)
        for held in bench.held[task]
    ]
    record = asked(bench, questions, roles, args)
    pages, lacking = [], 0
    for task, judge in picked:
        mine = [q for q in questions if q.judge is judge]
        shelf = shelf_of(run, task)
        for verdict in judge.metrics:
            page, missing = _repeated(bench, shelf, judge, verdict, mine, record, args)
            pages.append(page)
            lacking += missing
    if lacking:
        told += [*why_lacking(questions, record)]
        told.append(
            f"{lacking} of {len(questions)} verdicts are lacking; run the same command to ask for those."
        )
    return conclude(pages, run.root, args, told, 1 if lacking else 0)


def _repeated(
    bench: Bench,
    shelf: Shelf,
    judge: Judge,
    verdict: str,
    questions: Sequence[Question],
    record: Record,
    args: argparse.Namespace,
) -> tuple[book.Page, int]:
    """One judge's repeats as a page, and how many verdicts are lacking."""
    from evalkit.engine.repeated import metric_of, numbers

    state = bench.state(shelf.task)
    turns: list[dict[str, Any]] = [{} for _ in range(args.repeats)]
    for q in questions:
        score = record.verdicts(q).get(verdict)
        if score is not None and score.value is not None:
            turns[q.turn][q.held.sample.id] = score
    values = [{i: s.value for i, s in t.items()} for t in turns]
    metric = metric_of(state, verdict)
    scale = scale_of(
        [v for t in values for v in t.values()], *((metric.lo, metric.hi) if metric else (None, None))
    )
    pooled = numbers(bench.run, state, metric, verdict, turns) if metric else None
    if metric and not any(
        v is not None for v in pooled or ()
    ):  # it lacks another judge's verdicts: this one's alone
        pooled = [metric.scale * sum(t.values()) / len(t) if t else None for t in values]
        metric = replace(metric, label=verdict)
    subject = Verdicts(shelf.task, verdict, state.plan.sign(judge), label=metric.label if metric else "")
    found = again.figures(values, scale, pooled, args.draws)
    old = shelf.verdicts.get((verdict, subject.judge))
    if old is not None:
        found.append(again.as_on_record(values, old.values, args.draws))
    lacking = len(questions) - sum(map(len, turns))
    page = _page(subject, found, values, scale, shelf, args.samples, f"asked {args.repeats} times", metric)
    if lacking:
        page["sentences"].append(
            f"{lacking} verdicts are lacking: repeats stand on different answers, which adds to how "
            f"{subject.label or verdict} varies."
        )
    return page | {"repeats": args.repeats, "lacking": lacking}, lacking


def _votes(run: Run, tasks: Sequence[str], args: argparse.Namespace) -> int:
    """Self-consistency without asking: from the votes of n-vote protocols on record."""
    pages = []
    for task in tasks:
        shelf = shelf_of(run, task)
        for verdicts in shelf.verdicts.values():
            if args.metric and verdicts.metric != args.metric:
                continue
            turns = again.votes_of(verdicts.scores)
            if not turns:
                continue
            scale = scale_of([v for t in turns for v in t.values()], verdicts.lo, verdicts.hi)
            unit = 100.0 if verdicts.unit == "%" and scale.kind == "yes-no" else 1.0
            numbers = [unit * sum(t.values()) / len(t) if t else None for t in turns]
            found = again.figures(turns, scale, numbers, args.draws)
            how = f"{len(turns)} votes on record"
            pages.append(
                _page(verdicts, found, turns, scale, shelf, args.samples, how, None) | {"repeats": len(turns)}
            )
    if not pages:
        raise UsageError(
            f"{run.root} holds no votes of a judge that gives several; name one to ask: --judge openai/MODEL."
        )
    return conclude(pages, run.root, args)


def _page(
    subject: Verdicts,
    found: Sequence[Figure],
    turns: Sequence[Mapping[str, float]],
    scale: Scale,
    shelf: Shelf,
    most: int,
    how: str,
    metric: Metric | None,
) -> book.Page:
    """Repeats as a page, with the samples that they differ on."""
    held: dict[str, list[float]] = {}
    for turn in turns:
        for i, value in turn.items():
            held.setdefault(i, []).append(value)
    apart = sorted(
        (i for i, v in held.items() if len(set(v)) > 1), key=lambda i: (min(held[i]) - max(held[i]), i)
    )
    samples = []
    for i in apart[:most]:
        said = [f"{v:g}" for v in held[i]]
        samples.append(difference(i, max(held[i]), min(held[i]), shelf.asked[i], said))
    by = {f.statistic: f for f in found}
    sentences = [f"{how[0].upper()}{how[1:]}, {len(held)} answers."]
    if (same := by.get("identical")) is not None and same.value is not None:
        sentences.append(f"On {100 * same.value:.1f} % of the answers it said the same every time.")
    if (noise := by.get("headline_sd")) is not None and noise.value is not None:
        label = metric.label if metric else subject.label or subject.metric
        unit = f" {metric.unit}" if metric and metric.unit == "%" else ""
        numbers = sum(bool(turn) for turn in turns)
        if noise.value == 0:
            sentences.append(f"Asked anew, {label} is the same every time.")
        else:
            sentences.append(
                f"Asked anew, {label} varies with a standard deviation of {noise.value:.3g}{unit} "
                f"({by['headline_range'].note}): two numbers judged once each may differ by "
                f"{again.least_difference(noise.value, numbers):.2g} by its noise alone (95 %, by {numbers} repeats)."
            )
    return book.page(
        "repeats",
        subject,
        found,
        sentences,
        n=len(held),
        samples=samples,
        differing=len(apart),
        about=how,
        scale=scale.to_json(),
    )


# --- what both need --------------------------------------------------------------------------------


def bench_of(
    run: Run, tasks: Sequence[str], args: argparse.Namespace, limit: int | None = None
) -> tuple[Bench, Roles]:
    """The run's answers and data, and judges bound as in this call. Raises UsageError."""
    from evalkit.cli.roles import bind
    from evalkit.registry import catalogue

    manifest = run.manifest()
    options = options_of(manifest, args)
    known = catalogue().tasks
    if unknown := [t for t in tasks if t not in known]:
        raise UsageError(
            f"the task {unknown[0]!r} of {run.root} is not known here; is its plug-in installed?"
        )
    entries = run.results()["tasks"]
    # What was asked of the run holds here, unless said otherwise; the budget and the prices are this call's.
    roles, names = bind(args, None, (), None)
    roles = replace(roles, options={**options, **roles.options})
    protocols = {t: args.protocol or str(entries[t]["protocol"]) for t in tasks}
    variants = {t: known[t].variant(protocols[t])[1] for t in tasks}
    able = [t for t in tasks if any(r != "asr" and roles.bound(r) for r in variants[t].roles)]
    if not able:
        raise UsageError(none_asks(tasks[0], protocols[tasks[0]], variants[tasks[0]].roles))
    whole = Bench(run, [], {})
    for t in able:
        task = known[t].asking(args.prompt or entries[t].get("prompt") or None)
        one = bench_for(run, task, roles, names, protocols[t], args, args.limit or limit)
        whole.states += one.states
        whole.held |= one.held
        whole.told += one.told
    for helper in (roles.judge, roles.lalm):
        getattr(helper, "prepare", lambda: None)()
    ready(whole, Retry(tries=args.retries))
    return whole, roles


def judges_of(bench: Bench, task: str, roles: Roles, metric: str | None) -> list[Judge]:
    """The judges of a task that ask a model which is bound, of the headline or the metric named."""
    plan = bench.state(task).plan
    wanted = next((m.reads for m in plan.variant.metrics if m.name == metric), (metric,) if metric else ())
    names = wanted or plan.variant.headline.reads
    asking = [j for j in plan.judges if j.asks_model and roles.bound(j.role)]
    return [j for j in asking if set(j.metrics) & set(names)] or ([] if metric else asking)


def none_asks(task: str, protocol: str, roles: Sequence[str]) -> str:
    """Why there is no judge to ask."""
    flags = [f for r, f in (("judge", "--judge"), ("lalm-judge", "--lalm-judge")) if r in roles]
    if not flags:
        return f"{task} ({protocol}) is scored by rules alone: they say the same every time."
    return f"{task} ({protocol}) is judged by another role; bind it with {' or '.join(flags)}."


def why_lacking(questions: Sequence[Question], record: Record, most: int = 3) -> list[str]:
    """The commonest reasons why there is no verdict: code, how many, one sentence of them."""
    why: dict[str, list[str]] = {}
    for question in questions:
        for score in record.verdicts(question).values():
            if score.value is None and score.reason:
                why.setdefault(score.reason.partition(":")[0], []).append(score.reason)
    often = sorted(why.items(), key=lambda x: (-len(x[1]), x[0]))
    return [f"no verdict ({len(reasons)}): {reasons[0]}" for _, reasons in often[:most]]


def asked(bench: Bench, questions: Sequence[Question], roles: Roles, args: argparse.Namespace) -> Record:
    """Ask them, with a word on what is done."""
    print(f"{len(questions)} questions to judges, as far as they are not on record yet", file=sys.stderr)
    progress = Progress("none" if args.json and not sys.stderr.isatty() else "auto")
    try:
        record = ask_all(
            bench,
            questions,
            roles=roles,
            retry=Retry(tries=args.retries),
            at_once=args.judge_concurrency,
            progress=progress,
        )
    finally:
        progress.close()
    kept = f", {record.known} were on record" if record.known else ""
    print(f"asked {record.asked} of {len(questions)} questions{kept}", file=sys.stderr)
    return record
