"""The verdicts of a run, by verdict metric and judge: all that scores.jsonl holds, not just what results count."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.records import Score
from evalkit.store import Run

SAID = 4000
"""Characters of a text (question, answer, reply) that an audit keeps."""
EXAMPLES = 3


@dataclass(frozen=True)
class Asked:
    """What a reader of an audit should see of a sample: what was asked, expected and answered.

    Attributes:
        length: characters of the whole answer, of which `answer` may hold the beginning.
    """

    question: str = ""
    target: str = ""
    answer: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)
    length: int = 0


@dataclass
class Verdicts:
    """One judge's verdicts of one metric on answers of one task.

    Attributes:
        scores: by sample id; of several the last, but no verdict gives way to a failure.
        lo, hi: range of a verdict, where results.json says it.
        label: what tables call the number it goes into; `scale` and `unit` as there.
    """

    task: str
    metric: str
    judge: str
    scores: dict[str, Score] = field(default_factory=dict)
    lo: float | None = None
    hi: float | None = None
    label: str = ""
    unit: str = ""

    @property
    def values(self) -> dict[str, float]:
        """The numbers, by sample id."""
        return {i: s.value for i, s in self.scores.items() if s.value is not None and math.isfinite(s.value)}

    @property
    def unscored(self) -> dict[str, str]:
        """Why there is none, by sample id."""
        return {i: s.reason or "unscored" for i, s in self.scores.items() if s.value is None}


@dataclass
class Shelf:
    """One task of a run: its samples, and the verdicts on their answers by (metric, judge)."""

    run: Path
    task: str
    asked: dict[str, Asked]
    digests: dict[str, str]
    verdicts: dict[tuple[str, str], Verdicts]
    entry: Mapping[str, Any]
    answers: dict[str, str] = field(default_factory=dict)

    def headline(self, metric: str = "", words: Sequence[str] = ()) -> list[Verdicts]:
        """The verdicts that a metric of results.json counts (the headline, unless named), or a verdict's own.

        Args:
            words: take the verdicts on record of judges whose signatures hold one of these, counted or not.

        Raises:
            UsageError: there is no such metric, no verdict on record, or none of such a judge.
        """
        wanted = metric or str(self.entry["headline"])
        found = self.entry["metrics"].get(wanted)
        if words:
            reads = (found.get("reads") or [wanted]) if found is not None else [wanted]
            there = [v for (m, _), v in self.verdicts.items() if m in reads]
            picked = [v for v in there if any(w in v.judge for w in words)]
            if not picked:
                known = "; ".join(sorted({v.judge for v in there})) or "none of this metric"
                said = " or ".join(map(repr, words))
                raise UsageError(
                    f"{self.run}: {self.task} has no verdict of a judge whose signature holds {said}; judges on "
                    f"record: {known}. Check --judges."
                )
            return [v for v in picked if v.values] or picked[:1]
        if found is not None:
            reads, judges = found.get("reads") or [wanted], set(found["judges"])
            held = [v for (m, j), v in self.verdicts.items() if m in reads and j in judges]
        else:
            held = [v for (m, _), v in self.verdicts.items() if m == wanted]
        if not held:
            metrics = sorted({*self.entry["metrics"], *(m for m, _ in self.verdicts)})
            what = "has no verdict of it on record" if found is not None else "has no such metric"
            raise UsageError(f"{self.run}: {self.task} {what}: {wanted!r}; there are: {', '.join(metrics)}.")
        return held

    def subsets(self, ids: Sequence[str], most: int = 60) -> dict[str, list[str]]:
        """These samples by "key=group", for keys with more than one group and no more than `most`."""
        keys: dict[str, dict[str, list[str]]] = {}
        for i in ids:
            for key, group in (self.asked[i].groups if i in self.asked else {}).items():
                keys.setdefault(key, {}).setdefault(group, []).append(i)
        return {
            f"{key}={group}": members
            for key, groups in sorted(keys.items())
            if 1 < len(groups) <= most
            for group, members in sorted(groups.items())
        }


def open_run(folder: Path | str, flag: str = "--run") -> Run:
    """A run with results. Raises UsageError."""
    run = Run(folder)
    if not (run.root / "results.json").is_file():
        raise UsageError(f"{flag} {folder}: there is no results.json in it; finish the run first")
    return run


def tasks_of(run: Run, named: Sequence[str] | None, flag: str = "--run") -> list[str]:
    """The tasks of a run that were named, or all. Raises UsageError for one it hasn't."""
    held = list(run.results()["tasks"])
    for task in named or ():
        if task not in held:
            shown = ", ".join(held[:8]) + (f" and {len(held) - 8} more" if len(held) > 8 else "")
            raise UsageError(f"{flag} {run.root}: it has no task {task!r}, only {shown}; check --task")
    return list(named or held)


def shelf_of(run: Run, task: str) -> Shelf:
    """Everything on record of one task."""
    entry = run.results()["tasks"][task]
    files = run.task(task)
    asked, digests, answers = {}, {}, {}
    spoken = {t.audio_sha256: t.text for t in files.transcripts() if t.error is None}
    for line in files.final_lines():
        if "error" in line:
            continue
        i = str(line["sample_id"])
        asked[i] = _asked(line, spoken)
        digests[i], answers[i] = str(line.get("response", "")), str(line.get("answer", ""))
    shelf = Shelf(run.root, task, asked, digests, {}, entry, answers)
    for score in files.scores():
        if digests.get(score.sample_id) != score.response:
            continue
        key = (score.metric, score.judge)
        held = shelf.verdicts.get(key)
        if held is None:
            held = shelf.verdicts[key] = _named(task, score, entry)
        old = held.scores.get(score.sample_id)
        if old is None or score.value is not None or old.value is None:
            held.scores[score.sample_id] = score
    return shelf


def _named(task: str, score: Score, entry: Mapping[str, Any]) -> Verdicts:
    """An empty set of verdicts with the range and label of the metric that reads it."""
    for name, metric in entry["metrics"].items():
        if score.metric in (metric.get("reads") or [name]):
            ends = metric.get("lo"), metric.get("hi")
            return Verdicts(task, score.metric, score.judge, {}, *ends, metric["label"], metric["unit"])
    return Verdicts(task, score.metric, score.judge)


def _asked(line: Mapping[str, Any], spoken: Mapping[str, str]) -> Asked:
    asked = line.get("asked") or {}
    groups = {str(k): str(v) for k, v in (asked.get("groups") or {}).items()}
    target = asked.get("target")
    audio = line.get("audio")
    heard = spoken.get(str(audio.get("sha256") or ""), "") if isinstance(audio, dict) else ""
    return Asked(
        clip(str(asked.get("question") or "")),
        clip(
            "\n".join(map(str, target)) if isinstance(target, list) else "" if target is None else str(target)
        ),
        clip(heard or str(line.get("text") or "")),
        groups,
        len(heard or str(line.get("text") or "")),
    )


def clip(text: str, limit: int = SAID) -> str:
    """At most so many characters, saying how many were cut."""
    return text if len(text) <= limit else f"{text[:limit]}\u2026 [{len(text) - limit} more characters]"


def replies_of(score: Score) -> list[str]:
    """What the judge wrote, as far as its verdict keeps it."""
    found = score.detail.get("replies")
    return [clip(str(r)) for r in found] if isinstance(found, list) else []


def examples(ids: Sequence[str]) -> str:
    """A few ids, for a message."""
    return ", ".join(repr(i) for i in list(ids)[:EXAMPLES]) or "none"


def told_apart(one: str, two: str) -> tuple[str, str]:
    """Two signatures by the words in which they differ; whole where none tells them apart."""
    a, b = one.split(), two.split()
    mine, theirs = [w for w in a if w not in b], [w for w in b if w not in a]
    return (" ".join(mine), " ".join(theirs)) if mine and theirs else (one, two)


def pairs(shelf: Shelf, metric: str = "", wanted: Sequence[str] = ()) -> Iterator[tuple[Verdicts, Verdicts]]:
    """Every two judges of one verdict metric in a run; with `wanted`, those whose signatures hold these words."""
    held = [v for v in shelf.verdicts.values() if v.values and (not metric or v.metric == metric)]
    if wanted:
        held = [v for v in held if any(w in v.judge for w in wanted)]
    for k, one in enumerate(held):
        yield from ((one, two) for two in held[k + 1 :] if one.metric == two.metric)
