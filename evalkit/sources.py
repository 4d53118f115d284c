"""Where rows come from: a hub data set at a pinned revision, or the same data in a local folder.

Rows are streamed, never all in memory. The one way in is `open_source`; `fetch_origins` is the way back
from a recorded origin to the bytes of its audio.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from evalkit import hub
from evalkit.errors import UsageError
from evalkit.folders import DataOptions, HubData, LayoutError, Source, open_folder
from evalkit.rows import Row, read_rows

__all__ = [
    "DataOptions",
    "HubData",
    "Row",
    "Source",
    "fetch_origin",
    "fetch_origins",
    "open_source",
    "read_rows",
]


def open_source(spec: HubData, options: DataOptions, *, task: str) -> Source:
    """Find the rows of a data set: on the hub, or in --data-dir (a folder or a manifest file).

    Raises:
        UsageError: not in --data-dir, or not reachable, saying where it looked and what to do.
    """
    if spec.opener is not None:
        return spec.opener(spec, options, task)
    if options.data_dir is None:
        spec = spec if spec.hosted or not spec.mirrors else spec.at(spec.mirrors[0].repo)
        if spec.withdrawn:
            raise UsageError(f"{task}: {spec.repo} {spec.withdrawn}")
        return hub.open_hub(spec, options, task)
    folder = Path(options.data_dir)
    if folder.is_file():  # a manifest: the rows of this task in one file, audio paths relative to it
        return Source(spec, [(spec.splits[0], str(folder))], str(folder.parent), kind="manifest")
    try:
        source = open_folder(spec, folder, task, partial=options.smoke)
    except LayoutError as exc:
        if options.smoke:
            raise
        source = hub.open_odd_folder(spec, folder, task, exc)
    source.kind = "smoke" if options.smoke else "local"
    return source


def _split(origin: str) -> tuple[str, str]:
    """File and fragment ("" where the origin is a file of its own)."""
    file, mark, fragment = origin.rpartition("#row=")
    return (file, fragment) if mark else (origin, "")


def fetch_origin(origin: str) -> bytes | None:
    """The bytes an `Audio.origin` points to, or None when they are no longer there. For reports."""
    return fetch_origins([origin]).get(origin)


def fetch_origins(origins: Iterable[str]) -> dict[str, bytes]:
    """The bytes of many origins at once; those that are no longer there are left out.

    Each parquet file is opened once, and of it only the row groups that hold wanted rows are read.
    Addresses on the hub are left out too: a report is written without the network.
    """
    out: dict[str, bytes] = {}
    wanted: dict[tuple[str, str], dict[int, str]] = {}
    for origin in dict.fromkeys(origins):
        file, fragment = _split(origin)
        query = parse_qs("row=" + fragment)
        row, column = query.get("row", [""])[0], query.get("column", [""])[0]
        if "://" in file:
            continue
        if fragment and row.isdecimal() and column:
            wanted.setdefault((file, column), {})[int(row)] = origin
        elif not fragment and (data := _file(origin)) is not None:
            out[origin] = data
    for (file, column), rows in wanted.items():
        try:
            for number, value in _parquet_cells(file, sorted(rows), column):
                found = value.get("bytes") if isinstance(value, Mapping) else value
                if isinstance(found, bytes | bytearray):
                    out[rows[number]] = bytes(found)
        except (OSError, LookupError, ValueError, ImportError):  # gone, replaced, or no pyarrow here
            continue
    return out


def _file(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError):  # ValueError: a NUL character in the path
        return None


def _parquet_cells(file: str, rows: list[int], column: str) -> Iterator[tuple[int, Any]]:
    """(row, value) for the ascending row numbers that the file has."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as table:
        if column not in table.schema_arrow.names:
            raise KeyError(column)
        start = 0
        for group in range(table.metadata.num_row_groups):
            end = start + table.metadata.row_group(group).num_rows
            here = [r for r in rows if start <= r < end]
            at = start
            for batch in (
                table.iter_batches(batch_size=8, row_groups=[group], columns=[column]) if here else ()
            ):
                for row in here:
                    if at <= row < at + batch.num_rows:
                        yield row, batch.column(0)[row - at].as_py()
                at += batch.num_rows
                if at > here[-1]:
                    break
            start = end
