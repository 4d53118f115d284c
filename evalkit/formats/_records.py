"""Records with their line numbers, streamed out of JSONL, a JSON array, parquet, CSV or TSV."""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.files import BOM, numbered_lines
from evalkit.rows import MAX_CELL, parquet_library

CHUNK = 1 << 18
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()

Record = dict[str, Any]


def bad(path: Path, line: int, what: str, remedy: str) -> UsageError:
    """The error for one line: file, line, what is wrong, what to do."""
    return UsageError(f"{path}:{line}: {what}. {remedy}")


def records(path: Path, remedy: str) -> Iterator[tuple[int, Record]]:
    """(line from 1, record) of a file, whatever of these it is. Parquet counts rows instead of lines.

    Args:
        remedy: a sentence that says what each record should be.

    Raises:
        UsageError: a broken line, naming file and line; a file that holds no records.
    """
    try:
        number = 0
        for number, record in _reader(path, remedy):
            yield number, record
    except OSError as exc:
        raise UsageError(f"{path} can't be read: {exc.strerror or exc}") from exc
    if not number:
        raise UsageError(f"{path} holds no predictions")


def _reader(path: Path, remedy: str) -> Iterator[tuple[int, Record]]:
    with path.open("rb") as file:
        head = file.read(4096).removeprefix(BOM)
    if head.startswith(b"PAR1"):
        return _parquet(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        return _csv(path)
    return _array(path, remedy) if head.lstrip().startswith(b"[") else _lines(path, remedy)


def text_of(line: bytes, path: Path, number: int, remedy: str) -> str:
    """A line as text. Raises UsageError when it isn't UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise bad(path, number, f"not UTF-8 ({exc.reason} at byte {exc.start})", remedy) from exc


def _lines(path: Path, remedy: str) -> Iterator[tuple[int, Record]]:
    for number, line in numbered_lines(path):
        text = text_of(line, path, number, remedy)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as exc:
            raise bad(path, number, "not JSON, or cut off", remedy) from exc
        if not isinstance(value, dict):
            raise bad(path, number, f"expected an object, found {_kind(value)}", remedy)
        yield number, value


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", type(None): "null", bool: "true or false"}
    return names.get(type(value), "a number")


def _array(path: Path, remedy: str) -> Iterator[tuple[int, Record]]:
    """The objects of a JSON array, a chunk of the file in memory at a time."""
    decode = codecs.getincrementaldecoder("utf-8-sig")().decode
    with path.open("rb") as file:
        buffer, at, line, size, ended = "", 0, 1, CHUNK, False
        expect = "["
        while True:
            start = at
            at = _SPACE.match(buffer, at).end()  # type: ignore[union-attr]
            line += buffer.count("\n", start, at)
            if at < len(buffer):
                char = buffer[at]
                if expect in ("[", ",") and char == expect:
                    at, expect = at + 1, "value" if expect == "," else "value or ]"
                    continue
                if char == "]" and expect in (",", "value or ]"):
                    if buffer[at + 1 :].strip() or file.read(1 << 16).strip():
                        raise bad(path, line, "more follows the end of the array", remedy)
                    return
                if expect == ",":
                    raise bad(path, line, "not JSON, or cut off: expected a comma", remedy)
                try:
                    value, end = _DECODER.raw_decode(buffer, at)
                except RecursionError as exc:
                    raise bad(path, line, "nested too deeply", remedy) from exc
                except ValueError as exc:
                    place = getattr(exc, "pos", len(buffer))
                    torn = str(exc).startswith("Unterminated string") or place >= len(buffer) - 16
                    if ended or not torn:
                        here = line + buffer.count("\n", at, place)
                        raise bad(path, here, "not JSON, or cut off", remedy) from exc
                else:
                    if not isinstance(value, dict):
                        raise bad(path, line, f"expected an object, found {_kind(value)}", remedy)
                    yield line, value
                    line += buffer.count("\n", at, end)
                    at, expect, size = end, ",", CHUNK
                    continue
            if ended:
                raise bad(path, line, "not JSON, or cut off: the array has no end", remedy)
            data = file.read(size)
            size, ended = min(2 * size, 1 << 26), not data  # a long record is read in ever larger steps
            try:
                more = decode(data, ended)
            except UnicodeDecodeError as exc:
                raise bad(path, line, f"not UTF-8 ({exc.reason})", remedy) from exc
            buffer, at = buffer[at:] + more, 0


def _parquet(path: Path) -> Iterator[tuple[int, Record]]:
    pa, pq = parquet_library(path)
    try:
        with pq.ParquetFile(path, pre_buffer=False) as table:
            names = [f.name for f in table.schema_arrow if not _is_sound(f.type)]
            number = 0
            for batch in table.iter_batches(batch_size=256, columns=names, use_threads=False):
                for value in batch.to_pylist():
                    number += 1
                    yield number, value
    except pa.ArrowException as exc:
        raise UsageError(f"{path} can't be read as parquet: {str(exc).splitlines()[0]}") from exc


def _is_sound(kind: Any) -> bool:
    """Is this column the sound of a question? It is long, and no scorer of predictions reads it."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(_is_sound(kind.field(k).type) for k in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _csv(path: Path) -> Iterator[tuple[int, Record]]:
    csv.field_size_limit(MAX_CELL)
    with path.open(encoding="utf-8-sig", newline="") as lines:
        tabs = path.suffix.lower() == ".tsv"
        reader = csv.DictReader(lines, delimiter="\t" if tabs else ",", strict=True)
        try:
            names = reader.fieldnames or ()
            if twice := next((n for i, n in enumerate(names) if n in names[:i]), None):
                raise bad(path, 1, f"two columns are called {twice!r}", "Rename one of them.")
            for value in reader:
                if None in value or None in value.values():
                    what = f"{len(reader.fieldnames or ())} cells expected, found more or fewer"
                    raise bad(path, reader.line_num, what, "Quote cells that hold the separator.")
                yield reader.line_num, value
        except UnicodeDecodeError as exc:
            raise bad(path, reader.line_num + 1, "not UTF-8", "Save the file as UTF-8.") from exc
        except csv.Error as exc:
            raise bad(path, reader.line_num, str(exc), "Quote cells that hold the separator.") from exc


# --- looking at the beginning ---------------------------------------------------------------------


def first_records(data: bytes, most: int = 20) -> list[Record]:
    """The first whole objects of JSONL or of a JSON array; none when it is neither."""
    text = data.decode("utf-8", "ignore")
    found: list[Record] = []
    at = _SPACE.match(text).end()  # type: ignore[union-attr]
    array = text.startswith("[", at)
    at += array
    while len(found) < most:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        if not isinstance(value, dict):
            break
        found.append(value)
        if array:
            at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
            at += text.startswith(",", at)
    return found


def plain_columns(path: Path, data: bytes) -> list[str]:
    """The columns of a parquet, CSV or TSV file; none for anything else, or when they can't be read."""
    if data.startswith(b"PAR1"):
        try:
            pa, pq = parquet_library(path)
        except UsageError:
            return []
        try:
            return [str(n) for n in pq.read_schema(path).names]
        except (OSError, pa.ArrowException):
            return []
    if path.suffix.lower() in (".csv", ".tsv"):
        first = data.decode("utf-8", "ignore").splitlines()[:1]
        return next(csv.reader(first, delimiter="\t" if path.suffix.lower() == ".tsv" else ","), [])
    return []
