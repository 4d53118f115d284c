"""Where rows come from: a hub data set at a pinned revision, or the same layout in a local folder.

Rows are streamed, never all in memory. Audio columns stay encoded: `Row.audio` hands out the bytes or
the path, and `evalkit.audio` decodes them. The `datasets` library is never asked to touch audio.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from evalkit.audio import AudioError, inside
from evalkit.config import offline
from evalkit.interfaces import UsageError
from evalkit.records import JSON, Audio, Turn, digest_of

SUFFIXES = (".parquet", ".jsonl", ".json", ".csv", ".tsv")


class Row(dict[str, Any]):
    """One row of a data set, that knows where it came from.

    Attributes:
        file: the file it was read from.
        number: its place in that file, from 0; for messages only, never an id.
        split: the split it belongs to.
        root: folder its audio paths may not leave.
        given: True when it came with a prediction rather than from the data set.
        file_id: id of that prediction.
    """

    def __init__(
        self, values: Mapping[str, Any], *, file: str, number: int, split: str, root: str, given: bool = False
    ) -> None:
        super().__init__(values)
        self.file, self.number, self.split, self.root, self.given = file, number, split, root, given
        self.file_id = ""

    @property
    def where(self) -> str:
        """ "row 17 of usa-0001.parquet"."""
        return f"row {self.number} of {Path(self.file).name}"

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
        value = self[column]
        if isinstance(value, Mapping):
            data, path = value.get("bytes"), value.get("path")
            if data:
                suffix = Path(path).suffix.lstrip(".").lower() if path else None
                return Audio(data=data, format=suffix or None, origin=self._origin(column))
            value = path
        if isinstance(value, bytes | bytearray):
            return Audio(data=bytes(value), origin=self._origin(column))
        if not value or not isinstance(value, str):
            raise UsageError(f"{self.where}: the audio column {column!r} is empty")
        try:
            found = inside(self.root, value)
        except AudioError as exc:
            raise UsageError(f"{self.where}: {exc}") from exc
        return Audio(path=str(found), format=found.suffix.lstrip(".").lower() or None, origin=str(found))

    def user_turn(self, column: str = "audio") -> Turn:
        """A user turn that holds the row's audio and nothing else.

        A row handed over with a prediction (`given`) may lack the audio: the answer is there already.
        """
        if self.given and not self.get(column):
            return Turn("user", ())
        return Turn("user", (self.audio(column),))

    def stable_id(self, *columns: str) -> str:
        """An id for data without a key of its own: 12 hex digits over these columns, never a position.

        A row that came with a prediction goes by the prediction's id.
        """
        if self.file_id:
            return self.file_id
        return digest_of([self.get(c) for c in columns])[:12]

    def _origin(self, column: str) -> str:
        return f"{os.path.abspath(self.file)}#row={self.number}&column={column}"


@dataclass(frozen=True)
class HubData:
    """A data set as published: hub id, config, splits, and the columns worth reading.

    Attributes:
        repo: hub id, "hlt-lab/voicebench".
        config: name of the configuration, or None.
        splits: splits read, in order.
        revision: commit or tag to read; None means "main", resolved to a commit and recorded.
        licence: SPDX id or the card's wording.
    """

    repo: str
    config: str | None = None
    splits: tuple[str, ...] = ("test",)
    revision: str | None = None
    licence: str = "not stated"
    url: str = ""


@dataclass(frozen=True)
class DataOptions:
    """What the user says about data: a mirror folder, another revision, streaming instead of a download.

    `smoke` marks our own few questions in a benchmark's layout: never to be taken for the benchmark.
    """

    data_dir: str | None = None
    revision: str | None = None
    stream: bool = False
    smoke: bool = False


@dataclass
class Source:
    """An opened data set: files per split, in order."""

    spec: HubData
    files: list[tuple[str, str]]
    root: str
    revision: str | None = None
    kind: str = "local"
    opener: Any = None
    columns: tuple[str, ...] = field(default=())

    def describe(self) -> dict[str, JSON]:
        """For the run's manifest and the signature."""
        return {
            "repo": self.spec.repo,
            "config": self.spec.config,
            "splits": list(self.spec.splits),
            "revision": self.revision,
            "kind": self.kind,
            "licence": self.spec.licence,
        }

    def rows(self) -> Iterator[Row]:
        """Every row of every split, streamed."""
        for split, file in self.files:
            yield from read_rows(file, split=split, root=self.root, opener=self.opener)


def open_source(spec: HubData, options: DataOptions, *, task: str) -> Source:
    """Find the files of a data set.

    Raises:
        UsageError: not in --data-dir, or not reachable, saying where it looked and what to do.
    """
    if options.data_dir is not None:
        source = _open_local(spec, Path(options.data_dir), task, partial=options.smoke)
        source.kind = "smoke" if options.smoke else "local"
        return source
    return _open_hub(spec, options, task)


def _open_local(spec: HubData, folder: Path, task: str, *, partial: bool = False) -> Source:
    """The files of each split; with `partial`, of those splits that are there."""
    if not folder.is_dir():
        raise UsageError(f"{task}: --data-dir {folder} is not a folder")
    for root in (folder / spec.repo, folder / spec.repo.split("/")[-1], folder):
        if not root.is_dir():
            continue
        found = {split: _split_files(root, spec.config, split) for split in spec.splits}
        if all(found.values()) or (partial and any(found.values())):
            files = [(split, str(f)) for split in spec.splits for f in found[split]]
            return Source(spec, files, str(root), kind="local")
    wanted = f"{spec.repo}/{spec.config or 'data'}/{spec.splits[0]}-*.parquet"
    raise UsageError(
        f"{task}: found no {spec.config or 'split'}/{spec.splits[0]} of {spec.repo} in {folder}. "
        f"Expected e.g. {wanted} (or .jsonl, .json, .csv) below it."
    )


def _split_files(root: Path, config: str | None, split: str) -> list[Path]:
    """Files of one split in the layouts the hub uses, the most specific first."""
    folders = (
        [root / config, root / "data" / config, root / config / "data"] if config else [root / "data", root]
    )
    for folder in folders:
        if not folder.is_dir():
            continue
        for suffix in SUFFIXES:
            found = sorted(folder.glob(f"{split}-*{suffix}")) or sorted(folder.glob(f"{split}{suffix}"))
            if found:
                return found
    return []


def _open_hub(spec: HubData, options: DataOptions, task: str) -> Source:
    try:
        from huggingface_hub import HfApi, HfFileSystem, snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as exc:
        raise UsageError(
            f'{task}: reading {spec.repo} from the hub needs pip install "evalkit[data]"; '
            "or point --data-dir to a local copy."
        ) from exc
    revision = options.revision or spec.revision or "main"
    patterns = [
        f"{d}{s}{end}" for d in _hub_folders(spec) for s in spec.splits for end in ("-*.parquet", ".parquet")
    ]
    remedy = f"Check the network and HF_TOKEN, or point --data-dir to a local copy of {spec.repo}."
    try:
        if offline():
            root = snapshot_download(
                spec.repo,
                repo_type="dataset",
                revision=revision,
                allow_patterns=patterns,
                local_files_only=True,
            )
            source = _open_local(spec, Path(root), task)
            return Source(spec, source.files, root, Path(root).name, "hub-cache")
        commit = HfApi().dataset_info(spec.repo, revision=revision).sha
        if options.stream:
            fs = HfFileSystem()
            base = f"datasets/{spec.repo}@{commit}"
            files = [
                (s, f)
                for s in spec.splits
                for d in _hub_folders(spec)
                for f in fs.glob(f"{base}/{d}{s}-*.parquet")
            ]
            if not files:
                raise UsageError(f"{task}: {spec.repo}@{commit} has no parquet files for {spec.splits}.")
            return Source(spec, files, base, commit, "hub-stream", opener=fs.open)
        root = snapshot_download(spec.repo, repo_type="dataset", revision=commit, allow_patterns=patterns)
        source = _open_local(spec, Path(root), task)
        return Source(spec, source.files, root, commit, "hub")
    except LocalEntryNotFoundError as exc:
        raise UsageError(
            f"{task}: {spec.repo} is not in the local hub cache and we are offline. {remedy}"
        ) from exc
    except (HfHubHTTPError, OSError) as exc:
        reason = str(exc).strip().splitlines()[0][:200] if str(exc).strip() else type(exc).__name__
        raise UsageError(f"{task}: {spec.repo}@{revision} can't be read: {reason}. {remedy}") from exc


def _hub_folders(spec: HubData) -> list[str]:
    return [f"{spec.config}/", f"data/{spec.config}/"] if spec.config else ["data/", ""]


def read_rows(file: str, *, split: str, root: str, opener: Any = None) -> Iterator[Row]:
    """Stream the rows of one parquet, JSONL, JSON or CSV file.

    Raises:
        UsageError: broken file, naming the file and line.
    """
    suffix = Path(file).suffix
    reader = {".parquet": _read_parquet, ".jsonl": _read_jsonl, ".json": _read_json}.get(suffix, _read_csv)
    kwargs = {"opener": opener} if suffix == ".parquet" else {}
    for number, values in enumerate(reader(file, **kwargs)):
        yield Row(values, file=file, number=number, split=split, root=root)


def _read_parquet(file: str, opener: Any = None) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as exc:
        raise UsageError(f'{Path(file).name} is parquet: pip install "evalkit[data]" to read it.') from exc
    try:
        with pq.ParquetFile(opener(file) if opener else file) as table:
            # Small batches: rows carry audio, and memory has to stay flat.
            for batch in table.iter_batches(batch_size=8):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as exc:
        raise UsageError(f"{file} can't be read as parquet: {str(exc).splitlines()[0]}") from exc


def _read_jsonl(file: str) -> Iterator[dict[str, Any]]:
    with Path(file).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except ValueError as exc:
                raise UsageError(f"{file}:{number}: not JSON ({exc})") from exc
            if not isinstance(values, dict):
                raise UsageError(f"{file}:{number}: expected an object, found {type(values).__name__}")
            yield values


def _read_json(file: str) -> Iterator[dict[str, Any]]:
    try:
        values = json.loads(Path(file).read_text(encoding="utf-8"))
    except ValueError as exc:
        raise UsageError(f"{file}: not JSON ({exc})") from exc
    if not isinstance(values, list):
        raise UsageError(f"{file}: expected a list of objects")
    yield from values


def _read_csv(file: str) -> Iterator[dict[str, Any]]:
    with Path(file).open(encoding="utf-8-sig", newline="") as lines:
        yield from csv.DictReader(lines, delimiter="\t" if file.endswith(".tsv") else ",")


def fetch_origin(origin: str) -> bytes | None:
    """The bytes an `Audio.origin` points to, or None when they are no longer there. For reports."""
    file, _, fragment = origin.partition("#row=")
    try:
        if not fragment:
            return Path(file).read_bytes()
        query = parse_qs("row=" + fragment)
        value = _parquet_cell(file, int(query["row"][0]), query["column"][0])
    except (OSError, KeyError, ValueError, ImportError):
        return None
    if isinstance(value, Mapping):
        value = value.get("bytes")
    return bytes(value) if isinstance(value, bytes | bytearray) else None


def fetch_origins(origins: Iterable[str]) -> dict[str, bytes]:
    """The bytes of many origins at once; those that are no longer there are left out.

    Each parquet file is opened once, and of it only the row groups that hold wanted rows are read.
    """
    out: dict[str, bytes] = {}
    wanted: dict[tuple[str, str], dict[int, str]] = {}
    for origin in dict.fromkeys(origins):
        file, _, fragment = origin.partition("#row=")
        query = parse_qs("row=" + fragment)
        row, column = query.get("row", [""])[0], query.get("column", [""])[0]
        if fragment and row.isdecimal() and column:
            wanted.setdefault((file, column), {})[int(row)] = origin
        elif not fragment and (data := fetch_origin(origin)) is not None:
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


def _parquet_cells(file: str, rows: list[int], column: str) -> Iterator[tuple[int, Any]]:
    """(row, value) for the ascending row numbers that the file has."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as table:
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


def _parquet_cell(file: str, row: int, column: str) -> Any:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as table:
        start = 0
        for batch in table.iter_batches(batch_size=8, columns=[column]):
            if row < start + batch.num_rows:
                return batch.column(0)[row - start].as_py()
            start += batch.num_rows
    raise KeyError(row)
