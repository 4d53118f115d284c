"""`judge-audit`: how far to trust a judge. Here against people and another judge; asking is in `judge_audit_live`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evalkit.audit import book, people, versus
from evalkit.audit.agreement import Agreement, Rater
from evalkit.audit.figures import SMALL
from evalkit.audit.labelfiles import column, files_of, rows_of
from evalkit.audit.labels import ID_NAMES, SCORE_NAMES, Columns, Labels, mapping, read_labels, renamed
from evalkit.audit.shelf import (
    Asked,
    Shelf,
    Verdicts,
    examples,
    open_run,
    pairs,
    replies_of,
    shelf_of,
    tasks_of,
    told_apart,
)
from evalkit.cli.audit_text import conclude
from evalkit.errors import UsageError
from evalkit.records import JSON
from evalkit.store import Run


def call(args: argparse.Namespace) -> int:
    """Do the audit asked for; the exit code."""
    if args.what is None:
        raise UsageError(
            "say what to measure: judge-audit humans (against people's labels), judges (against another judge), "
            "repeats (against itself) or probes (what moves it); each with --run RUN. See judge-audit MODE --help."
        )
    from evalkit.cli import judge_audit_live as live
    from evalkit.cli import judge_audit_probes as probing

    modes: dict[str, Callable[[argparse.Namespace], int]] = {
        "humans": humans,
        "judges": judges,
        "repeats": live.repeats,
        "probes": probing.probes,
    }
    return modes[args.what](args)


# --- against people --------------------------------------------------------------------------------


def humans(args: argparse.Namespace) -> int:
    """A judge against people's labels: from a run, or from a file of the judge's scores."""
    words = mapping(args.map)
    ids = tuple(i.strip() for i in (args.id or "").split(",") if i.strip())
    told: list[str] = []
    pages: list[book.Page] = []
    if args.scores and args.judges:
        raise UsageError("--judges picks among the judges of a run; beside --scores leave it out.")
    if args.scores:
        judge = read_labels(
            files_of([args.scores], "--scores"),
            Columns(ids, args.score or "", words=words, names=SCORE_NAMES, split=False),
            ("--id", "--score", "--annotator"),
        )
        if len(judge.raters) != 1:
            raise UsageError(f"--scores {args.scores} holds {len(judge.raters)} files; give one judge's.")
        labels = read_labels(files_of(args.human), _columns(args, ids or judge.ids, words))
        renamed(labels, judge.raters[0].scores)
        told += [*judge.told, *labels.told]
        subject = Verdicts("", "", judge.raters[0].name)
        pages.append(_page(subject, judge.raters[0], labels, {}, args, told))
        return conclude(pages, None, args, told)
    run = open_run(args.run)
    tasks = tasks_of(run, [args.task] if args.task else None)
    if len(tasks) > 1:
        raise UsageError(
            f"--run {args.run} holds {len(tasks)} tasks; say which with --task: {', '.join(tasks)}."
        )
    shelf = shelf_of(run, tasks[0])
    files = files_of(args.human)
    # Of a run, samples are matched by one id, whatever else the files hold.
    first = ids or (column(files[0], rows_of(files[0], []), ID_NAMES, "the sample's id", "--id"),)
    labels = read_labels(files, _columns(args, first, words))
    renamed(labels, shelf.asked)
    told += labels.told
    for verdicts in shelf.headline(args.metric or "", args.judges or ()):
        pages.append(_page(verdicts, _rater(verdicts, shelf, run), labels, shelf.asked, args, told, shelf))
    return conclude(pages, run.root, args, told)


def _columns(args: argparse.Namespace, ids: tuple[str, ...], words: Mapping[str, float]) -> Columns:
    """Columns of people's files, as named."""
    return Columns(ids, args.label or "", args.annotator or "", args.group or "", words)


def _rater(verdicts: Verdicts, shelf: Shelf, run: Run) -> Rater:
    """The judge's verdicts as a rater's; where samples have an ability, with it."""
    found = Rater(f"{run.root.name} {verdicts.task}", dict(verdicts.values))
    for i in found.scores:
        if ability := shelf.asked[i].groups.get("ability"):
            found.abilities[i] = ability
    if lacking := len(verdicts.unscored):
        found.skipped["no verdict"] = lacking
    return found


def _page(
    subject: Verdicts,
    judge: Rater,
    labels: Labels,
    asked: Mapping[str, Any],
    args: argparse.Namespace,
    told: list[str],
    shelf: Shelf | None = None,
) -> book.Page:
    """One judge against people, as a page."""
    theirs = {k for r in labels.raters for k in r.scores}
    common = sorted(theirs & judge.scores.keys())
    if not judge.scores:
        why = next(iter(subject.unscored.values()), "none of them can be read")
        raise UsageError(f"the judge {subject.judge} has no verdict ({why}).")
    if not common:
        raise UsageError(
            f"people and judge have no sample in common; they are matched by {' and '.join(labels.ids)}: people have "
            f"{examples(sorted(theirs))}, the judge {examples(sorted(judge.scores))}. "
            f"Check --human, --id and --{'run' if shelf else 'scores'}."
        )
    without, beyond = len(judge.scores.keys() - theirs), len(theirs - judge.scores.keys())
    if without:
        told.append(f"{without} of the judge's {len(judge.scores)} samples have no label by people")
    if beyond:
        missing = sorted(theirs - judge.scores.keys())
        told.append(
            f"{beyond} sample{'s' * (beyond != 1)} that people labelled have no verdict of the judge "
            f"({examples(missing)})"
        )
    for why, n in judge.skipped.items():
        told.append(f"{judge.name}: {n} samples: {why}")
    subsets = _subsets(labels, judge, shelf, common)
    found = people.compare(labels.raters, judge, subject.lo, subject.hi, subsets, args.draws)
    apart = [k for k in common if k in found.consensus and judge.scores[k] != found.consensus[k]]
    apart.sort(key=lambda k: (-abs(judge.scores[k] - found.consensus[k]), k))
    samples = []
    for k in apart[: args.samples]:
        about = asked.get(k) or Asked()
        replies = replies_of(subject.scores[k]) if k in subject.scores else []
        said = [f"{r.name}: {r.scores[k]:g}" for r in labels.raters if k in r.scores]
        samples.append(versus.difference(k, judge.scores[k], found.consensus[k], about, replies, said))
    sentences = [found.sentence, *people.cautions(found, labels.raters, judge, len(common))]
    if found.ties:
        sentences.append(
            f"{found.ties} samples have no majority among people; they count between persons only."
        )
    return book.page(
        "humans",
        subject,
        found.figures,
        sentences,
        against=f"{len(labels.raters)} {'person' if len(labels.raters) == 1 else 'people'}",
        n=len(common),
        samples=samples,
        differing=len(apart),
        about=[r.name for r in labels.raters],
        scale=found.scale.to_json(),
        accepted=found.verdict,
        rho={"all": _rho(found.rho), "categories": {c: _rho(a) for c, a in found.categories.items()}},
        raters={r.name: {"n": len(r.scores), "skipped": r.skipped} for r in (*labels.raters, judge)},
        unmatched={"judge": without, "people": beyond},
    )


def _rho(found: Agreement) -> dict[str, JSON]:
    return found.to_json()


def _subsets(
    labels: Labels, judge: Rater, shelf: Shelf | None, common: Sequence[str]
) -> dict[str, list[str]]:
    """Keys by "column=group": the run's groups, the file's column, and VStyle's categories."""
    out: dict[str, dict[str, list[str]]] = {}
    for name, groups in labels.groups.items():
        for key, group in groups.items():
            out.setdefault(name, {}).setdefault(group, []).append(key)
    if shelf is None and not labels.groups:
        ability: dict[str, str] = {}
        for one in (*labels.raters, judge):
            ability |= {k: a.partition("/")[0] for k, a in one.abilities.items()}
        for key, group in ability.items():
            out.setdefault("category", {}).setdefault(group, []).append(key)
    told = {
        f"{name}={group}": keys
        for name, groups in sorted(out.items())
        if len(groups) > 1
        for group, keys in sorted(groups.items())
    }
    return {**(shelf.subsets(common) if shelf else {}), **told}


# --- two judges ------------------------------------------------------------------------------------


def judges(args: argparse.Namespace) -> int:
    """Two judges, or two wordings, on the same answers of one run or two."""
    run = open_run(args.run)
    other = open_run(args.against, "--against") if args.against else None
    tasks = tasks_of(run, [args.task] if args.task else None)
    if other is not None:
        shared = [t for t in tasks if t in tasks_of(other, None)]
        if not shared:
            raise UsageError(f"{args.run} and {args.against} have no task in common; check --task.")
        tasks = shared
    told: list[str] = []
    pages: list[book.Page] = []
    for task in tasks:
        shelf = shelf_of(run, task)
        if other is not None:
            found = list(_across(shelf, shelf_of(other, task), args))
        else:
            found = list(pairs(shelf, args.metric or "", args.judges or ()))
        for one, two in found:
            pages.append(_compared(one, two, shelf, args))
    if not pages:
        raise UsageError(_no_pairs(run, tasks))
    return conclude(pages, run.root, args, told)


def _across(shelf: Shelf, other: Shelf, args: argparse.Namespace) -> list[tuple[Verdicts, Verdicts]]:
    """The judges of two runs of one metric: different signatures, where there are; else one judge twice."""
    versus.sources(shelf, other)
    mine, theirs = shelf.headline(args.metric or ""), other.headline(args.metric or "")
    both = [(a, b) for a in mine for b in theirs if a.metric == b.metric]
    apart = [(a, b) for a, b in both if a.judge != b.judge]
    return apart or both


def _compared(one: Verdicts, two: Verdicts, shelf: Shelf, args: argparse.Namespace) -> book.Page:
    common = [i for i in one.values if i in two.values]
    found = versus.compare(one, two, shelf.subsets(common), args.draws)
    names = told_apart(one.judge, two.judge)
    if one.judge == two.judge:  # one judge in two runs
        names = (str(args.run), str(args.against))
    n, k = len(found.ids), len(found.differing)
    unrounded = ", before ratings are rounded to whole steps" if k and found.scale.rounded else ""
    sentences = [
        f"first: {names[0]}; second: {names[1]}.",
        f"They differ on {k} of {n} answers ({100 * k / n:.1f} %){unrounded}.",
    ]
    if found.scale.kind == "mixed":
        note = found.scale.note.partition(";")[0]
        sentences.append(f"{note[:1].upper()}{note[1:]}: only correlations can be told of these.")
    difference = next((f for f in found.figures if f.statistic == "mean_difference" and f.ci), None)
    if k and difference is not None and difference.value is not None and difference.ci:
        low, high = difference.ci
        # Of few samples a bootstrap interval is too narrow to go by.
        chance = low <= 0 <= high or (n < SMALL and not _often(found))
        sure = "which may be chance" if chance else "more than chance"
        more = "higher" if difference.value >= 0 else "lower"
        sentences.append(f"The first scores {abs(difference.value):.3f} {more} on average, {sure}.")
    for count, whose in zip(found.only, ("first", "second"), strict=True):
        if count:
            sentences.append(f"{count} answers have a verdict of the {whose} only.")
    return book.page(
        "judges",
        one,
        found.figures,
        sentences,
        against=two.judge,
        n=n,
        samples=versus.differences(found, shelf.asked, args.samples),
        differing=k,
        about=str(args.against or ""),
        scale=found.scale.to_json(),
        only={"first": found.only[0], "second": found.only[1]},
    )


def _often(found: versus.Versus) -> bool:
    """Is one of the two judges higher more often than chance has it?"""
    test = next((f for f in found.figures if f.statistic == "p_value" and f.subset == "all"), None)
    return test is not None and test.value is not None and test.value < 0.05


def _no_pairs(run: Run, tasks: Sequence[str]) -> str:
    """Why there is nothing to compare, and what to do."""
    held = {j for t in tasks for _, j in shelf_of(run, t).verdicts}
    one = (
        f"the one judge of {run.root} is {next(iter(held))}"
        if len(held) == 1
        else f"{len(held)} judges are on record"
    )
    return (
        f"no two judges of one metric are on record on the same answers in {run.root} ({one}). Score the answers "
        "again with another --judge or --prompts into the same --out, or name another run with --against."
    )
