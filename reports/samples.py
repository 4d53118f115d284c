"""The samples of a task put together from the run's files: question, answer, transcript, verdicts, status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from evalkit.interfaces import Judge, Roles
from evalkit.records import JSON, Score, Transcript
from evalkit.registry import catalogue
from evalkit.store import Run
from reports.runs import RunView, headline

Status = Literal["scored", "unscored", "error"]
RECORDED = " (recorded)"


@dataclass(slots=True)
class SampleView:
    """One sample of a task as a reader sees it.

    Attributes:
        line: the response's line in responses.jsonl, as it stands there.
        scores: the verdicts that count, one per verdict metric, in order of writing.
        transcript: the words heard in the spoken answer, if it was transcribed.
        value: the headline metric's value of this sample (verdict scale); None when it has none.
        reason: code and sentence when there is no value.
    """

    id: str
    line: Mapping[str, Any]
    scores: Sequence[Score] = ()
    transcript: Transcript | None = None
    value: float | None = None
    status: Status = "scored"
    reason: str = ""
    meta: dict[str, JSON] = field(default_factory=dict)

    @property
    def asked(self) -> Mapping[str, Any]:
        """What the run recorded of the question: question, target, groups."""
        found: Mapping[str, Any] = self.line.get("asked") or {}
        return found

    @property
    def code(self) -> str:
        """The short code of the reason: "http-500", "judge-unbound"."""
        return self.reason.partition(":")[0]

    @property
    def speech_sha256(self) -> str | None:
        """Digest of the spoken answer, if there is one."""
        audio = self.line.get("audio")
        found = audio.get("sha256") if isinstance(audio, Mapping) else None
        return found if isinstance(found, str) else None


def verdict_names(entry: Mapping[str, Any], metric: str, scores: Sequence[Score]) -> list[str]:
    """Which verdicts make one segment of a metric.

    results.json says so (`reads`); without that it is the verdict of the metric's own name, or else all
    verdicts of the metric's judges.
    """
    m = entry["metrics"][metric]
    if m.get("reads"):
        return list(m["reads"])
    if any(s.metric == metric for s in scores):
        return [metric]
    judges = set(m["judges"])
    return [s.metric for s in scores if s.judge.removesuffix(RECORDED) in judges]


def _scores_that_count(
    run: Run, task: str, entry: Mapping[str, Any]
) -> dict[tuple[str, str], dict[str, Score]]:
    """By (sample, response digest), then by verdict metric; a value is not displaced by a later None."""
    judges = {j for m in entry["metrics"].values() for j in m["judges"]}
    out: dict[tuple[str, str], dict[str, Score]] = {}
    for score in run.task(task).scores():
        if score.judge not in judges and score.judge.removesuffix(RECORDED) not in judges:
            continue
        held = out.setdefault((score.sample_id, score.response), {})
        old = held.get(score.metric)
        if old is None or score.value is not None or old.value is None:
            held[score.metric] = score
    return out


def _in_order(task: str, entry: Mapping[str, Any]) -> list[Judge]:
    """The judges of a task whose verdicts depend on the record before; none for a task that isn't known here."""
    known = catalogue().tasks.get(task)
    variant = known.variants.get(str(entry["protocol"])) if known else None
    used = {j for m in entry["metrics"].values() for j in m["judges"]}
    judges = variant.judges(Roles()) if variant else ()
    return [j for j in judges if j.in_order and j.signature in used]


def _settle(
    lines: Sequence[Mapping[str, Any]],
    scores: Mapping[tuple[str, str], dict[str, Score]],
    judges: Sequence[Judge],
) -> None:
    """Make those verdicts final, as results have them; on disk they stand as each record alone gave them."""
    places = {str(line["sample_id"]): int(line["asked"]["order"]) for line in lines if not line.get("error")}
    counted = {(str(line["sample_id"]), str(line.get("response", ""))) for line in lines}
    for judge in judges:
        mine = [s for key in counted for s in scores.get(key, {}).values() if s.judge == judge.signature]
        known = [s for s in mine if s.sample_id in places]
        for score in judge.settle(sorted(known, key=lambda s: (places[s.sample_id], s.sample_id))):
            scores[score.sample_id, score.response][score.metric] = score


def _judge(view: SampleView, entry: Mapping[str, Any]) -> None:
    """Fill in value, status and reason of the headline metric."""
    error = view.line.get("error")
    if error:
        view.status, view.reason = "error", f"{error.get('kind', 'error')}: {error.get('message', '')}"
        return
    names = verdict_names(entry, entry["headline"], view.scores)
    found = {s.metric: s for s in view.scores}
    values = [found[n].value for n in names if n in found]
    numbers = [v for v in values if v is not None]
    if names and len(numbers) == len(names):
        view.value = sum(numbers) / len(numbers)
        return
    view.status = "unscored"
    given = (found[n].reason for n in names if n in found and found[n].value is None)
    view.reason = next(
        (r for r in given if r), "not-judged: no verdict on record; run the same command again"
    )


def read_samples(run: RunView, task: str) -> Iterator[SampleView]:
    """Every sample of a task that has an attempt on record, in sample-id order."""
    store = Run(run.root)
    entry = run.tasks[task]
    scores = _scores_that_count(store, task, entry)
    heard = {t.audio_sha256: t for t in store.task(task).transcripts()}
    lines = list(store.task(task).final_lines())
    if lines and all("order" in (line.get("asked") or {}) for line in lines):
        _settle(lines, scores, _in_order(task, entry))
    for line in lines:
        sample_id = str(line["sample_id"])
        found = {} if line.get("error") else scores.get((sample_id, line.get("response", "")), {})
        view = SampleView(sample_id, line, tuple(found.values()))
        view.transcript = heard.get(view.speech_sha256 or "")
        _judge(view, entry)
        yield view


def worst_first(views: Sequence[SampleView], entry: Mapping[str, Any]) -> list[SampleView]:
    """Errors, then unscored, then values from bad to good; ties in sample-id order."""
    sign = 1.0 if headline(entry)["higher_is_better"] else -1.0
    rank = {"error": 0, "unscored": 1, "scored": 2}
    return sorted(views, key=lambda v: (rank[v.status], sign * (v.value or 0.0), v.id))
