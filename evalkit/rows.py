"""A row of a data set, and the readers that stream rows out of parquet, JSONL, JSON, CSV and TSV files.

Audio columns stay encoded: `Row.audio` hands out the bytes or the path, and `evalkit.audio` decodes them.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from evalkit.audio import LFS_POINTER, AudioError, inside
from evalkit.errors import UsageError
from evalkit.files import numbered_lines
from evalkit.records import Audio, Turn, digest_of

SUFFIXES = (".parquet", ".jsonl", ".json", ".csv", ".tsv")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{1,15}://")
MAX_CELL = 1 << 30
"""Characters one CSV cell may hold; the csv module's own limit is too small for a long prompt."""


class Row(dict[str, Any]):
    """One row of a data set, that knows where it came from.

    Attributes:
        file: the file it was read from.
        number: its place in that file, from 0; for messages only, never an id.
        split: the split it belongs to.
        root: folder its audio paths may not leave.
        given: True when it came with a prediction rather than from the data set.
        file_id: id of that prediction.
        line: its line in a predictions file of another format, from 1; 0 when it has none.
    """

    def __init__(
        self, values: Mapping[str, Any], *, file: str, number: int, split: str, root: str, given: bool = False
    ) -> None:
        super().__init__(values)
        self.file, self.number, self.split, self.root, self.given = file, number, split, root, given
        self.file_id = ""
        self.line = 0

    @property
    def where(self) -> str:
        """ "row 17 of usa-0001.parquet", "line 18 of predict.jsonl"."""
        place = f"line {self.line}" if self.line else f"row {self.number}"
        return f"{place} of {Path(self.file).name}"

    def __missing__(self, key: str) -> Any:
        found = ", ".join(map(str, self)) or "none"
        raise UsageError(
            f"{self.where} has no column {key!r} (found: {found}). "
            "Is this the edition of the data set the task expects? Use --revision or --data-dir."
        )

    def audio(self, column: str = "audio") -> Audio:
        """The audio of a column: a {bytes, path} struct, or a path relative to the data's folder.

        Raises:
            UsageError: no such column, an empty cell, or a path that leaves the folder.
        """
        return self.audio_of(self[column], column)

    def audio_of(self, value: Any, column: str = "audio") -> Audio:
        """The audio of a cell, or of one item of a cell that holds a list; `column` is for its origin.

        Raises:
            UsageError: an empty value, or a path that leaves the folder.
        """
        if isinstance(value, Mapping):
            data, path = value.get("bytes"), value.get("path")
            if data and isinstance(data, bytes | bytearray):
                suffix = Path(path).suffix.lstrip(".").lower() if path else None
                return Audio(data=bytes(data), format=suffix or None, origin=self._origin(column))
            value = path if {"bytes", "path"} & value.keys() else value
        if value and isinstance(value, bytes | bytearray):
            return Audio(data=bytes(value), origin=self._origin(column))
        if not value:
            raise UsageError(f"{self.where}: the audio column {column!r} is empty")
        if not isinstance(value, str):
            what = "holds neither a path nor encoded audio ({bytes, path})"
            raise UsageError(f"{self.where}: the audio column {column!r} {what}")
        return self._at(value)

    def audio_near(self, value: Any, column: str = "audio") -> Audio:
        """The audio of a cell as in `audio_of`, but a path is looked for as `locate` does. Raises as they do."""
        return self.locate(value) if isinstance(value, str) else self.audio_of(value, column)

    def locate(self, *places: str) -> Audio:
        """The audio at the first of these relative paths that is there, else at the first of them.

        Each is looked for beside the row's file, then below the data set's root.

        Raises:
            UsageError: a path that leaves the root.
        """
        if not places:
            raise UsageError(f"{self.where}: the row names no audio")
        beside = os.path.relpath(Path(self.file).absolute().parent, os.path.abspath(self.root))
        tries = [t for p in places for t in (os.path.join(beside, p), p)]
        found = [self._at(t) for t in tries if not t.startswith("..")] or [self._at(places[0])]
        there = (a for a in found if a.path and os.path.isfile(a.path))  # noqa: PTH113 - a long name is not there
        return next(there, found[0])

    def _at(self, relative: str) -> Audio:
        if _ADDRESS.match(relative):
            what = f"the audio {relative!r:.80} is an address; fetch it, and name the file"
            raise UsageError(f"{self.where}: {what}")
        try:
            given, root = Path(relative), os.path.abspath(self.root)
            found = inside(root, str(given.relative_to(root)) if given.is_relative_to(root) else relative)
        except AudioError as exc:
            raise UsageError(f"{self.where}: {exc}") from exc
        return Audio(path=str(found), format=found.suffix.lstrip(".").lower() or None, origin=str(found))

    def user_turn(self, column: str = "audio", *more: str) -> Turn:
        """A user turn that holds the row's audio, then the texts `more`; see `turn`."""
        return (
            self.turn(lambda: self.audio(column), *more)
            if self.get(column) or not self.given
            else self.turn(None)
        )

    def turn(self, audio: Callable[[], Audio] | None, *more: str) -> Turn:
        """A user turn of audio and texts, in that order.

        A row handed over with a prediction (`given`) may lack the audio, or name one that is out of reach
        here: the answer is there already, and the turn is empty.
        """
        try:
            return Turn("user", (audio(), *more)) if audio is not None else Turn("user", ())
        except UsageError:
            if self.given:
                return Turn("user", ())
            raise

    def stable_id(self, *columns: str) -> str:
        """An id for data without a key of its own: 12 hex digits over these columns, never a position.

        A row that came with a prediction goes by the prediction's id.
        """
        if self.file_id:
            return self.file_id
        return digest_of([self.get(c) for c in columns])[:12]

    def _origin(self, column: str) -> str:
        file = self.file if "://" in self.file else os.path.abspath(self.file)
        return f"{file}#row={self.number}&column={quote(column)}"


def read_rows(file: str, *, split: str, root: str, opener: Any = None) -> Iterator[Row]:
    """Stream the rows of one parquet, JSONL, JSON or CSV file.

    Raises:
        UsageError: broken file, naming the file and line; a git-lfs pointer.
    """
    suffix = Path(file).suffix
    readers = {
        ".parquet": _read_parquet,
        ".jsonl": _read_jsonl,
        ".json": _read_json,
        ".txt": _read_transcripts,
    }
    reader = readers.get(suffix, _read_csv)
    if "://" not in file and Path(file).is_file():
        with Path(file).open("rb") as head:
            if head.read(len(LFS_POINTER)) == LFS_POINTER:
                raise UsageError(f"{file} is a git-lfs pointer, not the data: run git lfs pull in its folder")
    kwargs = {"opener": opener} if suffix == ".parquet" else {}
    for number, values in enumerate(reader(file, **kwargs)):
        yield Row(values, file=file, number=number, split=split, root=root)


def parquet_library(file: str | Path) -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet, to read `file`. Raises UsageError where they aren't installed."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as exc:
        raise UsageError(f'{Path(file).name} is parquet: pip install "evalkit[data]" to read it.') from exc
    return pa, pq


def _read_parquet(file: str, opener: Any = None) -> Iterator[dict[str, Any]]:
    pa, pq = parquet_library(file)
    try:
        # Rows carry audio, and memory has to stay flat: small batches, nothing read ahead.
        with pq.ParquetFile(opener(file) if opener else file, pre_buffer=False) as table:
            for batch in table.iter_batches(batch_size=8, use_threads=False):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as exc:
        raise UsageError(f"{file} can't be read as parquet: {str(exc).splitlines()[0]}") from exc


def _read_jsonl(file: str) -> Iterator[dict[str, Any]]:
    for number, line in numbered_lines(file):
        try:
            yield _object(json.loads(line))
        except (ValueError, RecursionError) as exc:
            raise UsageError(f"{file}:{number}: {_not_json(exc)}") from exc


def _read_json(file: str) -> Iterator[dict[str, Any]]:
    try:
        values = json.loads(Path(file).read_bytes())
        if not isinstance(values, list):
            raise _Misplaced(f"expected a list of objects, found {type(values).__name__}")
        rows = [_object(v) for v in values]
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{file}: {_not_json(exc)}") from exc
    yield from rows


class _Misplaced(ValueError):
    """JSON, but not the kind of value that belongs here."""


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Misplaced(f"expected an object, found {type(value).__name__}")
    return value


def _not_json(exc: Exception) -> str:
    if isinstance(exc, RecursionError):
        return "nested too deeply"
    if isinstance(exc, UnicodeDecodeError):
        return f"not UTF-8 ({exc.reason} at byte {exc.start})"
    return str(exc) if isinstance(exc, _Misplaced) else f"not JSON ({exc})"


class _Tabs(csv.excel_tab):
    """Tab-separated values: a quotation mark is a character like any other (Common Voice escapes none)."""

    quoting = csv.QUOTE_NONE


def _read_csv(file: str) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(MAX_CELL)
    with Path(file).open(encoding="utf-8-sig", newline="") as lines:
        past: list[str] = []
        reader = csv.DictReader(_and_end(lines, past), dialect=_Tabs if file.endswith(".tsv") else csv.excel)
        try:
            before = 1  # the header
            for values in reader:
                if past:
                    break
                yield values
                before = reader.line_num
            else:
                values, before = dict.fromkeys(reader.fieldnames or ()), 0
            if past[0] not in (
                *values,
                *values.values(),
            ):  # it stands inside a cell that took all that follows
                what = "a quotation mark opens a cell here, and none closes it"
                raise UsageError(f"{file}:{before + 1}: {what}")
        except UnicodeDecodeError as exc:
            raise UsageError(f"{file}: not UTF-8 (after line {reader.line_num}); save it as UTF-8") from exc
        except csv.Error as exc:
            raise UsageError(f"{file}:{reader.line_num}: {exc}") from exc


def _and_end(lines: Iterable[str], past: list[str]) -> Iterator[str]:
    """The lines and one more, put into `past` when it is reached: it is a row of its own if all quotes are closed."""
    yield from lines
    past.append("(the end of the file)")
    yield past[0]


def header_of(file: str) -> list[str]:
    """The names in the first line of a CSV or TSV file. Raises UsageError: it is no text."""
    csv.field_size_limit(MAX_CELL)
    try:
        with Path(file).open(encoding="utf-8-sig", newline="") as lines:
            return next(csv.reader(lines, dialect=_Tabs if file.endswith(".tsv") else csv.excel), [])
    except UnicodeDecodeError as exc:
        raise UsageError(f"{file}: not UTF-8; save it as UTF-8") from exc
    except csv.Error as exc:
        raise UsageError(f"{file}:1: {exc}") from exc


def _read_transcripts(file: str) -> Iterator[dict[str, Any]]:
    """`id text` a line, as in a LibriSpeech tree's `*.trans.txt`: columns `id` and `text`."""
    with Path(file).open(encoding="utf-8-sig") as lines:
        for line in lines:
            if line.strip():
                key, _, text = line.strip().partition(" ")
                yield {"id": key, "text": text.strip()}
