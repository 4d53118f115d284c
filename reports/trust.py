"""What limits trust in a run, said once at the top of a report."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from evalkit import truncation
from evalkit.audit import book
from reports.judging import AS_JSON, RECORDED, WEIGHED, strangers
from reports.runs import RunView, headline, smoke

_OWN = re.compile(r"[\w.-]+:own@[0-9a-f]+|\bown@[0-9a-f]+")
_USERS = re.compile(r"[\w.*-]+:user@[0-9a-f]+")


@dataclass(frozen=True)
class Caveat:
    """One reason for care: a few words for the line, a sentence for the reader, the tasks it is about."""

    code: str
    short: str
    sentence: str
    tasks: tuple[str, ...] = ()


def _plural(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def _entries(run: RunView) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    for name, entry in run.tasks.items():
        yield name, entry, headline(entry)


def own_rubrics(metric: Mapping[str, Any]) -> list[str]:
    """Rubrics in our own words among the judges of a metric."""
    return sorted({m for j in metric.get("judges") or () for m in _OWN.findall(RECORDED.sub("", j))})


def users_rubrics(metric: Mapping[str, Any]) -> list[str]:
    """Rubrics in the user's own words among the judges of a metric."""
    return sorted({m for j in metric.get("judges") or () for m in _USERS.findall(RECORDED.sub("", j))})


def _rubrics(
    run: RunView, found: Callable[[Mapping[str, Any]], list[str]]
) -> tuple[list[str], tuple[str, ...]]:
    """Rubrics of a kind, and the tasks they judged; both sorted."""
    used = {
        (r, name) for name, entry, _ in _entries(run) for m in entry["metrics"].values() for r in found(m)
    }
    return sorted({r for r, _ in used}), tuple(sorted({name for _, name in used}))


def _demo(run: RunView) -> Iterator[Caveat]:
    if run.demo:
        yield Caveat(
            "demo",
            "embedded demo model",
            f"{run.label} is the embedded demo: it shows that the pipeline runs end to end. "
            "Its numbers are no baseline and are never marked best.",
        )


def _judges(run: RunView) -> Iterator[Caveat]:
    doubtful = tuple(
        n for n, e, _ in _entries(run) if any(not m["meaningful"] for m in e["metrics"].values())
    )
    if doubtful:
        yield Caveat(
            "not-meaningful",
            "judge not meaningful",
            "A stand-in judge gave these verdicts; they exercise the plumbing and say nothing about the "
            "model. Bind a real one with --judge.",
            doubtful,
        )
    own, tasks = _rubrics(run, own_rubrics)
    if own:
        yield Caveat(
            "own-rubric",
            "own-worded rubrics",
            f"Judged with rubrics in our own words ({', '.join(own)}), not the public toolkits' "
            "exact wording: near the published protocol, not it. The hash names the wording.",
            tasks,
        )
    recorded = tuple(
        n
        for n, e, _ in _entries(run)
        if any(RECORDED.search(j) for m in e["metrics"].values() for j in m.get("judges") or ())
    )
    if recorded:
        yield Caveat(
            "recorded",
            "judged elsewhere",
            "The judge's replies came with the predictions: which model gave them, in whose words it was asked and at "
            "what settings is not on record here. --no-recorded judges anew.",
            recorded,
        )
    users, tasks = _rubrics(run, users_rubrics)
    if users:
        yield Caveat(
            "user-rubric",
            "the user's rubrics",
            f"Judged with rubrics in the user's own words ({', '.join(users)}): comparable with nothing but "
            "what the same words judged. The hash names the wording.",
            tasks,
        )


def _manner(run: RunView) -> Iterator[Caveat]:
    """Ways to ask and read a judge that no published protocol has."""

    def judged(way: re.Pattern[str]) -> tuple[str, ...]:
        return tuple(
            n
            for n, e, _ in _entries(run)
            if any(way.search(j) for m in e["metrics"].values() for j in m["judges"])
        )

    if tasks := judged(WEIGHED):
        text = (
            "Ratings are weighted with their probabilities (judge_scoring=geval); published numbers are the plain "
            "number of the reply, whatever the column is called."
        )
        yield Caveat("weighed", "weighted ratings", text, tasks)
    if tasks := judged(AS_JSON):
        text = (
            "The judge was held to a JSON Schema and told so below the rubric (judge_output=json); no published "
            "protocol does that, and a judge may say something else in free text."
        )
        yield Caveat("as-json", "judged in JSON", text, tasks)


def _answered(run: RunView) -> Iterator[Caveat]:
    """Endpoints that said another model's name than the one bound, or several names for one."""
    odd = {
        (told, n)
        for n, e, _ in _entries(run)
        for m in e["metrics"].values()
        if (told := strangers(m.get("judges") or (), m.get("answered_by") or ()))
    }
    if odd:
        what = "; ".join(sorted({told for told, _ in odd}))
        yield Caveat(
            "answered-by",
            "another model judged",
            f"By the names that endpoints report, verdicts are of {what}. Is it what the table should say?",
            tuple(sorted({n for _, n in odd})),
        )


def _lost(entry: Mapping[str, Any]) -> Iterator[tuple[str, str, int, str]]:
    """Code, what is missing ("" for the headline, else the labels of metrics beside it), samples, example.

    Several metrics may read the same verdict: its samples are counted once, by the metric that lost most.
    """
    found: dict[str, list[tuple[str, int, str]]] = {}
    for name, metric in entry["metrics"].items():
        for code, reason in (metric.get("reasons") or {}).items():
            label = "" if name == entry["headline"] else str(metric["label"])
            found.setdefault(code, []).append((label, reason["n"], reason["example"]))
    for code, metrics in found.items():
        labels = list(dict.fromkeys(label for label, _, _ in metrics))
        n, example = max(((n, example) for _, n, example in metrics), key=lambda m: m[0])
        more = f" and {len(labels) - 2} more" if len(labels) > 2 else ""
        yield code, "" if "" in labels else ", ".join(labels[:2]) + more, n, example


def _unscored(run: RunView) -> Iterator[Caveat]:
    reasons: dict[tuple[str, str], tuple[int, str, list[str]]] = {}
    for name, entry, _ in _entries(run):
        for code, labels, n, example in _lost(entry):
            total, first, tasks = reasons.get((code, labels), (0, example, []))
            reasons[code, labels] = (total + n, first, [*tasks, name])
    # What has no score at all comes before what lacks a number beside it.
    for (code, labels), (n, example, tasks) in sorted(
        reasons.items(), key=lambda i: (i[0][1] != "", -i[1][0])
    ):
        short = f"{n:,} without {labels} ({code})" if labels else f"{n:,} unscored ({code})"
        yield Caveat(f"unscored-{code}", short, example, tuple(tasks))


def _errors(run: RunView) -> Iterator[Caveat]:
    failed = {n: m["n_errors"] for n, _, m in _entries(run) if m["n_errors"]}
    if failed:
        where = ", ".join(f"{n}: {k}" for n, k in failed.items())
        yield Caveat(
            "errors",
            f"{sum(failed.values()):,} errored",
            f"{_plural(sum(failed.values()), 'sample')} got no answer ({where}); they count in no score, "
            "the bounds say what they could change. Run the same command again to retry just those.",
            tuple(failed),
        )


def _truncated(run: RunView) -> Iterator[Caveat]:
    cut = {n: e for n, e, _ in _entries(run) if e.get("n_truncated")}
    if cut:
        k = sum(e["n_truncated"] for e in cut.values())
        where = ", ".join(f"{n}: {truncation.share(e)}" for n, e in cut.items())
        yield Caveat(
            "truncated",
            f"{_plural(k, 'answer')} cut off",
            f"The token limit cut answers off ({where}); scores are of what was said until then. "
            "A higher -M max_tokens (fun-audio-chat: max_new_tokens) lets them end.",
            tuple(cut),
        )


def _partial(run: RunView) -> Iterator[Caveat]:
    played = tuple(n for n, e, _ in _entries(run) if smoke(e))
    if played:
        text = "Ran on our own few questions in the benchmark's layout: this shows the pipeline, no more."
        yield Caveat("smoke", "smoke data", text, played)
    limited = tuple(n for n, e, _ in _entries(run) if e.get("limited") and not smoke(e))
    if limited:
        yield Caveat("limited", "partial data", "Run on a part of the data, by request (--limit).", limited)
    pending = {n: m["n_pending"] for n, _, m in _entries(run) if m["n_pending"]}
    if pending:
        yield Caveat(
            "pending",
            f"{sum(pending.values()):,} not run yet",
            "The run has not finished; run the same command again to go on.",
            tuple(pending),
        )
    wrong = {
        n: (e["n"], e["n_expected"])
        for n, e, _ in _entries(run)
        if e.get("n_expected") and not e.get("limited") and not smoke(e) and e["n"] != e["n_expected"]
    }
    if wrong:
        where = ", ".join(f"{n}: {a:,} of {b:,}" for n, (a, b) in wrong.items())
        yield Caveat(
            "count",
            "sample count differs",
            f"The data holds another number of samples than published ({where}).",
            tuple(wrong),
        )


def _protocol(run: RunView) -> Iterator[Caveat]:
    other = tuple(n for n, e, _ in _entries(run) if e["protocol"] != e.get("default_protocol", e["protocol"]))
    if other:
        yield Caveat(
            "protocol", "other protocol", "Scored by another protocol than the report's own columns.", other
        )
    touched: dict[str, int] = {}
    for _, entry, _ in _entries(run):
        for code in {c for m in entry["metrics"].values() for c in m.get("touched") or ()}:
            most = max((m.get("touched") or {}).get(code, 0) for m in entry["metrics"].values())
            touched[code] = touched.get(code, 0) + most
    if touched:
        what = ", ".join(f"{code}: {n:,}" for code, n in sorted(touched.items()))
        yield Caveat(
            "touched",
            f"{sum(touched.values()):,} by a scorer's defect",
            f"Verdicts decided by a known defect of the public scorer, kept as the protocol has it ({what}).",
        )


def _audited(run: RunView) -> Iterator[Caveat]:
    """What audits found against the judges whose verdicts count here."""
    refused: list[str] = []
    moved: dict[str, list[str]] = {}
    for page in book.read(run.root):
        entry = run.tasks.get(str(page["task"]))
        if entry is None or not any(page["judge"] in m["judges"] for m in entry["metrics"].values()):
            continue
        if page.get("accepted") is False:
            refused.append(str(page["task"]))
        for probe in page.get("probes") or ():
            if probe.get("passed") is False:
                moved.setdefault(str(probe.get("name")), []).append(str(page["task"]))
    if refused:
        text = "The judge agrees with people less than people do with each other; see Judges."
        yield Caveat("judge-refused", "judge not accepted", text, tuple(refused))
    if moved:
        what = ", ".join(moved)
        text = f"The judge gives way where it should not ({what}); see Judges."
        tasks = tuple(sorted({t for ts in moved.values() for t in ts}))
        yield Caveat("judge-moved", f"judge moved by {what}", text, tasks)


_CHECKS: tuple[Callable[[RunView], Iterator[Caveat]], ...] = (
    _demo,
    _judges,
    _manner,
    _answered,
    _audited,
    _unscored,
    _errors,
    _truncated,
    _partial,
    _protocol,
)


def caveats(run: RunView) -> list[Caveat]:
    """Everything that limits trust in one run, the heaviest first."""
    return [c for check in _CHECKS for c in check(run)]


def caveats_of_task(run: RunView, task: str) -> list[Caveat]:
    """What limits trust in one task alone."""
    return caveats(replace(run, results={**run.results, "tasks": {task: run.tasks[task]}}))
