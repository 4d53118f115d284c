"""The data of every task, opened and looked into before anything is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from evalkit.engine.loading import readable, sample_of
from evalkit.errors import UsageError
from evalkit.sources import DataOptions, Source, open_source
from evalkit.task import Task


def open_all(tasks: Sequence[Task], data: DataOptions) -> list[tuple[Source, tuple[str, ...]]]:
    """The data of each task, and what a reader of its numbers should know of it.

    Raises:
        UsageError: data that isn't there, is empty, or begins with a row that is no sample. Of a local folder, all
            tasks that lack theirs are named; the hub is left at the first failure, since it may be out of reach.
    """
    found: list[tuple[Source, tuple[str, ...]]] = []
    failed: dict[str, UsageError] = {}
    for task in tasks:
        try:
            found.append(opened(task, data))
        except UsageError as exc:
            if data.data_dir is None:
                raise
            failed[task.name] = exc
    if failed:
        raise UsageError(_told(failed))
    return found


def opened(task: Task, data: DataOptions) -> tuple[Source, tuple[str, ...]]:
    """The data of one task, and what was noted of it. Raises UsageError as `open_all` does."""
    try:
        source = open_source(task.data, data, task=task.name)
        notes = tuple(task.check(source)) if task.check is not None else ()
        _first_look(task, source)
    except OSError as exc:  # a folder or a file of it that may not be read
        raise UsageError(
            f"{task.name}: the data can't be read: {exc.filename or data.data_dir}: {exc.strerror or exc}"
        ) from exc
    return source, notes


def _first_look(task: Task, source: Source) -> None:
    """Is there a first row, and is it a sample? Raises UsageError: nobody should learn that after a night of others."""
    row = next(readable(task.name, source), None)
    if row is None:
        files = ", ".join(Path(f).name for _, f in source.files[:3]) or "no files"
        raise UsageError(
            f"{task.name}: the data in {source.root} ({files}) holds no samples of it. Check --data-dir."
        )
    sample_of(task, row)


def _told(failed: Mapping[str, UsageError]) -> str:
    (_, first), *others = failed.items()
    if not others:
        return str(first)
    names = ", ".join(name for name, _ in others)
    return (
        f"{first} The data of {names} can't be used either. Choose the tasks whose data is there with --task."
    )
