"""`judge-audit probes`: what moves a judge that should not."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit.audit import book
from evalkit.audit.agreement import averaged
from evalkit.audit.labelfiles import files_of
from evalkit.audit.labels import Columns, read_labels, renamed
from evalkit.audit.looks import LOOKS, Finding, Seen, script
from evalkit.audit.probes import ALTERS, SOUNDS, Alter, Ends, effect, position
from evalkit.audit.shelf import Shelf, Verdicts, examples, open_run, shelf_of, tasks_of
from evalkit.cli.audit_text import conclude
from evalkit.cli.judge_audit_live import asked, bench_of, judges_of, why_lacking
from evalkit.engine.reask import PLAIN, Bench, Held, Question, Record, altered, spoken
from evalkit.errors import UsageError
from evalkit.interfaces import Judge, Roles
from evalkit.store import Run
from evalkit.task import Metric
from judges.pairwise import METRIC, OTHER, pairwise_judge

LIMIT = 20
"""Answers per task that interventions take unless --limit says otherwise: each costs a call per probe."""
POSITION = "position"
NAMES = (*LOOKS, *(p.name for p in ALTERS), *(p.name for p in SOUNDS), POSITION)


def probes(args: argparse.Namespace) -> int:
    """Looks at verdicts on record and, with a judge bound, alterations; the exit code."""
    if unknown := [n for n in args.probe or () if n not in NAMES]:
        raise UsageError(f"there is no probe {unknown[0]!r}; there are: {', '.join(NAMES)}.")
    run = open_run(args.run)
    tasks = tasks_of(run, [args.task] if args.task else None)
    wanted = args.probe or NAMES
    told: list[str] = []
    pages: list[book.Page] = []
    shelves = {t: shelf_of(run, t) for t in tasks}
    people = _people(args, shelves, told)
    if any(n in LOOKS for n in wanted):
        for shelf in shelves.values():
            pages += _looked(shelf, people, wanted, args)
    lacking = 0
    if (args.judge or args.lalm_judge) and any(n not in LOOKS for n in wanted):
        found, lacking = _intervened(run, shelves, wanted, args, told)
        pages += found
    elif args.probe and not pages:
        raise UsageError("these probes ask the judge; bind it with --judge or --lalm-judge.")
    if lacking:
        told.append(f"{lacking} verdicts are lacking; run the same command to ask for those.")
    return conclude(pages, run.root, args, told, 1 if lacking else 0)


def _people(
    args: argparse.Namespace, shelves: Mapping[str, Shelf], told: list[str]
) -> dict[str, tuple[float, tuple[float, ...]]]:
    """People's mean label, and each person's (NaN: none), by sample id."""
    if not args.human:
        return {}
    ids = tuple(i.strip() for i in (args.id or "").split(",") if i.strip())
    labels = read_labels(files_of(args.human), Columns(ids, args.label or ""))
    renamed(labels, {i for s in shelves.values() for i in s.asked})
    told += labels.told
    mean = {k: v for k, v in averaged([r.scores for r in labels.raters]).items() if math.isfinite(v)}
    known = {i for s in shelves.values() for i in s.asked}
    if not known & mean.keys():
        raise UsageError(
            f"people and run have no sample in common: people have {examples(sorted(mean))}, the run "
            f"{examples(sorted(known))}. Check --human and --id."
        )
    return {
        k: (v, tuple(x if math.isfinite(x := r.scores.get(k, math.nan)) else math.nan for r in labels.raters))
        for k, v in mean.items()
    }


# --- looks -----------------------------------------------------------------------------------------


def _looked(
    shelf: Shelf,
    people: Mapping[str, tuple[float, tuple[float, ...]]],
    wanted: Sequence[str],
    args: argparse.Namespace,
) -> list[book.Page]:
    """What the verdicts on record say of length and language, a page per judge of the headline."""
    pages = []
    held = shelf.headline(args.metric or "", args.judges or ())
    for verdicts in [v for v in held if v.values] or held[:1]:
        seen = []
        for i, value in sorted(verdicts.values.items()):
            human, each = people.get(i, (None, ()))
            about = shelf.asked[i]
            seen.append(Seen(i, value, about.answer, human, each, about.length))
        found = [LOOKS[n](seen, args.draws) for n in wanted if n in LOOKS]
        pages.append(_page(verdicts, found, len(seen), "on record"))
    return pages


def _page(subject: Verdicts, found: Sequence[Finding], n: int, about: str) -> book.Page:
    return book.page(
        "probes",
        subject,
        [f for one in found for f in one.figures],
        [one.sentence for one in found],
        n=n,
        about=about,
        probes=[one.to_json() for one in found],
    )


# --- alterations -----------------------------------------------------------------------------------


def _intervened(
    run: Run,
    shelves: Mapping[str, Shelf],
    wanted: Sequence[str],
    args: argparse.Namespace,
    told: list[str],
) -> tuple[list[book.Page], int]:
    """Ask about altered answers; the pages, and how many verdicts are lacking."""
    bench, roles = bench_of(run, list(shelves), args, LIMIT)
    told += bench.told
    picked = [(s.name, j) for s in bench.states for j in judges_of(bench, s.name, roles, args.metric)]
    if not picked:
        raise UsageError(
            f"no judge of {args.metric or 'the headline'} asks a model that is bound; check --metric."
        )
    other = shelves_against(args, list(shelves))
    plans = [(task, j, _questions(bench, task, j, wanted)) for task, j in picked]
    pair = pairwise_judge(roles.judge) if roles.judge is not None and POSITION in wanted else None
    pairs = {
        task: _pairs(bench, task, pair, other.get(task)) for task, j in picked if pair and j.reads != "audio"
    }
    questions = [q for _, _, qs in plans for q in qs] + [q for qs in pairs.values() for q in qs]
    record = asked(bench, questions, roles, args)
    lacking = sum(
        record.verdicts(q).get(m) is None or record.verdicts(q)[m].value is None
        for q in questions
        for m in q.judge.metrics
    )
    told += why_lacking(questions, record) if lacking else []
    pages = []
    for task, judge, mine in plans:
        plan = bench.state(task).plan
        for verdict in judge.metrics:
            metric = next((m for m in plan.variant.metrics if verdict in m.reads), None)
            subject = Verdicts(task, verdict, plan.sign(judge))
            found = _effects(judge, verdict, metric, mine, record, args)
            pages.append(_page(subject, found, len({q.held.sample.id for q in mine}), "asked"))
    for task, qs in pairs.items():
        if pair is not None and qs:
            what = "two models' answers" if task in other else "an answer and its first half"
            values = {
                w: _values([q for q in qs if q.what == w], METRIC, record) for w in ("pair", "pair-swapped")
            }
            one = position(values["pair"], values["pair-swapped"], what, args.draws)
            pages.append(_page(Verdicts(task, METRIC, pair.signature), [one], len(qs) // 2, what))
    return pages, lacking


def _questions(bench: Bench, task: str, judge: Judge, wanted: Sequence[str]) -> list[Question]:
    """Every answer as it is, and altered by each probe that suits this judge."""
    signature = bench.state(task).plan.sign(judge)
    held = bench.held[task]
    out: list[Question] = []
    if judge.reads == "audio":
        speaking = [h for h in held if h.response.audio is not None]
        for k, one in enumerate(speaking):
            out.append(Question(judge, signature, one))
            if "silence" in wanted:
                out.append(Question(judge, signature, spoken(one, None, bench.run.root), "silence"))
            another = speaking[(k + 1) % len(speaking)]
            if "other-reply" in wanted and another.response.audio != one.response.audio:
                out.append(Question(judge, signature, spoken(one, another, bench.run.root), "other-reply"))
        return out
    for one in held:
        answer = _words(one, judge)
        reference = _reference(one)
        out.append(Question(judge, signature, one))
        for probe in ALTERS:
            if probe.name in wanted and (text := probe.change(answer, reference)) is not None:
                out.append(Question(judge, signature, altered(one, judge, text), probe.name))
    return out


def _words(held: Held, judge: Judge) -> str:
    """What this judge reads of the answer."""
    if judge.reads == "speech":
        return held.transcript.text if held.transcript else ""
    return held.response.text


def _reference(held: Held) -> str:
    """The reference in words, "" where there is none."""
    target = held.sample.target
    first = next((t for t in target if isinstance(t, str)), "") if isinstance(target, list) else target
    return first if isinstance(first, str) else ""


def _effects(
    judge: Judge,
    verdict: str,
    metric: Metric | None,
    questions: Sequence[Question],
    record: Record,
    args: argparse.Namespace,
) -> list[Finding]:
    ends = Ends()
    if metric is not None:
        low, high = (e if math.isfinite(e) else None for e in (metric.lo, metric.hi))
        ends = Ends(low, high) if metric.higher_is_better else Ends(high, low, -1.0)
    plain = _values([q for q in questions if q.what == PLAIN], verdict, record)
    out = []
    known: Sequence[Alter] = SOUNDS if judge.reads == "audio" else ALTERS
    for probe in known:
        if mine := [q for q in questions if q.what == probe.name]:
            out.append(effect(probe, plain, _values(mine, verdict, record), ends, args.draws))
    return out


def _values(questions: Sequence[Question], metric: str, record: Record) -> dict[str, float]:
    found = {q.held.sample.id: record.verdicts(q).get(metric) for q in questions}
    return {i: s.value for i, s in found.items() if s is not None and s.value is not None}


# --- position --------------------------------------------------------------------------------------


def shelves_against(args: argparse.Namespace, tasks: Sequence[str]) -> dict[str, Shelf]:
    """The tasks of the run to compare with."""
    if not args.against:
        return {}
    run = open_run(args.against, "--against")
    both = [t for t in tasks if t in tasks_of(run, None)]
    if not both:
        raise UsageError(
            f"{args.against} has none of the tasks {', '.join(tasks)}; check --against and --task."
        )
    return {t: shelf_of(run, t) for t in both}


def half_of(text: str) -> str:
    """The first half of an answer, by words; by characters where nothing parts them; "" for a single word."""
    words = text.split()
    if len(words) > 1:
        return " ".join(words[: len(words) // 2])
    return "" if script(text) in ("Latin", "none") else text[: len(text) // 2]


def _pairs(bench: Bench, task: str, judge: Judge | None, other: Shelf | None) -> list[Question]:
    """Each pair of answers in both orders."""
    if judge is None:
        return []
    out = []
    for held in bench.held[task]:
        words = (
            held.transcript.text if held.transcript and not held.response.text.strip() else held.response.text
        )
        second = (
            half_of(words)
            if other is None
            else other.asked[held.sample.id].answer
            if held.sample.id in other.asked
            else ""
        )
        if (
            not words.strip()
            or not second.strip()
            or words.strip() == second.strip()
            or not held.sample.question.strip()
        ):
            continue
        for what, first, then in (("pair", words, second), ("pair-swapped", second, words)):
            sample = replace(held.sample, meta={**held.sample.meta, OTHER: then})
            one = replace(held, sample=sample, response=replace(held.response, text=first))
            out.append(Question(judge, judge.signature, one, what))
    return out


__all__ = ["NAMES", "Roles", "probes"]
