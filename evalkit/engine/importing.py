"""Files of other formats into predictions of ours: one JSONL a task below the run directory, streamed.

Whatever is wrong with a line is told by the name the user knows: the foreign file and its line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, BinaryIO

from evalkit.audio import AudioError, inside
from evalkit.engine.loading import sample_of
from evalkit.errors import UsageError
from evalkit.formats import Converted, Format, Head, Reading
from evalkit.linefiles import encode_line, store_error
from evalkit.predictions import PredictionFile
from evalkit.registry import suggestion
from evalkit.rows import Row
from evalkit.task import Task

IMPORTED = "imported"
BUFFER = 1 << 18


@dataclass(frozen=True)
class Foreign:
    """One file to be converted: its format, and the task of records that don't tell theirs."""

    path: Path
    format: Format
    head: Head
    task: str | None = None


def recognise(path: Path, name: str | None, known: Mapping[str, Format]) -> tuple[Format, Head]:
    """The format of a file: the one named, else the one whose marks its content bears.

    A file of JSON lines that no format knows, but whose lines are broken or begin as ours do, is read as ours,
    which then says what is wrong with which line.

    Raises:
        UsageError: no such file or format, an empty file, several formats that fit, or none.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name the files of predictions in it")
    if not path.is_file():
        raise UsageError(f"there is no predictions file {path}")
    head = Head(path)
    if not head.data.strip():
        raise UsageError(f"{path} holds no predictions")
    if name is not None:
        if name not in known:
            raise UsageError(
                f"there is no format {name!r}.{suggestion(name, list(known))} Known: {', '.join(known)}."
            )
        return known[name], head
    fitting = [f for f in known.values() if f.sniff(head)]
    if len(fitting) == 1:
        return fitting[0], head
    if fitting:
        names = " and ".join(f.name for f in fitting)
        raise UsageError(f"{path} could be of the formats {names}: say which with --format NAME.")
    ours = head.data.lstrip().startswith((b"{", b"[")) and (
        not head.records or head.columns & {"id", "text", "audio", "transcript", "row", "judge"}
    )
    if ours and "evalkit" in known:
        return known["evalkit"], head
    raise UsageError(
        f"{path} is of no format that is known by its content ({', '.join(known)}): say which with --format NAME "
        "(`run_eval.py list formats` says what each looks like)."
    )


def task_for(path: Path, form: Format, head: Head, allowed: Sequence[str], *, chosen: bool) -> str | None:
    """The task of records that don't tell theirs: the only one allowed, or the only likely one of those allowed.

    Args:
        allowed: names of the tasks that may be answered.
        chosen: True when the user named them; without, a file's hints are no answer.

    Raises:
        UsageError: the user has to say it; the sentence lists the likely ones.
    """
    if chosen and len(allowed) == 1:
        return allowed[0]
    hints = [t for t in form.likely(head) if t in allowed]
    if form.tells_task:
        return hints[0] if len(hints) == 1 else None
    if chosen and len(hints) == 1:
        return hints[0]
    fitting = hints or [t for t in allowed if any(fnmatchcase(t, g) for g in form.tasks)]
    shown = ", ".join(fitting[:8]) + (f" and {len(fitting) - 8} more" if len(fitting) > 8 else "")
    likely = f" Likely: {shown}." if fitting and form.tasks != ("*",) else ""
    raise UsageError(
        f"{path} ({form.name}) doesn't say which task it answers: name one task with --task.{likely}"
    )


def placed(folder: Path, audio: str, spare: bool) -> tuple[str | None, dict[str, str] | None]:
    """(absolute path, None) of a spoken answer, or (None, why not): it may not leave its folder.

    Args:
        spare: what was made of the sound is at hand (a transcript, judge replies): then the sound may be missing.
    """
    given = Path(audio)
    try:
        path = inside(folder, str(given.relative_to(folder)) if given.is_relative_to(folder) else audio)
    except AudioError as exc:
        return None, None if spare else {"kind": "bad-audio", "message": str(exc)}
    missing = not os.path.isfile(path)  # noqa: PTH113 - where Path.is_file raises for a long name
    return (None, None) if spare and missing else (str(path), None)


@dataclass
class _Out:
    """The file one task's predictions go to, and the ids met so far with their places."""

    task: Task
    path: Path
    file: BinaryIO
    seen: dict[str, tuple[Path, int]] = field(default_factory=dict)
    folders: set[Path] = field(default_factory=set)
    places: Sequence[str] | None = None

    @property
    def new(self) -> Path:
        """The file while it is written."""
        return _new(self.path)


def _new(path: Path) -> Path:
    """Where this process writes a file before it takes its place: no two processes write the same."""
    return path.with_suffix(f".{os.getpid()}.new")


@dataclass
class Importer:
    """Converts files into one predictions file for each task.

    Attributes:
        out: folder of the run; files go to `imported/` below it.
        tasks: every task that may be answered, by name; predictions for others are left out and counted.
        rows: False leaves the rows that came along unread, because the data set is at hand.
        audio_dir: folder of spoken answers; default each file's own.
        recorded: False drops recorded judge replies.
        column: the user's name of the column that holds answers.
        ref: a file of references, for formats that take one.
        left_out, repeated: how many predictions --task left out, and how many repeat an id, with an example.
        passed_over: how many records a public scorer passes over, by reason, with the first one's place.
        places: gives the ids of a task's data set in its order, for formats whose ids are places in it.
    """

    out: Path
    tasks: Mapping[str, Task]
    rows: bool = True
    audio_dir: Path | None = None
    recorded: bool = True
    column: str | None = None
    ref: Path | None = None
    places: Callable[[Task], Sequence[str]] | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, tuple[int, str]] = field(default_factory=dict)
    passed_over: dict[str, tuple[int, str]] = field(default_factory=dict)
    _outs: dict[str, _Out] = field(default_factory=dict)

    def convert(self, files: Sequence[Foreign]) -> dict[str, PredictionFile]:
        """The predictions of each task; nothing is left behind when a line is bad.

        Raises:
            UsageError: a malformed line or an id that occurs twice, by file and line; no prediction for any task.
            StoreError: full disk.
        """
        with self._opened():
            for foreign in files:
                self._one(foreign)
        if not self._outs:
            there = ", ".join(self.left_out) or "none"
            raise UsageError(f"none of the predictions answers a task of --task (they answer {there}).")
        return {name: self._settled(o, files) for name, o in self._outs.items()}

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """Files under construction: put in place at the end, removed when something went wrong."""
        try:
            yield
            self._place()
        except BaseException:
            for o in self._outs.values():
                with suppress(OSError):  # full disk: what it still holds is not wanted
                    o.file.close()
                o.new.unlink(missing_ok=True)
            with suppress(OSError):  # not empty, or not there
                (self.out / IMPORTED).rmdir()
                self.out.rmdir()
            raise

    def _place(self) -> None:
        """Put the finished files where they belong, and clear away what killed processes left half done."""
        for o in self._outs.values():
            try:
                o.file.close()
                os.replace(o.new, o.path)  # noqa: PTH105
            except FileNotFoundError as exc:  # another process was done first, and cleared this away
                raise UsageError(
                    f"another process is writing {self.out}. Wait for it, or choose another --out."
                ) from exc
            except OSError as exc:
                raise store_error(o.path, exc) from exc
        for stale in (self.out / IMPORTED).glob("*.new"):
            stale.unlink(missing_ok=True)

    def _settled(self, o: _Out, files: Sequence[Foreign]) -> PredictionFile:
        folder = Path(os.path.commonpath(sorted(map(str, o.folders))))
        origin = files[0].path if len(files) == 1 else o.path
        return PredictionFile(o.path, folder, task=o.task.name, origin=origin)

    def _one(self, foreign: Foreign) -> None:
        reading = Reading(foreign.head, foreign.task, self.column, self.ref)
        folder = (self.audio_dir or foreign.path.parent).absolute()
        for found in foreign.format.read(foreign.path, reading):
            if found.left_out is not None:
                n, example = self.passed_over.get(found.left_out, (0, f"{foreign.path}:{found.line}"))
                self.passed_over[found.left_out] = n + 1, example
                continue
            name = found.task or foreign.task
            if name is None:
                raise UsageError(f"{foreign.path}:{found.line}: names no task. Name it with --task.")
            task = self.tasks.get(name)
            if task is None:
                self.left_out[name] = self.left_out.get(name, 0) + 1
                continue
            o = self._out(task)
            o.folders.add(folder)
            if foreign.format.by_position and not self.rows and self.places is not None:
                o.places = self.places(task) if o.places is None else o.places
                found.id = self._at_place(o.places, found, foreign.path, task)
            self._write(o, found, foreign, folder)

    @staticmethod
    def _at_place(ids: Sequence[str], found: Converted, path: Path, task: Task) -> str:
        """The data set's id of what a record calls by its place. Raises UsageError: there is no such place."""
        place = found.id or ""
        if not place.isdecimal() or int(place) >= len(ids):
            what = f"{task.name} has {len(ids)} samples, none at place {place!r} (from 0)"
            raise UsageError(f"{path}:{found.line}: {what}. Check --task and the edition of the data.")
        return ids[int(place)]

    def _out(self, task: Task) -> _Out:
        if task.name not in self._outs:
            path = self.out / IMPORTED / f"{task.name.replace('/', '_')}.jsonl"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                file = _new(path).open("wb", buffering=BUFFER)
            except OSError as exc:
                raise UsageError(
                    f"{path} can't be written: {exc.strerror or exc}. Choose another --out."
                ) from exc
            self._outs[task.name] = _Out(task, path, file)
        return self._outs[task.name]

    def _write(self, o: _Out, found: Converted, foreign: Foreign, folder: Path) -> None:
        line: dict[str, Any] = {"id": self._id(o, found, foreign, folder)}
        judge = found.judge if self.recorded else None
        error = {"kind": "no-prediction", "message": found.error} if found.error is not None else None
        audio = None
        if found.audio and error is None:
            audio, error = placed(folder, found.audio, judge is not None or found.transcript is not None)
        values = {
            "text": found.text,
            "audio": audio,
            "transcript": found.transcript,
            "row": found.row if self.rows else None,
            "judge": judge,
            "lacks": found.lacks,
            "error": error,
        }
        line |= {k: v for k, v in values.items() if v is not None}
        line["at"] = [str(foreign.path), found.line]
        try:
            o.file.write(encode_line(line))
        except OSError as exc:
            raise store_error(o.path, exc) from exc

    def _id(self, o: _Out, found: Converted, foreign: Foreign, folder: Path) -> str:
        """The record's id, or the one that the benchmark gives its row; what repeats one is x~2, x~3, as in a run.

        Raises:
            UsageError: an id that occurs twice where the public scorer joins by it; a row that the benchmark
                can't read; a record with neither.
        """
        here = (foreign.path, found.line)
        name = found.id
        if name is None:
            if found.row is None:
                raise UsageError(f"{foreign.path}:{found.line}: has no id. Give every record one.")
            name = self._named(o.task, found.row, here, folder)
        elif name in o.seen:
            first, line = o.seen[name]
            place = f"line {line}" if first == foreign.path else f"line {line} of {first}"
            what = f"{foreign.path}:{found.line}: the id {name!r} stands on {place} already"
            if not foreign.format.repeats:
                raise UsageError(f"{what}. Keep one of them.")
            n, example = self.repeated.get(o.task.name, (0, what))
            self.repeated[o.task.name] = n + 1, example
        unique, k = name, 1
        while unique in o.seen:
            k += 1
            unique = f"{name}~{k}"
        o.seen[unique] = here
        return unique

    @staticmethod
    def _named(task: Task, values: dict[str, Any], here: tuple[Path, int], folder: Path) -> str:
        """The id that the benchmark gives a row. Raises UsageError that names file and line."""
        path, line = here
        row = Row(
            values, file=str(path), number=line - 1, split=task.data.splits[0], root=str(folder), given=True
        )
        row.line = line
        try:
            return sample_of(task, row).id
        except UsageError as exc:
            raise UsageError(f"{path}:{line}: {exc}") from exc


def remarks(importer: Importer) -> Iterator[str]:
    """What a reader of the numbers should know: what was left out, and which ids stood twice."""
    if importer.left_out:
        shown = ", ".join(f"{name} ({n})" for name, n in importer.left_out.items())
        yield f"left out, because --task doesn't name them: predictions for {shown}"
    for name, (n, example) in importer.repeated.items():
        more = f" (and {n - 1} more)" if n > 1 else ""
        yield f"{name}: {example}{more}; each is counted, as the public scorer does."
    for why, (n, example) in importer.passed_over.items():
        more = f" (and {n - 1} more)" if n > 1 else ""
        yield f"{example}{more}: {why}; left out, as the public scorer does."
