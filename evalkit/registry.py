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
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType

from evalkit.formats import Format
from evalkit.interfaces import ChatModel, Runner, Transcriber, UsageError
from evalkit.task import Overall, Suite, Task

RUNNERS, BENCHMARKS, FORMATS = "evalkit.runners", "benchmarks", "evalkit.formats"
MANIFESTS = (".yaml", ".yml", ".json")
"""A task that is called like a file is one: the manifest of a data set of the user's own."""


def _modules(package: str, group: str) -> Iterator[ModuleType]:
    home = importlib.import_module(package)
    for info in sorted(pkgutil.iter_modules(home.__path__), key=lambda i: i.name):
        if not info.name.startswith("_") and not (package == BENCHMARKS and info.ispkg):
            yield importlib.import_module(f"{package}.{info.name}")
    for point in entry_points(group=group):
        try:
            loaded = point.load()
            yield loaded if isinstance(loaded, ModuleType) else importlib.import_module(loaded.__module__)
        except Exception as exc:  # somebody else's broken plug-in must not take everything down
            warnings.warn(
                f"the plug-in {point.value!r} ({group}) can't be imported and is left out: {exc}",
                stacklevel=2,
            )


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
        if (cls := runner_class(module)) is not None:
            found.setdefault(cls.name, module)
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
    return cls(model, **options)  # type: ignore[call-arg]


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
    module = importlib.import_module("evalkit.runners.asr_engines")
    engine: Transcriber = module.make_transcriber(spec, dict(options))
    return engine


def default_transcriber() -> str | None:
    """The ASR engine for a user who names none, if this machine has a fitting one."""
    engine: str | None = importlib.import_module("evalkit.runners.asr_engines").default_engine()
    return engine


# --- formats of predictions ----------------------------------------------------------------------


@cache
def formats() -> dict[str, Format]:
    """Every format of predictions, by name."""
    found: dict[str, Format] = {}
    for module in _modules(FORMATS, "evalkit.formats"):
        for value in vars(module).values():
            if isinstance(value, Format):
                found.setdefault(value.name, value)
    return found


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
        for task in getattr(module, "TASKS", ()):
            if task.name in tasks:
                raise UsageError(
                    f"two benchmark files declare the task {task.name!r} ({module.__name__} is one)"
                )
            tasks[task.name] = task
        overalls |= {o.name: o for o in getattr(module, "OVERALLS", ())}
        suites |= {s.name: s for s in getattr(module, "SUITES", ())}
    return Catalogue(tasks, overalls, suites)
