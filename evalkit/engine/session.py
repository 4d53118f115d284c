"""One session on a run directory: open, resume, run the pipeline, write results, say what happened."""

from __future__ import annotations

import asyncio
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from evalkit import __version__
from evalkit.engine.changes import asked_at, changes, rubrics_of, sign
from evalkit.engine.judging import for_judge
from evalkit.engine.metering import prices_used, recording
from evalkit.engine.opencache import open_cache, settle
from evalkit.engine.opening import open_all
from evalkit.engine.pipeline import Interrupted, Limits, Pipeline
from evalkit.engine.progress import Progress
from evalkit.engine.retry import Retry, attempt
from evalkit.engine.signals import handlers_kept, listen
from evalkit.engine.state import TaskState
from evalkit.errors import RunnerError, UsageError
from evalkit.interfaces import Roles, Runner
from evalkit.ledger import Call, write_costs
from evalkit.linefiles import StoreError
from evalkit.plan import ModelCard, ScoringPlan
from evalkit.records import JSON, Modality, digest_of
from evalkit.results import build_results
from evalkit.segmentfile import write_segments
from evalkit.signature import fingerprint, unlike
from evalkit.sources import DataOptions, Source
from evalkit.store import Run, RunWriter
from evalkit.task import Overall, Task


@dataclass(frozen=True)
class Job:
    """What to do, once everything has been looked up.

    Attributes:
        out: the run directory.
        model: how the user named the model; for the record.
        options: model arguments as given, without secrets.
        role_names: who is bound to which role, as given.
        opener: opens a task's data some other way (rows that came with predictions).
    """

    out: Path
    runner: Runner
    model: str
    tasks: Sequence[Task]
    roles: Roles = field(default_factory=Roles)
    role_names: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    protocol: str | None = None
    data: DataOptions = field(default_factory=DataOptions)
    overalls: Sequence[Overall] = ()
    suite: str | None = None
    limits: Limits = field(default_factory=Limits)
    retry: Retry = field(default_factory=Retry)
    cache: Path | None = None
    progress: str = "auto"
    opener: Callable[[Task], tuple[Task, Source]] | None = None


@dataclass
class Outcome:
    """What a session came to."""

    results: dict[str, Any]
    interrupted: bool = False
    cached: int = 0
    requests: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def model_card(job: Job) -> ModelCard:
    """Label, runner part of the signature and decoding of the model under test."""
    given = job.runner.identity().get("decoding")
    decoding = given if isinstance(given, dict) else {}
    label = _label(job.runner, job.model)
    generation = {k: v for k, v in decoding.items() if v is not None}
    return ModelCard(label, _signed(job.runner, label), generation, job.runner.demo)


def _label(runner: Runner, model: str = "") -> str:
    return str(getattr(runner, "label", "") or runner.identity().get("model") or model)


def _signed(runner: Runner, label: str) -> str:
    """Who answers, with a fingerprint of all that decides the answers."""
    return f"{runner.name}/{label}@{fingerprint(dict(runner.identity()))}"


def plans_for(job: Job) -> list[TaskState]:
    """Open every task's data and build its judges.

    Raises:
        UsageError: data that isn't there, a protocol a task doesn't have, a modality the runner can't serve.
    """
    for task in job.tasks:
        if task.modality not in job.runner.modalities:
            able = ", ".join(sorted(job.runner.modalities))
            raise UsageError(
                f"{task.name} is {task.modality}, which the runner {job.runner.name!r} can't serve (it serves {able})."
            )
    states = []
    for task, source, notes in _opened(job):
        protocol, variant = task.variant(job.protocol)
        variant, judges = variant.bound(job.roles)
        if job.data.smoke:
            task = replace(task, expected=None)
        plan = ScoringPlan(
            task,
            protocol,
            variant,
            judges,
            source.describe(),
            limited=job.limits.samples is not None,
            asr=job.roles.asr.signature if job.roles.asr is not None else "given",
        )
        states.append(TaskState(plan, source, language=variant.asr_language, notes=notes))
    return states


def _opened(job: Job) -> Iterator[tuple[Task, Source, tuple[str, ...]]]:
    """Every task with its data and what was noted of it. Raises UsageError."""
    if job.opener is None:
        for task, (source, notes) in zip(job.tasks, open_all(job.tasks, job.data), strict=True):
            yield task, source, notes
        return
    for asked in job.tasks:
        task, source = job.opener(asked)
        yield task, source, tuple(task.check(source)) if task.check is not None else ()


def git_commit() -> str | None:
    """Commit of the checkout this code runs from, with "+" when it was changed; None outside a checkout."""
    home = Path(__file__).resolve().parents[2]
    if not (home / ".git").exists():
        return None
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=home, capture_output=True, timeout=5
        )
        dirty = subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=home, capture_output=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    commit = head.stdout.decode().strip()
    return f"{commit}{'+' if dirty.returncode else ''}" if commit else None


def manifest_for(
    job: Job, card: ModelCard, states: Sequence[TaskState], old: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of run.json; sessions of earlier calls are kept."""
    return {
        "v": 1,
        "evalkit": __version__,
        "git": git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": sys.argv[1:2],
        "model": {
            "name": job.model,
            "options": dict(job.options),
            "identity": dict(job.runner.identity()),
            **card.to_json(),
        },
        "suite": job.suite,
        "roles": dict(job.role_names),
        "judges": asked_at(job.roles),
        "options": dict(job.roles.options),
        "prices": prices_used([job.roles.judge, job.roles.lalm]),
        "limit": job.limits.samples,
        "tasks": {
            s.name: {
                "protocol": s.plan.protocol,
                "data": dict(s.plan.data),
                **({"rubrics": rubrics} if (rubrics := rubrics_of(s)) else {}),
            }
            for s in states
        },
        "sessions": list(old.get("sessions") or []),
    }


def open_run(job: Job, card: ModelCard) -> tuple[RunWriter, dict[str, Any]]:
    """The run directory, locked for writing, and its manifest so far. Raises UsageError."""
    run = RunWriter(job.out)
    try:
        return run, _checked(run, card.runner, job.runner)
    except UsageError:
        run.close()
        raise


def refuse_others(out: Path, runner: Runner) -> None:
    """Raises UsageError when the run directory holds somebody else's answers, or somebody is writing it. For before
    anything is written."""
    run = Run(out)
    _checked(run, _signed(runner, _label(runner)), runner)
    if run.exists:
        RunWriter(out).close()


def _checked(run: Run, signed: str, runner: Runner) -> dict[str, Any]:
    """The manifest so far. Raises UsageError when the directory holds the answers of another runner."""
    old = run.manifest() if run.exists else {}
    held = (old.get("model") or {}).get("runner")
    # A directory in which nothing was answered yet (a mistyped address, say) is nobody's.
    if held and held != signed and any(next(run.task(t).response_lines(), None) for t in old["tasks"]):
        parts = unlike(old["model"].get("identity"), dict(runner.identity()))
        told = f" They differ in {', '.join(parts)}." if parts else ""
        raise UsageError(
            f"{run.root} holds answers of {held}, not of {signed}.{told} Choose another --out (or drop it to get one)."
        )
    return old


async def _go(pipeline: Pipeline, helpers: Sequence[object]) -> bool:
    """Run the pipeline under Ctrl-C and SIGTERM; True when it was interrupted."""
    stop = asyncio.Event()
    listen(stop.set)
    try:
        await pipeline.go(stop)
        return False
    except Interrupted:
        return True
    finally:
        for helper in (pipeline.runner, *helpers):
            if (close := getattr(helper, "close", None)) is not None:
                await close()


def results_of(
    run: RunWriter, states: Sequence[TaskState], card: ModelCard, overalls: Sequence[Overall]
) -> Any:
    """Build and write results.json."""
    plans = [replace(s.plan, ids=frozenset(s.seen) if s.plan.n is not None else None) for s in states]
    results = build_results(run, plans, card, overalls, partial(write_segments, run))
    run.write_results(results)
    write_costs(run.root, results)
    return results


def _ready(runner: Runner, modality: Modality) -> None:
    """Let a runner load what it needs. Raises UsageError when it can't: it may be anybody's, and lack its weights."""
    try:
        runner.prepare(modality)
    except (UsageError, RunnerError, StoreError):
        raise
    except Exception as exc:
        what = f"{type(exc).__name__}: {' '.join(str(exc).split())[:300]}"
        raise UsageError(f"the runner {runner.name!r} can't be made ready ({what}).") from exc


def judges_ready(states: Sequence[TaskState], retry: Retry | None = None) -> None:
    """Let the judges find out what their signatures depend on, before anything is signed.

    Raises:
        UsageError, RunnerError: a judge's model can't be asked, not even after some tries.
    """

    async def ready() -> None:
        for judge in (j for state in states for j in state.plan.judges):
            try:
                await attempt(judge.ready, retry or Retry())
            except RunnerError as error:
                what = f"the {judge.role} can't be asked what it can do: {for_judge(judge, error)}"
                raise RunnerError(error.kind, what, fatal=True) from error

    asyncio.run(ready())


def _answered(job: Job, pipeline: Pipeline, progress: Progress) -> bool:
    """Run the pipeline to its end; True when it was interrupted. Raises as `execute`."""
    try:
        with handlers_kept():
            return asyncio.run(_go(pipeline, [job.roles.judge, job.roles.lalm]))
    except UsageError as exc:  # a row far down that is no sample
        if not pipeline.requests:
            raise
        kept = f"What was answered is kept in {job.out}; mend it and run the same command to go on."
        raise UsageError(f"{exc} {kept}") from exc
    finally:
        progress.close()


def execute(job: Job) -> Outcome:
    """Do the job: everything not yet on record is generated and judged, then results are written.

    Raises:
        UsageError, StoreError: one clear sentence; all that was finished stays on disk.
        RunnerError: a fatal one (bad key, unreachable endpoint).
    """
    started = time.monotonic()
    card = model_card(job)
    states = plans_for(job)
    run, old = open_run(job, card)
    cache = open_cache(job.cache)
    progress = Progress(job.progress)
    manifest = manifest_for(job, card, states, old)
    session: dict[str, JSON] = {"started": now(), "ended": None}
    manifest["sessions"].append(session)

    def record(call: Call) -> None:
        run.append_call(call.to_json())

    try:
        run.write_manifest(manifest)
        for modality in dict.fromkeys(t.modality for t in job.tasks):
            _ready(job.runner, modality)
        for helper in (job.roles.asr, job.roles.judge, job.roles.lalm):
            getattr(helper, "prepare", lambda: None)()
        with recording(record):
            judges_ready(states, job.retry)
        sign(manifest, states)
        for state in states:
            state.recall(run)
        pipeline = Pipeline(
            run,
            job.runner,
            states,
            asr=job.roles.asr,
            cache=cache,
            fingerprint=digest_of(dict(job.runner.identity())),
            limits=job.limits,
            retry=job.retry,
            progress=progress,
        )
        with recording(record):
            interrupted = _answered(job, pipeline, progress)
        results = results_of(run, states, card, job.overalls)
        outcome = Outcome(
            results,
            interrupted,
            pipeline.cached,
            pipeline.requests,
            time.monotonic() - started,
            (*(n for s in states for n in s.remarks), *changes(old, manifest, states)),
        )
        session |= {"ended": now(), "interrupted": interrupted, "seconds": round(outcome.seconds, 3)}
        session |= {"requests": outcome.requests, "cached": outcome.cached}
        session["request_window"] = round(pipeline.window, 4)
        run.write_manifest(manifest)
        return outcome
    finally:
        settle(cache)
        run.close()


def now() -> str:
    """The time in UTC, for the record."""
    return datetime.now(UTC).isoformat(timespec="seconds")
