"""What the engine knows of one task while a run is under way: what is done, what is left, what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from evalkit.plan import ScoringPlan
from evalkit.records import FINAL, Sample, Score, Transcript
from evalkit.sources import Source
from evalkit.store import Mark, RunWriter, score_key


@dataclass
class TaskState:
    """One task of a run.

    Attributes:
        plan: task, protocol and judges.
        source: its rows.
        language: language forced on the ASR engine, or None for detection.
        marks: responses on record when the run was opened.
        done: keys of the verdicts on record.
        lacking: why the last try at a verdict gave none, as a key, by the verdict's key.
        transcripts: transcripts on record, by (audio digest, ASR signature).
        seen: ids met in this pass, to find doubles, with their place in the data set from 0.
        notes: what the look at the data found that a reader of the numbers should know.
        stood_in: predictions without an answer that this protocol has words for, met in this pass.
    """

    plan: ScoringPlan
    source: Source
    language: str | None = None
    marks: dict[str, Mark] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    lacking: dict[int, int] = field(default_factory=dict)
    transcripts: dict[tuple[str, str], Transcript] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    renamed: int = 0
    stood_in: int = 0

    @property
    def name(self) -> str:
        return self.plan.task.name

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the numbers should know: of the data, and of predictions that lack their answer."""
        if not self.stood_in:
            return self.notes
        lack = (
            "1 prediction lacks its answer"
            if self.stood_in == 1
            else f"{self.stood_in} predictions lack their answer"
        )
        what = f"{self.name}: {lack}, and {self.plan.protocol} scores something in its place; see touched"
        return (*self.notes, what)

    @property
    def needs_transcript(self) -> bool:
        """Does any judge read the words of the speech?"""
        return any(j.reads == "speech" for j in self.plan.judges)

    @property
    def inline(self) -> bool:
        """True when every judge is a fast rule: then answers are scored where they arrive."""
        return not self.needs_transcript and not any(j.asks_model or j.heavy for j in self.plan.judges)

    def recall(self, run: RunWriter) -> None:
        """Read what earlier sessions left."""
        files = run.task(self.name)
        self.marks = files.marks()
        for score in files.scores():
            self.note(score)
        self.transcripts = {(t.audio_sha256, t.asr): t for t in files.transcripts() if t.error is None}

    def note(self, score: Score) -> bool:
        """Hold a score; False when the run holds it already. Of failures, only the same one twice running is held:
        the last word on a sample has to be the last on record. One that is final (`FINAL`) is held like a verdict."""
        key = score_key(score.sample_id, score.metric, score.judge, score.response)
        if score.value is None and not score.detail.get(FINAL):
            why = score_key(score.reason or "", score.touched or "", "", "")
            new = self.lacking.get(key) != why
            self.lacking[key] = why
            return new
        new = key not in self.done
        self.done.add(key)
        return new

    def answered(self, sample_id: str, input: str) -> Mark | None:
        """The answer on record to this input, if there is one."""
        mark = self.marks.get(sample_id)
        return mark if mark is not None and mark.ok and mark.input == input else None

    def moved(self, sample_id: str) -> bool:
        """Does it stand elsewhere in the data set than is on record, and does a judge go by that?"""
        mark = self.marks.get(sample_id)
        ordered = any(j.in_order for j in self.plan.judges)
        return ordered and mark is not None and mark.order != self.seen.get(sample_id, 0)

    def has(self, sample_id: str, metric: str, judge: str, response: str) -> bool:
        """Is there a verdict (not a failure) on record?"""
        return score_key(sample_id, metric, judge, response) in self.done

    def scored(self, sample_id: str, response: str) -> bool:
        """Are all verdicts on record?"""
        return all(
            self.has(sample_id, m, self.plan.sign(j), response) for j in self.plan.judges for m in j.metrics
        )

    def grouped(self, sample: Sample) -> bool:
        """Does a judge have to see it together with others, which may lack a verdict?"""
        return any(j.late and j.group(sample) for j in self.plan.judges)

    def unique(self, sample: Sample) -> Sample:
        """The sample, renamed when an earlier row has the same id (equal rows, in order: x, x~2, x~3)."""
        if sample.id not in self.seen:
            self.seen[sample.id] = len(self.seen)
            return sample
        k = 2
        while f"{sample.id}~{k}" in self.seen:
            k += 1
        self.renamed += 1
        self.seen[f"{sample.id}~{k}"] = len(self.seen)
        return replace(sample, id=f"{sample.id}~{k}")
