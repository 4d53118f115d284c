"""Discovery: runners, judges' engines, formats of predictions, benchmarks and suites, found by dropping a file in.

Inside the project: every module of `evalkit.runners`, `evalkit.formats` and `benchmarks`. In somebody else's
package: the entry-point groups `evalkit.runners`, `evalkit.formats` and `evalkit.benchmarks`. Modules are
imported only when asked for.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from evalkit.chat import ChatModel
from evalkit.errors import UsageError
from evalkit.formats import Converted, Format, Head, Reading
from evalkit.interfaces import Runner, Transcriber
from evalkit.task import Overall, Suite, Task

RUNNERS, BENCHMARKS, FORMATS = "evalkit.runners", "benchmarks", "evalkit.formats"
MANIFESTS = (".yaml", ".yml", ".json")
"""A task that is called like a file is one: the manifest of a data set of the user's own."""


def _modules(package: str, group: str) -> Iterator[ModuleType]:
    home = importlib.import_module(package)
    for info in sorted(pkgutil.iter_modules(home.__path__), key=lambda i: i.name):
        if not info.name.startswith("_") and not (package == BENCHMARKS and info.ispkg):
            yield importlib.import_module(f"{package}.{info.name}")
    seen = set()
    for point in entry_points(group=group):
        try:
            loaded = point.load()
            if not isinstance(loaded, ModuleType | type):
                raise TypeError("the entry point has to name the module that holds it")
            module = loaded if isinstance(loaded, ModuleType) else importlib.import_module(loaded.__module__)
        except (Exception, SystemExit) as exc:  # somebody else's broken plug-in must not take everything down
            _leave_out(point.value, group, f"can't be imported ({type(exc).__name__}: {exc})")
        else:
            if module.__name__ not in seen:
                seen.add(module.__name__)
                yield module


def _leave_out(plugin: str, group: str, why: str) -> None:
    warnings.warn(f"the plug-in {plugin!r} ({group}) {why}: it is left out", stacklevel=3)


def suggestion(name: str, known: list[str]) -> str:
    """ ", did you mean ...?" or ""."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(near)}?" if near else ""


# --- runners -------------------------------------------------------------------------------------


def runner_class(module: ModuleType) -> type[Runner] | None:
    """The runner that a module (or the package it opens) defines, if any."""
    for value in vars(module).values():
        if (
            isinstance(value, type)
            and issubclass(value, Runner)
            and value.name
            and value.__module__.startswith(module.__name__)
        ):
            return value
    return None


@cache
def runner_modules() -> dict[str, ModuleType]:
    """Every module that holds a runner, by the runner's name."""
    found: dict[str, ModuleType] = {}
    for module in _modules(RUNNERS, "evalkit.runners"):
        if (cls := runner_class(module)) is not None and found.setdefault(cls.name, module) is not module:
            _leave_out(module.__name__, "evalkit.runners", f"has a runner {cls.name!r}, and so has another")
    return found


def _runner_module(name: str) -> ModuleType:
    """The module of one runner; imports only that one when it is named like the runner."""
    try:
        module = importlib.import_module(f"{RUNNERS}.{name.replace('-', '_')}")
        if (cls := runner_class(module)) is not None and cls.name == name:
            return module
    except ModuleNotFoundError as exc:
        if not (exc.name or "").startswith(RUNNERS):
            raise
    known = runner_modules()
    if name not in known:
        raise UsageError(
            f"there is no runner {name!r}.{suggestion(name, list(known))} Known: {', '.join(sorted(known))}. "
            "Write RUNNER/MODEL, e.g. openai/gpt-4o-mini."
        )
    return known[name]


def make_runner(spec: str, options: Mapping[str, str]) -> Runner:
    """Build the runner that `--model RUNNER/MODEL` names. Raises UsageError."""
    name, _, model = spec.partition("/")
    cls = runner_class(_runner_module(name))
    assert cls is not None
    try:
        inspect.signature(cls).bind(model, **options)
    except TypeError as exc:
        raise UsageError(f"the runner {name!r} doesn't take these model arguments (-M): {exc}.") from exc
    try:
        return cls(model, **options)  # type: ignore[call-arg]
    except (ValueError, TypeError, KeyError, OSError, ImportError) as exc:
        raise UsageError(
            f"the runner {name!r} can't be made of these model arguments (-M): {_told(exc)}."
        ) from exc


def make_chat(spec: str, options: Mapping[str, str]) -> ChatModel:
    """Build the text model that `--judge RUNNER/MODEL` names. Raises UsageError."""
    name, _, model = spec.partition("/")
    module = _runner_module(name)
    factory = getattr(module, "make_chat", None)
    if factory is None:
        able = [n for n, m in runner_modules().items() if hasattr(m, "make_chat")]
        raise UsageError(f"the runner {name!r} can't be a judge; these can: {', '.join(able)}.")
    chat: ChatModel = factory(model, dict(options))
    return chat


def make_transcriber(spec: str, options: Mapping[str, str]) -> Transcriber:
    """Build the ASR engine that `--asr ENGINE/MODEL` names. Raises UsageError."""
    module = importlib.import_module("evalkit.runners.asr.engines")
    engine: Transcriber = module.make_transcriber(spec, dict(options))
    return engine


def default_transcriber() -> str | None:
    """The ASR engine for a user who names none, if this machine has a fitting one."""
    engine: str | None = importlib.import_module("evalkit.runners.asr.engines").default_engine()
    return engine


# --- formats of predictions ----------------------------------------------------------------------


@cache
def formats() -> dict[str, Format]:
    """Every format of predictions, by name."""
    found: dict[str, Format] = {}
    known: dict[str, Format] = {}
    for module in _modules(FORMATS, "evalkit.formats"):
        foreign = not module.__name__.startswith(f"{FORMATS}.")
        for value in [v for v in vars(module).values() if isinstance(v, Format)]:
            if known.setdefault(value.name, value) is not value:
                _leave_out(
                    module.__name__, "evalkit.formats", f"has a format {value.name!r}, and so has another"
                )
            else:
                found[value.name] = _guarded(value) if foreign else value
    return found


def _guarded(form: Format) -> Format:
    """A format of another package, whose failures are told by its name and its file, and end no other's reading."""

    def sniff(head: Head) -> bool:
        try:
            return bool(form.sniff(head))
        except UsageError:
            raise
        except Exception as exc:
            warnings.warn(f"the format {form.name!r} can't look at {head.path} ({_told(exc)})", stacklevel=2)
            return False

    def read(path: Path, reading: Reading) -> Iterator[Converted]:
        line = 0
        try:
            for found in form.read(path, reading):
                line = found.line
                for field in ("id", "text", "audio", "transcript"):
                    if not isinstance(value := getattr(found, field), str | None):
                        what = f"the format {form.name!r} gives a {type(value).__name__} for {field}"
                        raise UsageError(f"{path}:{line}: {what}, not a text")
                yield found
        except UsageError:
            raise
        except Exception as exc:
            place = f"after line {line}" if line else "at its beginning"
            raise UsageError(
                f"{path} can't be read {place} by the format {form.name!r} ({_told(exc)})"
            ) from exc

    return replace(form, sniff=sniff, read=read)


def _told(exc: Exception) -> str:
    return f"{type(exc).__name__}: {' '.join(str(exc).split())[:200]}"


# --- benchmarks ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Catalogue:
    """Everything the benchmark files declare."""

    tasks: Mapping[str, Task]
    overalls: Mapping[str, Overall]
    suites: Mapping[str, Suite]

    def select(self, patterns: list[str]) -> list[Task]:
        """Tasks that match any of the globs, in catalogue order, then those of manifests (paths of files).

        Raises:
            UsageError: a pattern that matches nothing, with the nearest names; a manifest that is wrong.
        """
        names: dict[str, None] = {}
        own: dict[str, Task] = {}
        for pattern in patterns:
            if pattern.endswith(MANIFESTS):
                task = _custom(pattern)
                if task.name in own:
                    raise UsageError(f"two of the manifests are called {task.name}; give one another name.")
                own[task.name] = task
                continue
            hits = [
                n for n in self.tasks if fnmatchcase(n, pattern) or n.startswith(pattern.rstrip("/") + "/")
            ]
            if not hits:
                raise UsageError(
                    f"no task matches {pattern!r}.{suggestion(pattern, list(self.tasks))} "
                    "`run_eval.py list benchmarks` shows them all."
                )
            names |= dict.fromkeys(hits)
        return [*(self.tasks[n] for n in self.tasks if n in names), *own.values()]

    def suite(self, name: str) -> Suite:
        """A suite by name. Raises UsageError."""
        if name not in self.suites:
            raise UsageError(
                f"there is no suite {name!r}.{suggestion(name, list(self.suites))} Known: {', '.join(self.suites)}."
            )
        return self.suites[name]


def _custom(path: str) -> Task:
    """The task that a manifest declares. Raises UsageError."""
    task: Task = importlib.import_module(f"{BENCHMARKS}.custom").task_of(path)
    return task


@cache
def catalogue() -> Catalogue:
    """Import every benchmark file and collect what it declares."""
    tasks: dict[str, Task] = {}
    overalls: dict[str, Overall] = {}
    suites: dict[str, Suite] = {}
    for module in _modules(BENCHMARKS, "evalkit.benchmarks"):
        ours = module.__name__.startswith(f"{BENCHMARKS}.")
        try:
            new_tasks = _declared(module, "TASKS", Task, tasks)
            new_overalls = _declared(module, "OVERALLS", Overall, overalls)
            new_suites = _declared(module, "SUITES", Suite, suites)
        except (TypeError, ValueError) as exc:
            if ours:
                raise UsageError(f"{module.__name__} {exc}") from exc
            _leave_out(module.__name__, "evalkit.benchmarks", str(exc))
            continue
        tasks |= new_tasks
        overalls |= new_overalls
        suites |= new_suites
    return Catalogue(tasks, overalls, suites)


_T = TypeVar("_T", Task, Overall, Suite)


def _declared(module: ModuleType, what: str, kind: type[_T], known: Mapping[str, _T]) -> dict[str, _T]:
    """What a benchmark file declares under one of its names. Raises TypeError or ValueError, which say why not."""
    values = getattr(module, what, ())
    if not isinstance(values, list | tuple) or not all(isinstance(v, kind) for v in values):
        raise TypeError(f"has {what} that are no tuple of {kind.__name__}")
    found: dict[str, _T] = {}
    for value in values:
        if value.name in known or value.name in found:
            raise ValueError(f"declares the {kind.__name__.lower()} {value.name!r}, which is there already")
        found[value.name] = value
    return found
