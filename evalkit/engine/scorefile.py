"""Scoring a predictions file: with its own rows or against the data set, without waiting for any model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.engine.bulk import GivenSource, ids_in_order, known_ids, pairs, score_bulk
from evalkit.engine.changes import changes, sign
from evalkit.engine.session import (
    Job,
    Outcome,
    execute,
    judges_ready,
    manifest_for,
    model_card,
    now,
    open_run,
    plans_for,
    results_of,
)
from evalkit.engine.state import TaskState
from evalkit.plan import ScoringPlan
from evalkit.predictions import PredictionFile
from evalkit.records import JSON, Sample
from evalkit.sources import DataOptions, Row, Source, open_source
from evalkit.task import Task


@dataclass(frozen=True)
class Given:
    """The predictions for one task; `rows` says that they bring the data set's rows along."""

    predictions: PredictionFile
    rows: bool


def given_task(task: Task, predictions: PredictionFile) -> tuple[Task, Source]:
    """The task reading the rows that came with predictions, each sample named by its prediction's id."""
    to_sample = task.to_sample
    source = GivenSource(task.data, [], str(predictions.folder), kind="given", predictions=predictions)

    def named(name: str, row: Row) -> Sample:
        sample = to_sample(name, row)
        return sample if sample.id == row.file_id else replace(sample, id=row.file_id)

    return replace(task, to_sample=named), source


def with_given(job: Job, given: Mapping[str, Given]) -> Job:
    """The job reading rows from the predictions where they bring them, else from the data set."""

    def opened(task: Task) -> tuple[Task, Source]:
        found = given[task.name]
        if found.rows:
            return given_task(task, found.predictions)
        return task, open_source(task.data, job.data, task=task.name)

    return replace(job, opener=opened)


def ids_of(task: Task, data: DataOptions) -> list[str]:
    """Ids of a task's data set, in its order. Raises UsageError when the data isn't there."""
    protocol, variant = task.variant(None)
    source = open_source(task.data, data, task=task.name)
    return ids_in_order(TaskState(ScoringPlan(task, protocol, variant, (), source.describe()), source))


def check(states: Sequence[TaskState], given: Mapping[str, Given]) -> None:
    """Look at every line before anything is asked or written. Raises UsageError."""
    for state in states:
        found = given[state.name]
        found.predictions.index  # noqa: B018 - the look is what it is for
        if not found.rows:
            found.predictions.check_known(known_ids(state), state.name)


def score_with_models(job: Job, given: Mapping[str, Given]) -> Outcome:
    """Score predictions that a judge or an ASR engine has to look at; raises as `execute` and `score_file` do."""
    job = with_given(job, given)
    check(plans_for(job), given)
    return execute(job)


def score_file(job: Job, given: Mapping[str, Given]) -> Outcome:
    """Score predictions that no model has to look at: rules and recorded judge replies.

    Args:
        given: the predictions of each task of the job, by its name.

    Raises:
        UsageError: duplicate or unknown ids, malformed lines, missing data.
        StoreError: full disk.
    """
    started = time.monotonic()
    card = model_card(job)
    states = plans_for(with_given(job, given))
    check(states, given)
    run, old = open_run(job, card)
    manifest = manifest_for(job, card, states, old)
    session: dict[str, JSON] = {"started": now(), "ended": None}
    manifest["sessions"].append(session)
    try:
        run.write_manifest(manifest)
        judges_ready(states, job.retry)
        sign(manifest, states)
        for state in states:
            found = given[state.name]
            state.recall(run)
            stream = pairs(state, found.predictions, rows=found.rows, limit=job.limits.samples)
            score_bulk(run, state, stream, found.predictions)
        results = results_of(run, states, card, job.overalls)
        notes = (*(n for s in states for n in s.remarks), *changes(old, manifest, states))
        outcome = Outcome(results, seconds=time.monotonic() - started, notes=notes)
        session |= {"ended": now(), "interrupted": False, "seconds": round(outcome.seconds, 3)}
        run.write_manifest(manifest)
        return outcome
    finally:
        run.close()
