"""Rows of the files that people's labels come in: JSON lines or array, CSV as spreadsheets write it, TSV.

What can't be read at all is refused in one sentence; rows that can't be read are left out and told.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError

SUFFIXES = (".jsonl", ".csv", ".tsv")
"""Of files that are taken from a folder; others may lie beside them."""
LOOK = 200
"""Rows in which a column has to show up to be taken for one."""


def files_of(given: Iterable[str | Path], flag: str = "--human") -> list[Path]:
    """The files named, and the .jsonl, .csv and .tsv files of the folders named. Raises UsageError."""
    found: list[Path] = []
    for name in given:
        path = Path(name)
        held = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES) if path.is_dir() else [path]
        if not held:
            raise UsageError(
                f"{flag} {path}: the folder holds no .jsonl file (nor .csv or .tsv), one per annotator"
            )
        found += held
    return found


def rows_of(path: Path, told: list[str]) -> list[dict[str, Any]]:
    """The rows of a file; lines that hold none are told. Raises UsageError when it can't be read, or is empty."""
    try:
        text = _text(path)
    except OSError as exc:
        raise UsageError(f"{path} can't be read: {exc.strerror or exc}") from exc
    if not text.strip():
        raise UsageError(f"{path} is empty.")
    if path.suffix not in (".csv", ".tsv", ".txt"):
        return list(_objects(path, text, told))
    try:
        rows = list(_table(path, text, told))
    except csv.Error as exc:
        raise UsageError(f"{path} can't be read as a table: {exc}") from exc
    if not rows:
        raise UsageError(f"{path} has the names of columns and no rows.")
    return rows


def _text(path: Path) -> str:
    """A file's text, in UTF-8 or, as spreadsheets save it, UTF-16 with its mark. Raises OSError, UsageError."""
    data = path.read_bytes()
    if data[:4] == b"PK\x03\x04":
        raise UsageError(f"{path} is a workbook or an archive; save the sheet as CSV.")
    name = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(name)
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise UsageError(f"{path} is not UTF-8 (line {line}); save it as UTF-8.") from exc


def _table(path: Path, text: str, told: list[str]) -> Iterator[dict[str, Any]]:
    """Rows by the names in the first line; between columns stands what that line has most of: comma, semicolon, tab."""
    lines = io.StringIO(text.replace("\0", ""), newline="")
    head = next((line for line in text.splitlines() if line.strip()), "")
    between = max(",;\t", key=head.count) if any(c in head for c in ",;\t") else ","
    if head.startswith("sep=") and len(head.strip()) == 5:  # a spreadsheet's own mark
        between = head[4]
        lines.readline()
    longer = 0
    for row in csv.DictReader(lines, delimiter=between, skipinitialspace=True):
        if None in row:
            longer += 1
            continue
        yield {(k or "").strip(): v.strip() if isinstance(v, str) else v for k, v in row.items()}
    if longer:
        told.append(
            f"{path}: {longer} row{'s' * (longer != 1)} left out: more columns than have names (a comma for the "
            "decimal point?)"
        )


def _objects(path: Path, text: str, told: list[str], shown: int = 3) -> Iterator[dict[str, Any]]:
    """The objects of JSON lines, or of one JSON array; inner ones also under names with a point (`labels.overall`)."""
    try:
        whole = json.loads(text) if text.lstrip().startswith("[") else None
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, list) and all(isinstance(v, dict) for v in whole):
        yield from map(_flat, whole)
        return
    broken: list[int] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            yield _flat(value)
        else:
            broken.append(number)
    if broken:
        lines = ", ".join(map(str, broken[:shown]))
        more = f" and {len(broken) - shown} more" if len(broken) > shown else ""
        told.append(f"{path}: left out, no JSON object: line {lines}{more}")


def _flat(value: dict[str, Any], depth: int = 3) -> dict[str, Any]:
    """An object, and what lies in the objects in it under names with points."""
    out = dict(value)
    for name, inner in value.items():
        if isinstance(inner, dict) and depth:
            out |= {f"{name}.{k}": v for k, v in _flat(inner, depth - 1).items() if f"{name}.{k}" not in out}
    return out


def column(path: Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str], what: str, flag: str) -> str:
    """The first of these names that the rows have. Raises UsageError when they have none."""
    held = {k for r in rows[:LOOK] for k in r}
    for name in names:
        if name in held:
            return name
    if not held:
        raise UsageError(f"{path} holds no row that can be read.")
    if len(names) > 1:  # usual names, however they are spelled
        lower = {str(k).strip().casefold(): k for k in sorted(held, key=str, reverse=True)}
        if found := next((lower[n] for n in names if n in lower), None):
            return found
    columns = ", ".join(sorted(map(str, held))[:12])
    raise UsageError(
        f"{path} has no column {' or '.join(map(repr, names))} for {what}; it has: {columns}. Name it with {flag}."
    )
