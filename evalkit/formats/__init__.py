"""Predictions made elsewhere, as the public scorers read them: one small file per format.

A module here (or behind the entry point `evalkit.formats`) that holds `FORMAT` is found by dropping it in.
A format says by content whether a file is its own, and reads it as a stream of `Converted`: our prediction,
the data set's row in the column names the benchmark reads, and the task where the record tells it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.files import BOM
from evalkit.formats._records import first_records, plain_columns
from evalkit.formats._records import records as records  # for formats of other packages
from evalkit.records import Gap

HEAD = 1 << 20
"""Bytes looked at to tell what a file is."""


@dataclass(frozen=True)
class Head:
    """The beginning of a file, for sniffing: its bytes, its first records, its columns."""

    path: Path

    @cached_property
    def data(self) -> bytes:
        """The first HEAD bytes without a byte order mark. Raises UsageError when the file can't be read."""
        try:
            with self.path.open("rb") as file:
                return file.read(HEAD).removeprefix(BOM)
        except OSError as exc:
            raise UsageError(f"{self.path} can't be read: {exc.strerror or exc}") from exc

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """Up to 20 of the first objects of a JSONL file or a JSON array; none for anything else."""
        return first_records(self.data)

    @cached_property
    def columns(self) -> frozenset[str]:
        """Names of the fields of the first records, or the columns of a parquet, CSV or TSV file."""
        found = {k for r in self.records for k in r}
        return frozenset(found or plain_columns(self.path, self.data))

    def says(self, *names: str) -> bool:
        """Does the path's file name or its folder's hold one of these words?"""
        near = f"{self.path.parent.name}/{self.path.name}".lower()
        return any(n in near for n in names)


@dataclass(frozen=True)
class Reading:
    """What a reader is told beside the file.

    Attributes:
        head: the file's beginning.
        task: name of the task that its records answer, where they don't tell it themselves.
        column: the user's name of the column that holds the answer, or None.
        ref: a file of references (`id text` a line), or None.
    """

    head: Head
    task: str | None = None
    column: str | None = None
    ref: Path | None = None


@dataclass(slots=True)
class Converted:
    """One record, converted.

    Attributes:
        line: its line in the file, from 1 (its row in a parquet file).
        task: the task it answers; None where --task decides.
        id: the sample's id; None where the benchmark makes one from the row's content.
        text, audio, transcript, judge: as in `Prediction`.
        row: the data set's row, in the column names that the benchmark reads; None when the record has none.
        error: why there is no answer, when the record says so.
        lacks: how the record lacks its answer in words (`gap_in`), where the format is one of answers in words.
        left_out: why the public scorer passes the record over, in words that fit many; it is counted and told.
    """

    line: int
    task: str | None = None
    id: str | None = None
    text: str | None = None
    audio: str | None = None
    transcript: str | None = None
    judge: Any = None
    row: dict[str, Any] | None = None
    error: str | None = None
    lacks: Gap | None = None
    left_out: str | None = None


@dataclass(frozen=True)
class Format:
    """How the predictions of one public scorer are read.

    Attributes:
        name: what --format calls it.
        about: one line for `list formats`.
        files: what its files are called.
        known_by: how it is recognised, in words.
        tasks: globs of the tasks it can answer.
        sniff: is this file, by its content, of this format?
        read: the records; raises UsageError that names file and line for one it can't read.
        likely: tasks that the file may answer, the likeliest first, when its records don't tell; only hints.
        tells_task: True when its records name their task.
        by_position: True when its ids are places in the data set, from 0; with the data set at hand they are
            put in its own terms.
        repeats: True when its public scorer counts each record, whatever its id: then one that repeats an id
            is counted, and told; else it is an error.
    """

    name: str
    about: str
    files: str
    known_by: str
    tasks: tuple[str, ...]
    sniff: Callable[[Head], bool]
    read: Callable[[Path, Reading], Iterator[Converted]]
    likely: Callable[[Head], Sequence[str]] = field(default=lambda head: ())
    tells_task: bool = False
    by_position: bool = False
    repeats: bool = False


def answer_of(record: Mapping[str, Any], reading: Reading, *names: str) -> str | None:
    """The model's answer: of the user's column, else of the first of `names` that is there.

    A number or another JSON value stands as it is spelled; null and a missing field are no answer.
    """
    column = reading.column or next((n for n in names if n in record), None)
    value = record.get(column) if column is not None else None
    if value is None or (isinstance(value, float) and value != value):  # NaN: an empty cell
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def replies_of(value: Any) -> Any:
    """Judge replies on record: a reply, or a list of votes (None is an empty one); anything else is none."""
    plain = (str, int, float)
    if isinstance(value, list) and all(v is None or isinstance(v, plain) for v in value):
        return value
    return value if isinstance(value, plain) else None


def gap_in(record: Mapping[str, Any], reading: Reading, *names: str) -> Gap | None:
    """How the record lacks the answer that `answer_of` looks for: no field, or nothing in it; None if it has one."""
    there = reading.column in record if reading.column else any(n in record for n in names)
    if not there:
        return "absent"
    return "null" if answer_of(record, reading, *names) is None else None


def without(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The record's other fields."""
    return {k: v for k, v in record.items() if k not in names}


def id_of(value: Any) -> str | None:
    """An id as text, or None when there is none: null, blank, or no plain value."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return str(int(value)) if isinstance(value, float) and value.is_integer() else None
    return str(value).strip() or None
