"""What went wrong in a task: kinds of errors with their numbers, for speech recognition and for function calls.

A kind may pick samples: the page then filters its list by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.records import Score
from reports.runs import headline
from reports.safe import shorten
from reports.samples import SampleView

FREQUENT, CAUSES = 5, 3
CODE_TEXT, CAUSE_TEXT = 90, 70
CAUSE_ENDS = " \u00b7 "
DEFECTS, WRONG, DIFFERENT = (
    "Decided by a defect of the public scorer",
    "What went wrong",
    "Verdicts that differ",
)


@dataclass(frozen=True)
class Kind:
    """One kind of error: how many there are, their share of the whole in percent, what they hit most often.

    `tone` is the colour of its bar ("S", "D" or "I"); `pick` the place of its samples in `picks`, if it has one.
    """

    label: str
    n: int
    share: float
    frequent: str
    tone: str = "D"
    pick: int | None = None


@dataclass(frozen=True)
class ErrorTable:
    """Kinds of errors under a title; `whole` says what the shares are shares of."""

    title: str
    whole: str
    kinds: tuple[Kind, ...]
    note: str = ""

    @property
    def most(self) -> int:
        return max((k.n for k in self.kinds), default=1) or 1


@dataclass(frozen=True)
class Pick:
    """A set of samples that the page can show alone."""

    group: str
    label: str
    samples: frozenset[str]


def error_table(
    views: Sequence[SampleView], entry: Mapping[str, Any]
) -> tuple[ErrorTable | None, list[Pick]]:
    """The errors of a task's headline verdicts, and the sets of samples worth a look of their own.

    None where verdicts count no such things.
    """
    found = recognition_errors(views, entry)
    table, picks = (found, []) if found else call_errors(views, entry)
    defects: dict[str, set[str]] = {}
    for view in views:
        for score in view.scores:
            for name in score.touched.split("+") if score.touched else ():
                defects.setdefault(name, set()).add(view.id)
    known = {p.samples for p in picks}
    picks += [p for p in differing(views, entry) if p.samples not in known]
    picks += [Pick(DEFECTS, code, frozenset(ids)) for code, ids in sorted(defects.items())]
    return table, picks


def differing(views: Sequence[SampleView], entry: Mapping[str, Any]) -> list[Pick]:
    """Where another right-or-wrong metric disagrees with the headline: text against speech, lax against strict."""
    label = headline(entry)["label"]
    found: dict[tuple[str, bool], set[str]] = {}
    values: dict[str, set[float]] = {}
    for view in views:
        if view.value not in (0.0, 1.0):
            continue
        for score in view.scores:
            if score.value is not None:
                values.setdefault(score.metric, set()).add(score.value)
                if score.value == 1.0 - view.value:
                    found.setdefault((score.metric, view.value == 1.0), set()).add(view.id)
    out = []
    for (metric, right), ids in sorted(found.items()):
        if values[metric] <= {0.0, 1.0}:
            mine, theirs = ("right", "wrong") if right else ("wrong", "right")
            name = f"{mine} by {label}, {theirs} by {_label(entry, metric)}"
            out.append(Pick(DIFFERENT, name, frozenset(ids)))
    return out


def _verdicts(view: SampleView, entry: Mapping[str, Any]) -> Iterator[Score]:
    """The verdicts with a value that the headline reads."""
    reads = headline(entry).get("reads") or [entry["headline"]]
    return (s for s in view.scores if s.metric in reads and s.value is not None)


def _told(hits: Counter[str], most: int, between: str = ", ") -> str:
    first = sorted(hits.items(), key=lambda found: (-found[1], found[0]))[:most]
    return between.join(f"{what} \u00d7{k}" for what, k in first)


# --- speech recognition ----------------------------------------------------------------------------


def recognition_errors(views: Sequence[SampleView], entry: Mapping[str, Any]) -> ErrorTable | None:
    """Substitutions, deletions and insertions; None where verdicts count no such things."""
    scores = [s for v in views for s in _verdicts(v, entry)]
    names = (("S", "substitutions"), ("D", "deletions"), ("I", "insertions"))
    if not scores or not all(s.counts and {name for _, name in names} <= set(s.counts) for s in scores):
        return None
    length = sum((s.counts or {}).get("length", 0) for s in scores)
    hits: dict[str, Counter[str]] = {kind: Counter() for kind, _ in names}
    for score in scores:
        _count_runs(score.detail.get("alignment"), hits)
    kinds = []
    for kind, name in names:
        n = int(sum((s.counts or {})[name] for s in scores))
        share = 100 * n / length if length else 0.0
        kinds.append(Kind(name.capitalize(), n, share, _told(hits[kind], FREQUENT), kind))
    note = "In the utterances that were answered." if any(v.status == "error" for v in views) else ""
    return ErrorTable("What the errors are", "% of reference tokens", tuple(kinds), note)


def _count_runs(runs: Any, hits: Mapping[str, Counter[str]]) -> None:
    """Add the runs of one alignment (`judges.wer.runs`), as far as they look like some."""
    for run in runs if isinstance(runs, list) else ():
        match run:
            case ["S", str(spoken), str(heard)]:
                hits["S"][f"{spoken} \u2192 {heard}"] += 1
            case ["D" | "I" as kind, str(words)]:
                hits[kind].update(words.split(" "))


# --- function calls --------------------------------------------------------------------------------


def call_errors(
    views: Sequence[SampleView], entry: Mapping[str, Any]
) -> tuple[ErrorTable | None, list[Pick]]:
    """Error codes of the answers that are wrong, the frequent ones first; then those that a stricter column rejects."""
    reads = headline(entry).get("reads") or [entry["headline"]]
    wrong: dict[str, list[tuple[str, Score]]] = {}
    lax: dict[tuple[str, str], list[tuple[str, Score]]] = {}
    scored = 0
    for view in views:
        verdicts = {s.metric: s for s in view.scores if _code(s) and s.value is not None}
        mine = [verdicts[m] for m in reads if m in verdicts]
        scored += bool(mine)
        for score in mine:
            if score.value == 0:
                wrong.setdefault(_code(score), []).append((view.id, score))
            for other in verdicts.values() if score.value == 1 else ():
                if other.value == 0:
                    lax.setdefault((score.metric, other.metric), []).append((view.id, other))
    if not scored:
        return None, []
    kinds: list[Kind] = []
    picks: list[Pick] = []

    def add(label: str, found: Sequence[tuple[str, Score]], told: str, tone: str) -> None:
        kinds.append(Kind(label, len(found), 100 * len(found) / scored, told, tone, len(picks)))
        picks.append(Pick(WRONG, label, frozenset(i for i, _ in found)))

    for code, found in sorted(wrong.items(), key=lambda item: (-len(item[1]), item[0])):
        add(code, found, _told(Counter(_cause(s) for _, s in found if _cause(s)), CAUSES, CAUSE_ENDS), "D")
    for (mine_, theirs), found in sorted(lax.items()):
        label = f"right, but not by {_label(entry, theirs)}"
        label = label if len(reads) == 1 else f"{label} ({mine_})"
        add(label, found, _told(Counter(_code(s) for _, s in found), CAUSES, CAUSE_ENDS), "S")
    return ErrorTable(WRONG, "% of answers", tuple(kinds)) if kinds else None, picks


def _code(score: Score) -> str:
    code = score.detail.get("error_type")
    return shorten(code, CODE_TEXT) if isinstance(code, str) else ""


def _cause(score: Score) -> str:
    reasons = score.detail.get("error_reasons")
    first = reasons[0] if isinstance(reasons, list) and reasons else ""
    if not isinstance(first, str):
        return ""
    return first if len(first) <= CAUSE_TEXT else first[:CAUSE_TEXT] + "\u2026"


def _label(entry: Mapping[str, Any], verdict: str) -> str:
    """What the table calls the metric that reads a verdict."""
    for name, metric in entry["metrics"].items():
        if verdict in (metric.get("reads") or [name]):
            return str(metric["label"])
    return verdict
