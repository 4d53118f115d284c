"""`score`: score predictions made elsewhere."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from evalkit import __version__
from evalkit.cli import options
from evalkit.cli.run import asking, data_options, overalls_of, reading, unbound
from evalkit.cli.summary import conclude
from evalkit.cli.wording import check_complete
from evalkit.config import cache_dir
from evalkit.engine.importing import Foreign, Importer, recognise, remarks, task_for
from evalkit.engine.opencache import open_cache
from evalkit.engine.pipeline import Limits
from evalkit.engine.retry import Retry
from evalkit.engine.scorefile import Given, ids_of, score_file, score_with_models
from evalkit.engine.session import Job, refuse_others
from evalkit.errors import UsageError
from evalkit.files import sha256_of
from evalkit.interfaces import Roles
from evalkit.predictions import PredictionFile
from evalkit.records import Modality, digest_of
from evalkit.registry import Catalogue, catalogue, formats
from evalkit.runners.replay import ReplayRunner
from evalkit.task import Task


def call(args: argparse.Namespace) -> int:
    """Score and report; the exit code."""
    found = catalogue()
    files = [_file(word, found) for word in args.predictions]
    allowed = _allowed(args, found, files)
    foreign = [_foreign(f, args, allowed) for f in files]
    runner = _runner(args, files)
    identity = {**runner.identity(), **_asked(args)}
    what = (
        "+".join(args.task or dict.fromkeys(f.task or "" for f in foreign if f.task))
        or foreign[0].format.name
    )
    out = Path(args.out) if args.out else options.default_out(f"score-{runner.label}", what, identity)
    refuse_others(out, runner)
    with _workplace(out, dry=args.dry_run) as place:
        return _score(args, _Call(found, files, foreign, allowed, runner, out, place))


@contextmanager
def _workplace(out: Path, *, dry: bool) -> Iterator[Path]:
    """Where predictions in another format are converted to: the run directory, or nowhere that stays."""
    if not dry:
        yield out
        return
    with TemporaryDirectory(prefix="evalkit-") as name:
        yield Path(name)


@dataclass(frozen=True)
class _Call:
    """What a call asks for, once files and tasks were found. Foreign files are converted below `place`."""

    found: Catalogue
    files: Sequence[_File]
    foreign: Sequence[Foreign]
    allowed: Mapping[str, Task]
    runner: ReplayRunner
    out: Path
    place: Path


def _score(args: argparse.Namespace, asked: _Call) -> int:
    """Score, or say what that would take; the exit code."""
    from evalkit.cli.roles import bind, needs

    found, files, runner, out = asked.found, asked.files, asked.runner, asked.out
    given, told = _given(args, asked.foreign, asked.allowed, asked.place)
    tasks = [t for t in asking(list(asked.allowed.values()), args.prompt) if t.name in given]
    tasks = reading(tasks, args.data_repo)
    for task in tasks:
        if not given[task.name].rows and not args.data_dir and task.data.opener is None:
            print(f"the predictions bring no rows: reading {task.data.repo} from the hub", file=sys.stderr)
    runner.files = {name: g.predictions for name, g in given.items()}
    recorded = any(g.predictions.has("judged") for g in given.values())
    folder = None if args.no_cache else cache_dir()
    extra = {"recorded": True} if recorded else None
    roles, names = bind(args, open_cache(folder), needs(tasks, args.protocol), extra)
    check_complete(tasks, args.protocol, roles)
    job = Job(
        out=out,
        runner=runner,
        model=f"replay/{files[0].path.name}",
        tasks=tasks,
        roles=roles,
        role_names=names,
        options={"label": runner.label, **({"audio_dir": args.audio_dir} if args.audio_dir else {})},
        protocol=args.protocol,
        data=data_options(args, None),
        overalls=overalls_of(tasks, found),
        limits=Limits(runner.concurrency, args.judge_concurrency, args.limit),
        retry=Retry(tries=args.retries),
        cache=folder,
        progress="none"
        if args.json and args.progress == "auto" and not sys.stderr.isatty()
        else args.progress,
    )
    waits = any(_waits(t, given[t.name], roles, args.protocol) for t in tasks)
    if args.dry_run or waits:
        answers = {name: len(g.predictions.index) for name, g in given.items()}
        _announce(job, answers, dry=args.dry_run, machines=args.json)
    if args.dry_run:
        return 0
    outcome = (score_with_models if waits else score_file)(job, given)
    for line in told:
        print(line, file=sys.stderr)
    return conclude(outcome, job.out, json_out=args.json, report=not args.no_report)


def _announce(job: Job, answers: Mapping[str, int], *, dry: bool, machines: bool) -> None:
    """Say what will be asked and what it will cost, before it is; of a dry run also to machines."""
    from evalkit.cli.forecast import as_json, details, forecast, headline

    coming = forecast(job, answers=answers)
    if dry and machines:
        print(json.dumps(as_json(coming)))
    told = headline(coming)
    if told or dry:
        print(
            f"evalkit {__version__} \u00b7 run {job.out} \u00b7 {told or 'no judge to ask'}", file=sys.stderr
        )
    if dry:
        for line in (*unbound(job.tasks, job.protocol, job.roles), *details(coming)):
            print(f"  {line}", file=sys.stderr)
        print("dry run: nothing was sent and nothing written.", file=sys.stderr)


@dataclass(frozen=True)
class _File:
    """A file as the user named it: its path, and the task of `TASK=FILE`."""

    path: Path
    task: str | None = None


def _file(word: str, found: Catalogue) -> _File:
    """FILE or TASK=FILE. A file whose name holds "=" is taken for itself."""
    name, equals, rest = word.partition("=")
    if equals and name in found.tasks and not Path(word).exists():
        return _File(Path(rest), name)
    return _File(Path(word))


def _allowed(args: argparse.Namespace, found: Catalogue, files: Sequence[_File]) -> dict[str, Task]:
    """The tasks that may be answered: those of --task and of TASK=FILE, else all."""
    named = [f.task for f in files if f.task]
    patterns = [*(args.task or ()), *named]
    return {t.name: t for t in (found.select(patterns) if patterns else found.tasks.values())}


def _foreign(file: _File, args: argparse.Namespace, allowed: Mapping[str, Task]) -> Foreign:
    """A file with its format and, where its records don't tell it, its task. Raises UsageError."""
    form, head = recognise(file.path, args.format or ("kaldi" if args.ref else None), formats())
    if file.task is not None:
        return Foreign(file.path, form, head, file.task)
    if form.name == "evalkit" and any("task" in r for r in head.records):
        return Foreign(file.path, form, head)
    task = task_for(file.path, form, head, list(allowed), chosen=bool(args.task))
    return Foreign(file.path, form, head, task)


def _runner(args: argparse.Namespace, files: Sequence[_File]) -> ReplayRunner:
    """Who answered: the label, and a digest over all files (that of the file, when there is one)."""
    named = {"audio_dir": args.audio_dir} if args.audio_dir else {}
    runner = ReplayRunner(str(files[0].path), label=args.label or files[0].path.stem, **named)
    digests = [runner.predictions.sha256, *(_sha256(f.path) for f in files[1:])]
    runner.sha256 = digests[0] if len(digests) == 1 else digest_of(digests)
    return runner


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise UsageError(f"there is no predictions file {path}")
    return sha256_of(path)


def _asked(args: argparse.Namespace) -> dict[str, object]:
    """What tells this call's results apart from another's of the same files."""
    task = args.task[0] if args.task and len(args.task) == 1 else args.task
    more = {"format": args.format, "ref": args.ref, "column": args.answer_column}
    plain = {"task": task, "protocol": args.protocol, "limit": args.limit}
    return plain | {k: v for k, v in more.items() if v} | ({"recorded": False} if args.no_recorded else {})


def _given(
    args: argparse.Namespace,
    foreign: Sequence[Foreign],
    allowed: Mapping[str, Task],
    out: Path,
) -> tuple[dict[str, Given], list[str]]:
    """The predictions for each task, converted where they aren't ours; what is to be told of that.

    Where the data set is named, its rows are read instead of those that foreign files bring.
    """
    audio_dir = Path(args.audio_dir) if args.audio_dir else None
    tasks = {t.name: t for t in asking(list(allowed.values()), args.prompt)}
    named = {f.task: f for f in foreign if f.task and f.format.name == "evalkit"}
    files = {
        name: PredictionFile(f.path, audio_dir, not args.no_recorded, task=name) for name, f in named.items()
    }
    told: list[str] = []
    if len(named) < len(foreign):
        rows = not (args.data_dir or args.data_repo)
        recorded, column = not args.no_recorded, args.answer_column
        ref = Path(args.ref) if args.ref else None
        data = data_options(args, None)
        importer = Importer(out, tasks, rows, audio_dir, recorded, column, ref, lambda t: ids_of(t, data))
        files = importer.convert(foreign)
        told = list(remarks(importer))
    return {name: Given(p, p.first().row is not None) for name, p in files.items()}, told


def _waits(task: Task, given: Given, roles: Roles, protocol: str | None) -> bool:
    """Has a model to look at these answers: one bound to judge them, or an ASR engine?"""
    asks = any(r != "asr" and roles.bound(r) for r in task.variant(protocol)[1].roles)
    return asks or (task.modality is Modality.S2S and given.predictions.has("spoken"))


def one_task(name: str) -> Task:
    """The task of that name. Raises UsageError when it names none or several."""
    found = catalogue()
    if name in found.tasks:
        return found.tasks[name]
    tasks = found.select([name])
    if len(tasks) != 1:
        raise UsageError(f"one task, please; {name!r} matches {', '.join(t.name for t in tasks[:5])}...")
    return tasks[0]
