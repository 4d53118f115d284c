"""`score`: score predictions made elsewhere."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from evalkit.cli import options
from evalkit.cli.run import asking, data_options
from evalkit.cli.summary import conclude
from evalkit.config import cache_dir
from evalkit.engine.opencache import open_cache
from evalkit.engine.pipeline import Limits
from evalkit.engine.retry import Retry
from evalkit.engine.scorefile import score_file, score_with_models
from evalkit.engine.session import Job
from evalkit.interfaces import UsageError
from evalkit.predictions import PredictionFile
from evalkit.records import Modality
from evalkit.registry import catalogue
from evalkit.runners.replay import ReplayRunner
from evalkit.task import Task


def call(args: argparse.Namespace) -> int:
    """Score and report; the exit code."""
    from evalkit.cli.roles import bind, needs

    [task] = asking([one_task(args.task)], args.prompt)
    predictions = PredictionFile(Path(args.predictions), Path(args.audio_dir) if args.audio_dir else None)
    first = predictions.first()
    rows = first.row is not None
    if not rows and not args.data_dir:
        print(f"the predictions bring no rows: reading {task.data.repo} from the hub", file=sys.stderr)
    recorded = any(p.judge is not None for p in predictions)
    folder = None if args.no_cache else cache_dir()
    roles, names = bind(
        args, open_cache(folder), needs([task], args.protocol), {"recorded": True} if recorded else None
    )
    model_options = {"label": args.label or predictions.path.stem}
    if args.audio_dir:
        model_options["audio_dir"] = args.audio_dir
    runner = ReplayRunner(str(predictions.path), **model_options)
    identity = {**runner.identity(), "task": task.name, "protocol": args.protocol, "limit": args.limit}
    job = Job(
        out=Path(args.out) if args.out else options.default_out(f"score-{runner.label}", task.name, identity),
        runner=runner,
        model=f"replay/{predictions.path.name}",
        tasks=[task],
        roles=roles,
        role_names=names,
        options=model_options,
        protocol=args.protocol,
        data=data_options(args, None),
        limits=Limits(runner.concurrency, args.judge_concurrency, args.limit),
        retry=Retry(tries=args.retries),
        cache=folder,
        progress="none"
        if args.json and args.progress == "auto" and not sys.stderr.isatty()
        else args.progress,
    )
    bound = {"judge": roles.judge, "lalm-judge": roles.lalm}
    asks = any(bound.get(r) is not None for r in task.variant(args.protocol)[1].roles)
    waits = asks or (task.modality is Modality.S2S and any(p.audio for p in predictions))
    outcome = (score_with_models if waits else score_file)(job, predictions, rows=rows)
    return conclude(outcome, job.out, json_out=args.json, report=not args.no_report)


def one_task(name: str) -> Task:
    """The task of that name. Raises UsageError when it names none or several."""
    found = catalogue()
    if name in found.tasks:
        return found.tasks[name]
    tasks = found.select([name])
    if len(tasks) != 1:
        raise UsageError(f"score takes one task; {name!r} matches {', '.join(t.name for t in tasks[:5])}...")
    return tasks[0]
