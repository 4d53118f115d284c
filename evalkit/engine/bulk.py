"""Scoring predictions that need no model: a plain loop, a hundred thousand rows in seconds, flat memory.

The same records and the same rules as the pipeline; only the waiting is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from evalkit.engine.judging import (
    answer_for,
    asked,
    crash,
    drive,
    fresh,
    judge_now,
    judged,
    obstacle,
    reference,
    to_scores,
)
from evalkit.engine.loading import load, rows_of, sample_of
from evalkit.engine.standin import stand_in
from evalkit.engine.state import TaskState
from evalkit.errors import UsageError
from evalkit.interfaces import Judge
from evalkit.linefiles import encode_line
from evalkit.predictions import Prediction, PredictionFile
from evalkit.records import Response, Sample, Score, Transcript, Verdict
from evalkit.sources import Row, Source
from evalkit.store import RESPONSES, SCORES, RunWriter

CHUNK = 500

Pair = tuple[Sample, Prediction | None]


@dataclass
class GivenSource(Source):
    """The rows that came with a predictions file, as a data source."""

    predictions: PredictionFile | None = None

    def all_rows(self) -> Iterator[Row]:
        assert self.predictions is not None
        for _, row in given_rows(self.predictions, self.spec.splits[0]):
            yield row


def given_rows(predictions: PredictionFile, split: str) -> Iterator[tuple[Prediction, Row]]:
    """The rows that came with the predictions, each named by its prediction's id.

    Raises:
        UsageError: a line without a row, naming it.
    """
    root = str(predictions.folder)
    for k, prediction in enumerate(predictions):
        if prediction.row is None:
            raise UsageError(
                f"{predictions.shown}: the prediction {prediction.id!r} has no row, others do. "
                "Give every line its row, or none and pass --data-dir."
            )
        file, line = prediction.at or (str(predictions.path), 0)
        row = Row(prediction.row, file=file, number=k, split=split, root=root, given=True)
        row.file_id, row.line = prediction.id, line
        yield prediction, row


def pairs(state: TaskState, predictions: PredictionFile, *, rows: bool, limit: int | None) -> Iterator[Pair]:
    """Samples with their predictions: from the rows given, or from the data set."""
    task = state.plan.task
    if rows:
        keep = state.source.spec.keep
        given = given_rows(predictions, task.data.splits[0])
        for prediction, row in islice((p for p in given if keep is None or keep(p[1])), limit):
            state.seen[prediction.id] = len(state.seen)
            sample = sample_of(task, row)
            yield sample if sample.id == prediction.id else replace(sample, id=prediction.id), prediction
        return
    for row in islice(rows_of(state), limit):
        sample = state.unique(sample_of(task, row))
        yield sample, predictions.get(sample.id)


def ids_in_order(state: TaskState) -> list[str]:
    """Ids of the samples of the data set, in its order."""
    probe = TaskState(state.plan, state.source)
    for row in rows_of(state):
        probe.unique(sample_of(state.plan.task, row))
    return list(probe.seen)


def known_ids(state: TaskState) -> set[str]:
    """Ids of every sample of the data set, and of the samples that its files hold for other tasks."""
    known = set(ids_in_order(state))
    if (keep := state.source.spec.keep) is not None:
        known.update(_id_of(state, row) for row in state.source.all_rows() if not keep(row))
    return known


def _id_of(state: TaskState, row: Row) -> str:
    """Id of another task's row, as this task would call it; "" when it can't be read that way."""
    try:
        return sample_of(state.plan.task, row).id
    except UsageError:
        return ""


def verdicts_of(
    judge: Judge, sample: Sample, response: Response, transcript: Transcript | None
) -> list[Verdict]:
    """The verdicts of a judge that has nothing to wait for."""
    if not judge.asks_model:
        return judge_now(judge, sample, response, transcript)
    if (why := obstacle(judge, response, transcript)) is not None:
        return judge.unscored(why)
    try:
        found = drive(judge.ask(sample, answer_for(judge, response, transcript)))
    except Exception as exc:
        return crash(judge, exc)
    return (
        found
        if found is not None
        else judge.unscored("judge-waits: this judge has to be asked; bind --judge")
    )


def score_bulk(run: RunWriter, state: TaskState, source: Iterable[Pair], predictions: PredictionFile) -> None:
    """Score every pair and append the records, a chunk of lines at a time."""
    judges = state.plan.judges
    n = 0
    stream = iter(source)
    while chunk := list(islice(stream, CHUNK)):
        responses: list[bytes] = []
        scores: list[bytes] = []
        for sample, prediction in chunk:
            n += 1
            instead = stand_in(state, sample, predictions, prediction)
            response = instead or predictions.answer(sample.id, prediction)
            answer = response.digest()
            told = judged(sample)
            digest = reference(answer, told)
            loaded = load(state, sample)  # its input as a run would name it, so that both compare
            input_digest = loaded.instead if instead else loaded.input
            mark = state.answered(sample.id, input_digest)
            if mark is None or mark.digest != digest or state.moved(sample.id):
                line = response.to_json() | {
                    "input": input_digest,
                    "answer": answer,
                    "response": digest,
                    "asked": asked(state, sample, told),
                }
                responses.append(encode_line(line))
            if response.error is not None:
                continue
            given = response.meta.get("transcript")
            transcript = Transcript("", "given", str(given)) if given is not None else None
            found: list[Score] = []
            for judge in judges:
                verdicts = verdicts_of(judge, sample, response, transcript)
                found += to_scores(state, judge, verdicts, response, digest)
            scores += [encode_line(s.to_json()) for s in fresh(state, found)]
        if responses:
            run.append_raw(state.name, RESPONSES, b"".join(responses))
        if scores:
            run.append_raw(state.name, SCORES, b"".join(scores))
    state.plan = replace(state.plan, n=n)
