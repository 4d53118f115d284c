"""Data sets on the hub, and layouts that only the `datasets` library knows how to find.

Known layouts are read as files (`evalkit.folders`); anything else is streamed through `datasets` as arrow
tables with every audio column left encoded, so that the library never decodes (nor needs torch).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from evalkit.config import offline
from evalkit.errors import UsageError
from evalkit.folders import DataOptions, HubData, LayoutError, Source, open_folder, roots
from evalkit.rows import Row

BATCH_ROWS = 8
"""Rows held at once: they carry audio, and memory has to stay flat."""


def open_hub(spec: HubData, options: DataOptions, task: str) -> Source:
    """A hub data set at a resolved commit: downloaded, streamed, or from the local cache when offline.

    Raises:
        UsageError: no `huggingface_hub`, or not reachable, saying what to do.
    """
    try:
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError as exc:
        raise UsageError(
            f'{task}: reading {spec.repo} from the hub needs pip install "evalkit[data]"; '
            "or point --data-dir to a local copy."
        ) from exc
    revision = options.revision or spec.revision or "main"
    mirrors = ", ".join(m.repo for m in spec.mirrors if not m.withdrawn)
    copies = f", or read a mirror with --data-repo: {mirrors}" if mirrors else ""
    remedy = f"Check the network and HF_TOKEN, or point --data-dir to a local copy of {spec.repo}{copies}."
    try:
        return (
            _open_cached(spec, revision, task) if offline() else _open_online(spec, revision, options, task)
        )
    except UsageError:
        raise
    except LocalEntryNotFoundError as exc:
        raise UsageError(
            f"{task}: {spec.repo}@{revision} is not in the local hub cache and we are offline. {remedy}"
        ) from exc
    except Exception as exc:  # whatever its HTTP client raises, which changes with its version
        raise UsageError(
            f"{task}: {spec.repo}@{revision} can't be read: {_first_line(exc)}. {remedy}"
        ) from exc


def _open_cached(spec: HubData, revision: str, task: str) -> Source:
    from huggingface_hub import snapshot_download

    root = snapshot_download(
        spec.repo,
        repo_type="dataset",
        revision=revision,
        allow_patterns=_patterns(spec),
        local_files_only=True,
    )
    try:
        files = open_folder(spec, Path(root), task).files
    except LayoutError as exc:
        raise UsageError(
            f"{task}: the local hub cache holds {spec.repo}@{Path(root).name} without the files of "
            f"{'/'.join(filter(None, (spec.config, spec.splits[0])))}, and we are offline. "
            "Run it once with the network, or use --data-dir."
        ) from exc
    return Source(spec, files, root, Path(root).name, "hub-cache")


def _open_online(spec: HubData, revision: str, options: DataOptions, task: str) -> Source:
    from huggingface_hub import HfApi, HfFileSystem, snapshot_download

    commit = HfApi().dataset_info(spec.repo, revision=revision).sha
    if options.stream:
        fs = HfFileSystem()
        base = f"hf://datasets/{spec.repo}@{commit}"
        if files := _streamed_files(fs, base, spec):
            return Source(spec, files, base, commit, "hub-stream", opener=fs.open)
    else:
        root = snapshot_download(
            spec.repo, repo_type="dataset", revision=commit, allow_patterns=_patterns(spec)
        )
        try:
            return Source(spec, open_folder(spec, Path(root), task).files, root, commit, "hub")
        except LayoutError:
            pass
    source = _with_datasets(spec, spec.repo, task, revision=commit)
    source.revision, source.kind = commit, "hub-stream"
    return source


def _hub_folders(spec: HubData) -> list[str]:
    return [f"{spec.config}/", f"data/{spec.config}/"] if spec.config else ["data/", ""]


def _patterns(spec: HubData) -> list[str]:
    endings = ("-*.parquet", ".parquet")
    usual = [f"{d}{s}{end}" for d in _hub_folders(spec) for s in spec.splits for end in endings]
    named = [g for s in spec.splits for g in spec.globs(s)]
    return [*dict.fromkeys(named), *(m.format(config=spec.config or "") for m in spec.media), *usual]


def _streamed_files(fs: Any, base: str, spec: HubData) -> list[tuple[str, str]]:
    """(split, address) of every parquet file; empty when a split has none."""
    files = []
    for split in spec.splits:
        places = (f"{base}/{d}{split}{end}" for d in _hub_folders(spec) for end in ("-*.parquet", ".parquet"))
        found = next((hits for p in places if (hits := fs.glob(p))), None)
        if found is None:
            return []
        # glob drops the scheme; a recorded origin has to keep it.
        files += [(split, f if "://" in f else f"hf://{f}") for f in sorted(found)]
    return files


def _first_line(exc: BaseException) -> str:
    text = str(exc).strip()
    return text.splitlines()[0][:200] if text else type(exc).__name__


# --- layouts that only `datasets` knows ----------------------------------------------------------


@dataclass
class DatasetsSource(Source):
    """Rows that the `datasets` library streams; `tables` holds its iterable per split."""

    tables: list[tuple[str, Any]] = field(default_factory=list)

    def all_rows(self) -> Iterator[Row]:
        """Every row of every split, streamed. Raises UsageError when the library fails on the way."""
        for split, table in self.tables:
            number = 0
            batches = table.iter(batch_size=BATCH_ROWS)
            while (batch := self._next(batches, split, number)) is not None:
                for values in batch.to_pylist():
                    own = {k: self._own(v) for k, v in values.items()}
                    yield Row(own, file=f"{self.root}/{split}", number=number, split=split, root=self.root)
                    number += 1

    def _next(self, batches: Iterator[Any], split: str, number: int) -> Any:
        try:
            return next(batches, None)
        except Exception as exc:  # the library's readers raise what they like
            raise UsageError(
                f"{self.spec.repo}, split {split}: `datasets` failed after row {number}: {_first_line(exc)}"
            ) from exc

    def _own(self, value: Any) -> Any:
        """A value whose audio, if it is some, is bytes or a path relative to the root."""
        if not (isinstance(value, Mapping) and set(value) == {"bytes", "path"}):
            return value
        path = value["path"]
        if value["bytes"] or not isinstance(path, str):
            return value
        if "://" in path and self._is_ours(path.rpartition("::")[2]):
            with import_module("fsspec").open(path, "rb") as file:
                return {"bytes": file.read(), "path": path.partition("::")[0]}
        if path.startswith(self.root + os.sep):
            return {"bytes": None, "path": os.path.relpath(path, self.root)}
        return value

    def _is_ours(self, place: str) -> bool:
        """Only this data set's own files are read: an address in a row could name any file."""
        inner = os.path.normpath(place) if "://" not in place else place
        ours = (self.root + os.sep, f"hf://datasets/{self.spec.repo}@", f"hf://datasets/{self.spec.repo}/")
        return inner.startswith(ours) and ".." not in inner.split("/")


def open_odd_folder(spec: HubData, folder: Path, task: str, cause: LayoutError) -> Source:
    """A local copy in a layout that its dataset card or `datasets`' own conventions explain.

    `folder` itself counts only when it is called like the data set or has a card, lest another data
    set's rows be taken for this one's.

    Raises:
        UsageError: `datasets` isn't installed or can't load it either.
    """
    for root in roots(spec, folder):
        if root != folder or root.name == spec.repo.split("/")[-1] or (root / "README.md").is_file():
            return _with_datasets(spec, str(root.resolve()), task, cause=cause)
    raise cause


def _with_datasets(
    spec: HubData, place: str, task: str, *, revision: str | None = None, cause: LayoutError | None = None
) -> DatasetsSource:
    """Stream a folder or hub id through `datasets`, audio still encoded."""
    unknown = (
        str(cause) if cause else f"{task}: {place} has none of the file layouts read without `datasets`."
    )
    try:
        import datasets
    except ImportError as exc:
        raise UsageError(f'{unknown} Other layouts need pip install "evalkit[data]".') from exc
    datasets.disable_progress_bars()
    tables = []
    for split in spec.splits:
        try:
            table = datasets.load_dataset(place, spec.config, split=split, revision=revision, streaming=True)
            for name, feature in (table.features or {}).items():
                if isinstance(feature, datasets.Audio):
                    table = table.cast_column(name, datasets.Audio(decode=False))
        except Exception as exc:  # the library's loaders raise what they like
            raise UsageError(f"{unknown} `datasets` can't load it either: {_first_line(exc)}") from exc
        # As arrow tables: as Python objects, even undecoded audio would need torch.
        tables.append((split, table.with_format("arrow")))
    return DatasetsSource(spec, [], place, revision, "local", tables=tables)
