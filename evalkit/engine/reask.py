"""Asking a judge again about answers on record: afresh, without the cache, and kept line by line.

What was asked is in ``RUN/audit/asked.jsonl``; a call that stopped half-way goes on there. Failures are asked again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evalkit.audit.book import FOLDER
from evalkit.engine.judging import answer_for, crash, failed, judged, obstacle, reference
from evalkit.engine.loading import rows_of, sample_of
from evalkit.engine.metering import asking_for, recording
from evalkit.engine.progress import Progress
from evalkit.engine.retry import Retry, attempt
from evalkit.engine.session import Job, judges_ready, plans_for
from evalkit.engine.state import TaskState
from evalkit.errors import RunnerError, UsageError
from evalkit.interfaces import Judge, Roles, Runner
from evalkit.ledger import CallsFile
from evalkit.linefiles import Appender, StoreError, encode_line, read_lines, write_bytes
from evalkit.records import (
    JSON,
    Audio,
    Modality,
    Response,
    Sample,
    Score,
    Transcript,
    Turn,
    Verdict,
    digest_of,
)
from evalkit.store import Run, RunWriter

ASKED = "asked.jsonl"
PLAIN = "plain"
"""What a question is called that puts the answer before the judge as it is."""


class Stored(Runner):
    """Stands where a runner is wanted: the answers are on record, and nobody generates any."""

    name = "stored"
    modalities = frozenset(Modality)

    def identity(self) -> Mapping[str, JSON]:
        return {"model": "stored"}


@dataclass(frozen=True)
class Held:
    """An answer on record with its question, as judges are shown it; `ref` is what scores of it refer to."""

    sample: Sample
    response: Response
    transcript: Transcript | None
    ref: str


@dataclass(frozen=True)
class Question:
    """One thing to ask a judge.

    Attributes:
        held: the answer that the verdict is about, altered where a probe alters it.
        what: `PLAIN`, or what was done to the answer.
        turn: how many times the same was asked before.
    """

    judge: Judge
    signature: str
    held: Held
    what: str = PLAIN
    turn: int = 0

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it from every other: whose, which judge, of what, as what, which time."""
        shown = [self.held.response.digest(), self.held.transcript.text if self.held.transcript else None]
        other = self.held.sample.meta.get("other")
        content = digest_of([*shown, other])[:16]
        task = self.held.sample.task
        return (task, self.held.sample.id, self.signature, self.held.ref, self.what, str(self.turn), content)


@dataclass
class Record:
    """What was asked so far: verdicts by question and metric, and the file they go to."""

    folder: Path
    found: dict[tuple[str, ...], dict[str, Score]] = field(default_factory=dict)
    asked: int = 0
    known: int = 0

    def recall(self) -> None:
        """Read what earlier calls left; of failures nothing is held."""
        for _, line in read_lines(self.folder / ASKED):
            with suppress(KeyError, TypeError, ValueError):
                if line["value"] is not None:
                    key = tuple(
                        str(line[k])
                        for k in ("task", "sample_id", "judge", "response", "what", "turn", "content")
                    )
                    self.found.setdefault(key, {})[str(line["metric"])] = Score.from_json(line)

    def has(self, question: Question) -> bool:
        held = self.found.get(question.key, {})
        return all(m in held for m in question.judge.metrics)

    def verdicts(self, question: Question) -> dict[str, Score]:
        """By metric; {} where it wasn't asked."""
        return self.found.get(question.key, {})

    def line(self, question: Question, verdict: Verdict) -> dict[str, JSON]:
        """A verdict as it is kept, and hold it."""
        sample = question.held.sample
        score = Score.of(verdict, sample_id=sample.id, judge=question.signature, response=question.held.ref)
        self.found.setdefault(question.key, {})[verdict.metric] = score
        more = {
            "task": sample.task,
            "what": question.what,
            "turn": question.turn,
            "content": question.key[-1],
        }
        return score.to_json() | more


@dataclass
class Bench:
    """Everything needed to ask again about one run.

    Attributes:
        states: its tasks, opened, with the judges of this call.
        held: answers on record by task, in the order of the data.
        told: what a reader should know.
    """

    run: Run
    states: list[TaskState]
    held: dict[str, list[Held]]
    told: list[str] = field(default_factory=list)

    def state(self, task: str) -> TaskState:
        return next(s for s in self.states if s.name == task)


def opened(job: Job, run: Run, limit: int | None, only: Sequence[str] = ()) -> Bench:
    """The run's answers beside their questions, and judges that can be asked.

    Args:
        limit: answers per task at most.
        only: ids to keep to; () for any.

    Raises:
        UsageError: the data isn't there, or isn't what the run was made of.
        RunnerError: a judge's model can't be asked.
    """
    states = plans_for(job)
    bench = Bench(run, states, {})
    for state in states:
        bench.held[state.name] = _held(bench, state, limit, frozenset(only))
    return bench


def _held(bench: Bench, state: TaskState, limit: int | None, only: frozenset[str]) -> list[Held]:
    files = bench.run.task(state.name)
    marks = files.marks()
    heard = {t.audio_sha256: t for t in files.transcripts() if t.error is None}
    out: list[Held] = []
    changed = 0
    for row in rows_of(state):
        sample = state.unique(sample_of(state.plan.task, row))
        mark = marks.get(sample.id)
        if mark is None or not mark.ok or (only and sample.id not in only):
            continue
        if reference(mark.answer, judged(sample)) != mark.digest:
            changed += 1
            continue
        response = files.response_at(mark)
        out.append(Held(sample, response, _transcript(response, heard), mark.digest))
        if limit is not None and len(out) >= limit:
            break
    if changed:
        bench.told.append(
            f"{state.name}: {changed} answers are left out: their question or target has changed since"
        )
    if not any(m.ok for m in marks.values()):
        raise UsageError(
            f"{state.name}: {bench.run.root} holds no answer that could be judged; finish the run first."
        )
    if not out:
        raise UsageError(
            f"{state.name}: none of the {len(marks)} answers of {bench.run.root} is to a question of this data; is it "
            "the data the run was made with (--data-dir, --suite, --predictions, --revision)?"
        )
    return out


def _transcript(response: Response, heard: Mapping[str, Transcript]) -> Transcript | None:
    """The transcript on record, or the one that came with a prediction."""
    if (given := response.meta.get("transcript")) is not None:
        return Transcript(response.audio.digest() if response.audio else "", "given", str(given))
    return heard.get(response.audio.digest()) if response.audio else None


def from_record(run: Run, task: str) -> list[Sample]:
    """Samples put together from what the run kept of them, where that is all that judges were told.

    For runs whose rows came with predictions; a sample of which judges were told more is left out.
    """
    out = []
    for line in run.task(task).final_lines():
        asked = line.get("asked") or {}
        question, target, groups = (
            str(asked.get("question") or ""),
            asked.get("target"),
            asked.get("groups") or {},
        )
        turns = (Turn("user", (question,)),)
        metas: list[dict[str, Any]] = [groups, {**groups, "question": question}, {}, {"question": question}]
        for meta in metas:
            sample = Sample(str(line["sample_id"]), task, turns, target, meta=meta)
            if judged(sample) == asked.get("judged"):
                out.append(sample)
                break
    return out


def ask_all(
    bench: Bench,
    questions: Iterable[Question],
    *,
    roles: Roles,
    retry: Retry,
    at_once: int,
    progress: Progress | None = None,
) -> Record:
    """Ask what is not on record; every verdict is written as it comes.

    Raises:
        RunnerError: a fatal one (bad key, unreachable endpoint). StoreError: full disk.
        UsageError: another process is writing the run.
    """
    folder = bench.run.root / FOLDER
    record = Record(folder)
    record.recall()
    todo = []
    for question in questions:
        if record.has(question):
            record.known += 1
        else:
            todo.append(question)
    if not todo:
        return record
    if progress is not None:
        progress.expect("judge", len(todo))
    lock = RunWriter(bench.run.root)
    try:
        out, calls = Appender(folder / ASKED), CallsFile(folder)
        try:
            with recording(calls):
                asyncio.run(_ask(todo, record, out, roles, retry, at_once, progress))
        finally:
            out.close()
            calls.close()
    finally:
        lock.close()
    record.asked = len(todo)
    return record


async def _ask(
    todo: Sequence[Question],
    record: Record,
    out: Appender,
    roles: Roles,
    retry: Retry,
    at_once: int,
    progress: Progress | None,
) -> None:
    waiting = iter(todo)

    async def worker() -> None:
        for question in waiting:
            verdicts = await verdicts_of(question, retry)
            out.append(b"".join(encode_line(record.line(question, v)) for v in verdicts))
            if progress is not None:
                progress.step("judge", failed=any(v.value is None for v in verdicts))

    workers = [asyncio.create_task(worker()) for _ in range(max(1, min(at_once, len(todo))))]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        for model in (roles.judge, roles.lalm):
            if (close := getattr(model, "close", None)) is not None:
                await close()


async def verdicts_of(question: Question, retry: Retry) -> list[Verdict]:
    """What the judge says; a failure is an unscored verdict. Raises RunnerError, a fatal one only."""
    judge, held = question.judge, question.held
    if (why := obstacle(judge, held.response, held.transcript)) is not None:
        return judge.unscored(why)
    answer = replace(answer_for(judge, held.response, held.transcript), recorded=None)
    try:
        with asking_for(held.sample.task, held.sample.id, judge.metrics[0]):
            verdicts, _ = await attempt(lambda: judge.ask(held.sample, answer), retry)
    except RunnerError as error:
        return failed(judge, error)
    except StoreError:
        raise
    except Exception as exc:
        return crash(judge, exc)
    return verdicts


def ready(bench: Bench, retry: Retry) -> None:
    """Let judges find out what their signatures depend on; their calls are on the audit's ledger."""
    calls = CallsFile(bench.run.root / FOLDER)
    try:
        with recording(calls):
            judges_ready(bench.states, retry)
    finally:
        calls.close()


def altered(held: Held, judge: Judge, text: str) -> Held:
    """The answer with other words, where this judge reads words: of the response, or of its transcript."""
    if judge.reads == "speech":
        sound = held.transcript.audio_sha256 if held.transcript else ""
        return replace(held, transcript=Transcript(sound, "altered", text))
    return replace(held, response=replace(held.response, text=text))


def spoken(held: Held, other: Held | None, root: Path) -> Held:
    """The answer with another's speech in its place, or with two seconds of silence."""
    if other is not None:
        return replace(held, response=replace(held.response, audio=other.response.audio))
    import numpy as np

    from evalkit.audio import encode_flac

    data = encode_flac(np.zeros(32_000, dtype=np.float32), 16_000)
    path = root / FOLDER / "silence.flac"
    if not path.exists():
        write_bytes(path, data)
    sound = Audio(
        path=str(path),
        format="flac",
        sha256=hashlib.sha256(data).hexdigest(),
        seconds=2.0,
        sample_rate=16_000,
    )
    return replace(held, response=replace(held.response, audio=sound))
