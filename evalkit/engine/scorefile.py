"""Scoring a predictions file: with its own rows or against the data set, without waiting for any model."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from evalkit.engine.bulk import GivenSource, known_ids, pairs, score_bulk
from evalkit.engine.session import (
    Job,
    Outcome,
    execute,
    manifest_for,
    model_card,
    now,
    open_run,
    plans_for,
    replaced,
    results_of,
)
from evalkit.engine.state import TaskState
from evalkit.predictions import PredictionFile
from evalkit.records import JSON, Sample
from evalkit.sources import Row, Source
from evalkit.task import Task


def given_task(task: Task, predictions: PredictionFile) -> tuple[Task, Source]:
    """The task reading the rows that came with predictions, each sample named by its prediction's id."""
    to_sample = task.to_sample
    source = GivenSource(task.data, [], str(predictions.folder), kind="given", predictions=predictions)

    def named(name: str, row: Row) -> Sample:
        sample = to_sample(name, row)
        return sample if sample.id == row.file_id else replace(sample, id=row.file_id)

    return replace(task, to_sample=named), source


def check(state: TaskState, predictions: PredictionFile, *, rows: bool) -> None:
    """Look at every line before anything is asked or written. Raises UsageError."""
    predictions.index  # noqa: B018 - the look is what it is for
    if not rows:
        predictions.check_known(known_ids(state), state.name)


def score_with_models(job: Job, predictions: PredictionFile, *, rows: bool) -> Outcome:
    """Score predictions that a judge or an ASR engine has to look at; raises as `execute` and `score_file` do."""
    if rows:
        job = replace(job, opener=partial(given_task, predictions=predictions))
    [state] = plans_for(job)
    check(state, predictions, rows=rows)
    return execute(job)


def score_file(job: Job, predictions: PredictionFile, *, rows: bool) -> Outcome:
    """Score predictions that no model has to look at: rules and recorded judge replies.

    Args:
        rows: the predictions bring their own rows; else the data set is read.

    Raises:
        UsageError: duplicate or unknown ids, malformed lines, missing data.
        StoreError: full disk.
    """
    started = time.monotonic()
    card = model_card(job)
    [state] = plans_for(replace(job, opener=partial(given_task, predictions=predictions) if rows else None))
    check(state, predictions, rows=rows)
    run, old = open_run(job, card)
    manifest = manifest_for(job, card, [state], old)
    session: dict[str, JSON] = {"started": now(), "ended": None}
    manifest["sessions"].append(session)
    try:
        run.write_manifest(manifest)
        state.recall(run)
        stream = pairs(state, predictions, rows=rows, limit=job.limits.samples)
        score_bulk(run, state, stream, predictions)
        results = results_of(run, [state], card, job.overalls)
        outcome = Outcome(results, seconds=time.monotonic() - started, notes=replaced(old, [state]))
        session |= {"ended": now(), "interrupted": False, "seconds": round(outcome.seconds, 3)}
        run.write_manifest(manifest)
        return outcome
    finally:
        run.close()
