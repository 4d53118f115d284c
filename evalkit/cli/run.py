"""`run`: evaluate a model."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit import __version__
from evalkit.cli import options
from evalkit.cli.replicas import replicated
from evalkit.cli.summary import conclude, warm_up
from evalkit.cli.wording import check_complete
from evalkit.config import cache_dir
from evalkit.engine.pipeline import Limits
from evalkit.engine.retry import Retry
from evalkit.engine.session import Job, Outcome, execute, plans_for
from evalkit.engine.state import TaskState
from evalkit.errors import UsageError
from evalkit.interfaces import Roles, Runner
from evalkit.registry import Catalogue, catalogue, make_runner
from evalkit.sources import DataOptions
from evalkit.task import Overall, Suite, Task

if TYPE_CHECKING:  # most runs have no judge, and nothing to forecast
    from evalkit.engine.estimate import Ahead

SMOKE_MARK = ".smoke"
"""A data folder that holds this file holds smoke data, not the benchmark."""


def call(args: argparse.Namespace) -> int:
    """Run and report; the exit code."""
    found = carry_out(args)
    if found is None:
        return 0
    job, outcome = found
    return conclude(outcome, job.out, json_out=args.json, report=not args.no_report)


def carry_out(args: argparse.Namespace) -> tuple[Job, Outcome] | None:
    """Run, and report nothing yet; None after a dry run. Raises UsageError."""
    job = prepare(args)
    if args.dry_run:
        # Of the hub, looking would be a download.
        coming = announce(job, dry=True, states=plans_for(job) if job.data.data_dir is not None else ())
        if args.json and coming is not None:
            from evalkit.cli.forecast import as_json

            print(json.dumps(as_json(coming)))
        return None
    if not args.resume and (job.out / "run.json").exists():
        raise UsageError(
            f"{job.out} holds a run already; drop --no-resume to go on with it, or choose another --out."
        )
    # Our own few questions are counted; published data sets have a published number.
    asks = job.data.smoke and (job.roles.judge or job.roles.lalm)
    announce(job, states=plans_for(job) if asks else ())
    if not args.no_report:
        warm_up()
    return job, execute(job)


def chosen(args: argparse.Namespace, found: Catalogue) -> tuple[list[Task], Suite | None]:
    """The tasks that --task and --suite select. Raises UsageError."""
    suite = found.suite(args.suite) if args.suite else None
    if not args.task and suite is None:
        raise UsageError(
            "say what to run: --task 'voicebench/*' or --suite voicebench (see `run_eval.py list`)."
        )
    patterns = [*(args.task or []), *(suite.tasks if suite and not args.task else ())]
    tasks = found.select(patterns)
    if suite and args.task:
        inside = {t.name for t in found.select(list(suite.tasks))}
        tasks = [t for t in tasks if t.name in inside]
        if not tasks:
            raise UsageError(
                f"the suite {suite.name!r} has no task that matches --task {' '.join(args.task)}."
            )
    return tasks, suite


def data_options(args: argparse.Namespace, suite: Suite | None) -> DataOptions:
    """Where data comes from; the smoke suite brings its own."""
    if suite is not None and suite.data_dir and not args.data_dir:
        return DataOptions(packaged(suite.data_dir), smoke=suite.smoke)
    # `os.access`: False where we may not look.
    smoke = bool(args.data_dir) and os.access(Path(args.data_dir) / SMOKE_MARK, os.F_OK)
    return DataOptions(args.data_dir, args.revision, args.stream, smoke=smoke)


def reading(tasks: Sequence[Task], repo: str | None) -> list[Task]:
    """The tasks with --data-repo applied: to those that declare it, else to all, if they read one data set.

    Raises:
        UsageError: nobody declares it and the tasks read several data sets.
    """
    if repo is None:
        return list(tasks)
    named = [t.name for t in tasks if repo in (t.data.repo, *(m.repo for m in t.data.mirrors))]
    if not named and len(repos := dict.fromkeys(t.data.repo for t in tasks)) > 1:
        raise UsageError(
            f"--data-repo {repo} is no mirror of {', '.join(repos)}; name the one data set it is a copy of with --task."
        )
    return [replace(t, data=t.data.at(repo)) if not named or t.name in named else t for t in tasks]


def asking(tasks: Sequence[Task], prompt: str | None) -> list[Task]:
    """The tasks with --prompt chosen, where they have it. Raises UsageError when none of them has."""
    if prompt is not None and not any(prompt in t.prompts for t in tasks):
        known = sorted({p for t in tasks for p in t.prompts})
        has = f"they have: {', '.join(known)}" if known else "they know one way to put a question"
        raise UsageError(f"none of the tasks has a prompt {prompt!r}; {has}. Check --prompt.")
    return [t.asking(prompt) if prompt in t.prompts else t for t in tasks]


def packaged(folder: str) -> str:
    """A folder that ships with the project."""
    from importlib.resources import files

    package, _, rest = folder.partition("/")
    return str(files(package).joinpath(rest))


def overalls_of(tasks: Sequence[Task], found: Catalogue) -> list[Overall]:
    """The overalls that have a part among these tasks."""
    names = {t.name for t in tasks}
    return [o for o in found.overalls.values() if sum(p.task in names for p in o.parts) > 1]


def prepare(args: argparse.Namespace) -> Job:
    """Look everything up. Raises UsageError."""
    from evalkit.cli.roles import bind, needs
    from evalkit.engine.opencache import open_cache

    found = catalogue()
    tasks, suite = chosen(args, found)
    tasks = reading(asking(tasks, args.prompt), args.data_repo)
    shared = all(t.data.keep is not None for t in tasks)  # each task takes its own rows of one file
    if args.data_dir and Path(args.data_dir).is_file() and len(tasks) > 1 and not shared:
        raise UsageError(f"the file {args.data_dir} holds the rows of one task; name it with --task.")
    given = options.pairs(args.M, "-M")
    runner = replicated(make_runner(args.model, given), args, given)
    cache = None if args.no_cache else cache_dir()
    roles, names = bind(args, open_cache(cache), needs(tasks, args.protocol))
    check_complete(tasks, args.protocol, roles)
    what = suite.name if suite else "+".join(args.task or [])
    identity = {
        "model": dict(runner.identity()),
        "tasks": [t.name for t in tasks],
        "protocol": args.protocol,
        "limit": args.limit,
        "data": [args.data_dir and str(Path(args.data_dir).absolute()), args.revision],
        **({"repo": args.data_repo} if args.data_repo else {}),
        **({"prompt": args.prompt} if args.prompt else {}),
    }
    label = str(getattr(runner, "label", "") or args.model)
    return Job(
        out=Path(args.out) if args.out else options.default_out(label, what, identity),
        runner=runner,
        model=args.model,
        tasks=tasks,
        roles=roles,
        role_names=names,
        options=options.without_secrets(given),
        protocol=args.protocol,
        data=data_options(args, suite),
        overalls=overalls_of(tasks, found),
        suite=suite.name if suite else None,
        limits=Limits(_at_once(args, runner), args.judge_concurrency, args.limit),
        retry=Retry(tries=args.retries),
        cache=cache,
        progress="none"
        if args.json and args.progress == "auto" and not sys.stderr.isatty()
        else args.progress,
    )


def _at_once(args: argparse.Namespace, runner: Runner) -> int:
    """Requests under way; replicas have made up their minds about --concurrency."""
    if getattr(args, "replicas", None) is not None:
        return runner.concurrency
    return args.concurrency or runner.concurrency


def announce(job: Job, *, dry: bool = False, states: Sequence[TaskState] = ()) -> Ahead | None:
    """Say what will happen and what it will cost, before it happens; None where nobody is asked.

    Args:
        states: the opened tasks, for --dry-run.
    """
    coming, cost = None, ""
    if dry or job.roles.judge or job.roles.lalm:
        from evalkit.cli.forecast import details, forecast, headline, per_task

        coming = forecast(job, states)
        cost = f" · {told}" if (told := headline(coming)) else ""
    expected = [min(t.expected or 0, job.limits.samples or 10**9) for t in job.tasks]
    known = f"about {sum(expected):,} samples" if any(expected) else "as many samples as the data holds"
    samples = "the smoke set" if job.data.smoke else known
    print(
        f"evalkit {__version__} · run {job.out} · {len(job.tasks)} task{'s' * (len(job.tasks) != 1)}, {samples}"
        f"{cost}",
        file=sys.stderr,
    )
    for line in unbound(job.tasks, job.protocol, job.roles):
        print(f"  {line}", file=sys.stderr)
    if dry and coming is not None:
        for task in job.tasks:
            protocol, variant = task.variant(job.protocol)
            needs = f" · needs {', '.join(variant.roles)}" if variant.roles else ""
            n = f"{min(task.expected, job.limits.samples or task.expected):,}" if task.expected else "?"
            count = "our own few" if job.data.smoke else f"{n:>6} samples"
            asks = per_task(coming, task.name)
            print(f"  {task.name:<34} {protocol:<13} {count}{needs}{asks}", file=sys.stderr)
        for line in details(coming):
            print(f"  {line}", file=sys.stderr)
        print("dry run: nothing was sent and nothing written.", file=sys.stderr)
    return coming


def unbound(tasks: Sequence[Task], protocol: str | None, roles: Roles) -> list[str]:
    """Which roles are needed and unbound, and what stays unscored without them."""
    out = []
    flags = {
        "judge": "--judge openai/gpt-4o-mini",
        "asr": "--asr faster-whisper/large-v3",
        "lalm-judge": "--lalm-judge openai/gpt-audio",
    }
    for role, flag in flags.items():
        if not roles.bound(role) and not roles.options.get("recorded"):
            needy = [t.name for t in tasks if role in t.variant(protocol)[1].roles]
            if needy:
                shown = ", ".join(needy[:4]) + (f" and {len(needy) - 4} more" if len(needy) > 4 else "")
                out.append(f"no {role} is bound ({flag}): scores that need it stay unscored in {shown}")
    return out
