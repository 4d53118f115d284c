"""A run's stored answers beside their questions, for commands that look at them again: `judge-audit`, `show --run`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit.engine.reask import Bench, Stored, from_record, opened
from evalkit.engine.session import Job
from evalkit.errors import UsageError
from evalkit.interfaces import Roles
from evalkit.records import Sample
from evalkit.sources import DataOptions, Row, Source
from evalkit.store import Run
from evalkit.task import Task


def options_of(manifest: Mapping[str, Any], args: argparse.Namespace) -> dict[str, str]:
    """The scoring options that the run was judged with; the wording not where --prompts says otherwise."""
    from evalkit.cli.wording import OPTION

    left_out = ("recorded", OPTION) if getattr(args, "prompts", None) else ("recorded",)
    held = manifest.get("options") or {}
    return {k: v for k, v in held.items() if k not in left_out and isinstance(v, str)}


def bench_for(
    run: Run,
    task: Task,
    roles: Roles,
    names: Mapping[str, str],
    protocol: str,
    args: argparse.Namespace,
    limit: int | None,
    only: Sequence[str] = (),
) -> Bench:
    """One task's answers beside their questions, which come from where `run` finds them.

    Args:
        args: of a command with the arguments of `options.add_data`, --suite and --predictions.
        limit, only: see `opened`.

    Raises:
        UsageError: the data isn't there, or isn't what the run was made of.
    """
    from evalkit.cli.run import data_options, reading
    from evalkit.registry import catalogue

    suite = catalogue().suite(args.suite) if args.suite else None
    data = data_options(args, suite)
    held = (run.manifest()["tasks"].get(task.name) or {}).get("data") or {}
    if data.data_dir is None and not args.predictions:
        if held.get("kind") == "smoke":
            from evalkit.cli.run import packaged

            data = DataOptions(packaged("benchmarks/smoke"), smoke=True)
        elif data.revision is None:
            data = replace(data, revision=held.get("revision"))
    job = Job(
        out=run.root,
        runner=Stored(),
        model="stored",
        tasks=reading([task], args.data_repo),
        roles=roles,
        role_names=names,
        protocol=protocol,
        data=data,
    )
    if args.predictions or (data.data_dir is None and held.get("kind") == "given"):
        job = replace(job, opener=lambda task: _given(run, task, args.predictions))
    return opened(job, run, limit, only)


def _given(run: Run, task: Task, predictions: str | None) -> tuple[Task, Source]:
    """The rows that came with predictions: of the file named, or as far as the run remembers them."""
    from evalkit.engine.scorefile import given_task
    from evalkit.predictions import PredictionFile

    if predictions is not None:
        return given_task(task, PredictionFile(Path(predictions), None, False, task=task.name))
    samples = {s.id: s for s in from_record(run, task.name)}
    if not samples:
        raise UsageError(
            f"{task.name}: the rows came with the predictions, and the run doesn't hold all that judges are told of "
            "them; name the file with --predictions FILE."
        )

    def to_sample(name: str, row: Row) -> Sample:
        return samples[str(row["id"])]

    class Kept(Source):
        def all_rows(self) -> Any:
            for k, i in enumerate(samples):
                yield Row({"id": i}, file="", number=k, split=task.data.splits[0], root=str(run.root))

    return replace(task, to_sample=to_sample, check=None), Kept(task.data, [], str(run.root), kind="given")
